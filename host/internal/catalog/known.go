package catalog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"sync"

	"github.com/zeebo/blake3"
)

// knownHeads are the heads of entries as the store had them. Which entries there are,
// and of what size and date, is asked of the store each time; only what was in one,
// which never changes, is not read again. A head is proven by its seal whenever it is
// used. That it has rotted in the store meanwhile is for [Catalog.Check] to find.
type knownHeads struct {
	mu    sync.Mutex
	heads map[uint64]head // by slot
	fresh int             // read since the last time that they were kept
	shelf Shelf
	ready bool // the shelf was read, or there is none
}

// head is the start of an entry, up to the end of its head.
type head struct {
	size  int64 // of the entry, in bytes
	at    int64 // when it was made, by the store's clock, in nanoseconds
	start []byte
}

// Shelf keeps what a catalog remembers from one process to the next. Where it gives
// nothing back, or something else than it was given, entries are read once more.
type Shelf struct {
	Load func() ([]byte, error)
	Save func([]byte) error
}

// Remember has the catalog keep heads of entries on a shelf, so that a list reads those
// only that are new. It is called before anything else.
func (c *Catalog) Remember(s Shelf) { c.known.shelf = s }

// keepEvery is how many heads are read before all are kept again.
const keepEvery = 100

// readKnown is readHead for what is not about to be decided upon: it may be remembered.
func (c *Catalog) readKnown(ctx context.Context, p place) (*entry, error) {
	if start := c.known.find(p); start != nil {
		if e, err := decodeHead(start, p.size); err == nil {
			return c.settle(p, e, nil)
		}
	}
	e, data, err := c.fetchHead(ctx, p)
	if err == nil {
		c.known.add(p, data[:headerSize+int(e.header.head)])
	}
	return e, err
}

func (r *knownHeads) find(p place) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.load()
	h, ok := r.heads[p.slot]
	if !ok || h.size != p.size || h.at != p.at.UnixNano() {
		return nil
	}
	return h.start
}

func (r *knownHeads) add(p place, start []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heads[p.slot] = head{p.size, p.at.UnixNano(), bytes.Clone(start)}
	r.fresh++
}

// settle forgets what is not there any more, and keeps the rest if much is new.
func (r *knownHeads) settle(places []place) {
	r.mu.Lock()
	defer r.mu.Unlock()
	there := make(map[uint64]bool, len(places))
	for _, p := range places {
		there[p.slot] = true
	}
	maps.DeleteFunc(r.heads, func(slot uint64, _ head) bool { return !there[slot] })
	if r.shelf.Save != nil && r.fresh >= keepEvery {
		_ = r.shelf.Save(encodeHeads(r.heads)) // else they are read again
		r.fresh = 0
	}
}

// load takes from the shelf what is there, once.
func (r *knownHeads) load() {
	if r.ready {
		return
	}
	r.ready, r.heads = true, make(map[uint64]head)
	if r.shelf.Load == nil {
		return
	}
	data, err := r.shelf.Load()
	if err != nil {
		return
	}
	if heads, err := decodeHeads(data); err == nil {
		r.heads = heads
	}
}

// headsMagic begins what is kept on a shelf. It is followed by the heads, each behind
// slot, size, date and length, and by a digest of everything before.
const headsMagic = "RSNAPHD1"

var errHeads = errors.New("heads are damaged")

func encodeHeads(heads map[uint64]head) []byte {
	data := []byte(headsMagic)
	for _, slot := range slices.Sorted(maps.Keys(heads)) {
		h := heads[slot]
		for _, n := range []uint64{slot, uint64(h.size), uint64(h.at), uint64(len(h.start))} {
			data = binary.LittleEndian.AppendUint64(data, n)
		}
		data = append(data, h.start...)
	}
	sum := blake3.Sum256(data)
	return append(data, sum[:]...)
}

func decodeHeads(data []byte) (map[uint64]head, error) {
	end := len(data) - 32
	if end < len(headsMagic) || string(data[:len(headsMagic)]) != headsMagic || blake3.Sum256(data[:end]) != [32]byte(data[end:]) {
		return nil, errHeads
	}
	heads := make(map[uint64]head)
	for rest := data[len(headsMagic):end]; len(rest) > 0; {
		if len(rest) < 32 {
			return nil, errHeads
		}
		n := func(i int) uint64 { return binary.LittleEndian.Uint64(rest[8*i:]) }
		slot, h, length := n(0), head{size: int64(n(1)), at: int64(n(2))}, n(3)
		if rest = rest[32:]; uint64(len(rest)) < length {
			return nil, errHeads
		}
		h.start, rest = rest[:length], rest[length:]
		heads[slot] = h
	}
	return heads, nil
}
