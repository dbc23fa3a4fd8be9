package catalog

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/zeebo/blake3"
)

// shelfMagic begins what is kept on a shelf. It is followed by the names of objects,
// each once; by the heads, each behind slot, size and date, and followed by the places of
// its objects among the names; and by a digest of everything before. Numbers are varints,
// and bytes stand behind their length.
const shelfMagic = "RSNAPHD1"

var errShelf = errors.New("what was on the shelf is damaged")

func encodeHeads(heads map[uint64]head) []byte {
	data, names := []byte(shelfMagic), objectsOf(heads)
	data = binary.AppendUvarint(data, uint64(len(names)))
	at := make(map[string]uint64, len(names))
	for i, name := range names {
		at[name] = uint64(i)
		data = append(binary.AppendUvarint(data, uint64(len(name))), name...)
	}
	for _, slot := range slices.Sorted(maps.Keys(heads)) {
		h := heads[slot]
		for _, n := range []uint64{slot, uint64(h.size), uint64(h.at), uint64(len(h.start))} {
			data = binary.AppendUvarint(data, n)
		}
		data = append(data, h.start...)
		if h.objects == nil {
			data = binary.AppendUvarint(data, 0)
			continue
		}
		data = binary.AppendUvarint(data, uint64(len(h.objects)+1))
		for _, name := range h.objects {
			data = binary.AppendUvarint(data, at[name])
		}
	}
	sum := blake3.Sum256(data)
	return append(data, sum[:]...)
}

// objectsOf lists the objects that heads name, in the order in which they come up.
func objectsOf(heads map[uint64]head) []string {
	var names []string
	seen := make(map[string]bool)
	for _, slot := range slices.Sorted(maps.Keys(heads)) {
		for _, name := range heads[slot].objects {
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	return names
}

func decodeHeads(data []byte) (map[uint64]head, error) {
	end := len(data) - 32
	if end < len(shelfMagic) || string(data[:len(shelfMagic)]) != shelfMagic || blake3.Sum256(data[:end]) != [32]byte(data[end:]) {
		return nil, errShelf
	}
	r := &shelfReader{rest: data[len(shelfMagic):end]}
	names := make([]string, r.count())
	for i := range names {
		names[i] = string(r.bytes())
	}
	heads := make(map[uint64]head)
	for len(r.rest) > 0 && !r.bad {
		slot := r.number()
		h := head{size: int64(r.number()), at: int64(r.number()), start: r.bytes()}
		if n := r.count(); n > 0 {
			h.objects = make([]string, n-1)
		}
		for i := range h.objects {
			if at := r.number(); at < uint64(len(names)) {
				h.objects[i] = names[at]
			} else {
				r.bad = true
			}
		}
		heads[slot] = h
	}
	if r.bad {
		return nil, errShelf
	}
	return heads, nil
}

// shelfReader reads numbers and bytes until something is wrong.
type shelfReader struct {
	rest []byte
	bad  bool
}

func (r *shelfReader) number() uint64 {
	n, size := binary.Uvarint(r.rest)
	if size <= 0 {
		r.bad, r.rest = true, nil
		return 0
	}
	r.rest = r.rest[size:]
	return n
}

// count is a number of things that follow, each of a byte at least.
func (r *shelfReader) count() int {
	n := r.number()
	if n > uint64(len(r.rest))+1 {
		r.bad = true
		return 0
	}
	return int(n)
}

func (r *shelfReader) bytes() []byte {
	n := r.number()
	if n > uint64(len(r.rest)) {
		r.bad, r.rest = true, nil
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}
