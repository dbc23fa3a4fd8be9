package canonical

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"math"

	"github.com/rocksnap/rocksnap/abi/keygroup"
)

// lengthsBytes is what the two lengths before a packed record take.
const lengthsBytes = 8

// record is one packed record: u32 key length, u32 value length, key, value.
type record struct {
	packed []byte
	keyLen int
}

func (r record) key() []byte   { return r.packed[lengthsBytes : lengthsBytes+r.keyLen] }
func (r record) value() []byte { return r.packed[lengthsBytes+r.keyLen:] }

var errFraming = errors.New("packed records end within a record")

// cut separates the first of several packed records from the rest.
func cut(packed []byte) (r record, rest []byte, err error) {
	if len(packed) < lengthsBytes {
		return record{}, nil, errFraming
	}
	keyLen := binary.LittleEndian.Uint32(packed)
	valueLen := binary.LittleEndian.Uint32(packed[4:])
	n := lengthsBytes + uint64(keyLen) + uint64(valueLen)
	if n > uint64(len(packed)) {
		return record{}, nil, errFraming
	}
	return record{packed[:n:n], int(keyLen)}, packed[n:], nil
}

// AppendRecord appends a packed record. Key and value are less than 4 GiB
// together.
func AppendRecord(dst, key, value []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(key)))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(value)))
	return append(append(dst, key...), value...)
}

// Records yields the keys and values of packed records, without copying them. It
// stops where the framing is broken; blocks that come from a reader of this
// package never are, [Count] tells about others.
func Records(packed []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for len(packed) > 0 {
			r, rest, err := cut(packed)
			if err != nil || !yield(r.key(), r.value()) {
				return
			}
			packed = rest
		}
	}
}

// Count returns the number of packed records, or [ErrCorrupt] when they are not
// whole.
func Count(packed []byte) (records int, err error) {
	for len(packed) > 0 {
		if _, packed, err = cut(packed); err != nil {
			return records, corrupt("record %d: %w", records, err)
		}
		records++
	}
	return records, nil
}

// order follows the records of a file and says whether each may come where it
// does.
type order struct {
	bytewise bool
	count    uint32
	groups   keygroup.Range
	last     []byte // key of the record before
	group    uint32 // and its key group
	began    bool
}

func newOrder(h Header) order {
	return order{bytewise: h.Comparator == BytewiseComparator, count: h.GroupCount, groups: h.groups(), group: h.FirstGroup}
}

// step takes the next record and returns its key group.
func (o *order) step(r record) (group uint32, err error) {
	key := r.key()
	group, ok := keygroup.Of(key, o.count)
	switch {
	case uint64(len(r.packed)) > math.MaxUint32:
		return 0, fmt.Errorf("key %s: record is longer than 4 GiB", brief(key))
	case !ok:
		return 0, fmt.Errorf("key %s has no prefix of %d key groups", brief(key), o.count)
	case !o.groups.Contains(group):
		return 0, fmt.Errorf("key %s is in key group %d, outside of %s", brief(key), group, o.groups)
	case group < o.group:
		return 0, fmt.Errorf("key %s of key group %d comes after key group %d", brief(key), group, o.group)
	case o.bytewise && o.began && bytes.Compare(key, o.last) <= 0:
		return 0, fmt.Errorf("key %s does not come after key %s", brief(key), brief(o.last))
	}
	o.last, o.group, o.began = append(o.last[:0], key...), group, true
	return group, nil
}

// brief shows the start of a key.
func brief(key []byte) string {
	const enough = 24
	if len(key) > enough {
		return fmt.Sprintf("%x… (%d bytes)", key[:enough], len(key))
	}
	return fmt.Sprintf("%x", key)
}
