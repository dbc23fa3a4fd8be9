//go:build cgo

package rocks

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// edge is a bound of a live table with the part of the table's bytes that is
// taken to lie at it.
type edge struct {
	key   []byte
	bytes int64
}

// fineBytes is the size from which it is worth to look into tables for places to
// cut: below, a part would be hardly more than a frame.
const fineBytes = 8 << 20

// Split returns at most n-1 keys, ascending and strictly inside the range of the
// stored keys, that cut a column family into ranges of about the same number of
// bytes. Small ones it cuts where tables end, or not at all. For one that is not
// ordered bytewise, there are none.
func (v *View) Split(family uint32, n int) [][]byte {
	f, err := v.instance.familyByID(family)
	if err != nil || v.instance.comparator(f) != bytewise {
		return nil
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.closed {
		return nil
	}
	var edges []edge
	for _, t := range v.instance.live(f) {
		if t.Level >= 0 {
			edges = append(edges, edge{t.smallest, t.Size / 2}, edge{t.largest, t.Size - t.Size/2})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return bytes.Compare(a.key, b.key) })
	keys := cut(edges, n)
	if len(edges) == 0 || n < 2 {
		return nil
	}
	low, high := edges[0].key, edges[len(edges)-1].key
	r := ruler{
		size:  func(lower, upper []byte) int64 { return v.instance.size(f, lower, upper) },
		first: func(lower []byte) []byte { return v.instance.first(f, lower) },
	}
	if r.even(low, high, keys, n) {
		return keys
	}
	return r.bisect(low, high, n)
}

// ruler measures ranges of keys.
type ruler struct {
	size  func(lower, upper []byte) int64 // about how many bytes it holds
	first func(lower []byte) []byte       // the first key that is stored there, if that is known
}

// even tells whether no range between keys is much more than its part of the bytes.
func (r ruler) even(low, high []byte, keys [][]byte, n int) bool {
	total := r.size(low, high)
	if total < fineBytes {
		return true
	}
	for _, key := range append(slices.Clip(keys), high) {
		if r.size(low, key) > total/int64(n)*3/2 {
			return false
		}
		low = key
	}
	return true
}

// bisect cuts the range between two keys into n of about the same size.
func (r ruler) bisect(low, high []byte, n int) [][]byte {
	if n < 2 {
		return nil
	}
	total := r.size(low, high)
	key := r.find(low, high, total*int64(n/2)/int64(n), total/int64(16*n))
	if key == nil {
		return nil
	}
	keys := append(r.bisect(low, key, n/2), key)
	return append(keys, r.bisect(key, high, n-n/2)...)
}

// findSteps bounds how often a range is halved.
const findSteps = 256

// find returns a key between two, up to which the size is about what is wanted; nil
// when there is none between them.
func (r ruler) find(low, high []byte, wanted, tolerance int64) (found []byte) {
	start := low
	for range findSteps {
		middle := between(low, high)
		if middle == nil {
			break
		}
		key := r.first(middle) // which shows what the next keys have in common
		if bytes.Compare(key, high) >= 0 {
			high = middle
			continue
		}
		found = key
		switch off := r.size(start, key) - wanted; {
		case off < -tolerance:
			low = key
		case off > tolerance:
			high = middle
		default:
			return key
		}
	}
	return found
}

// between returns a key about half-way between two in the order of bytes; nil when
// they are next to each other.
func between(low, high []byte) []byte {
	same := 0
	for same < min(len(low), len(high)) && low[same] == high[same] {
		same++
	}
	var a, b [8]byte
	copy(a[:], low[same:])
	copy(b[:], high[same:])
	x, y := binary.BigEndian.Uint64(a[:]), binary.BigEndian.Uint64(b[:])
	if x+1 >= y {
		return nil
	}
	return binary.BigEndian.AppendUint64(bytes.Clone(low[:same]), x+(y-x)/2)
}

// cut picks from sorted edges the first key at or behind each n-th part of the
// bytes.
func cut(edges []edge, n int) [][]byte {
	if len(edges) == 0 || n < 2 {
		return nil
	}
	var total, before int64
	for _, e := range edges {
		total += e.bytes
	}
	step := max(1, total/int64(n))
	next := step
	low, high := edges[0].key, edges[len(edges)-1].key
	var keys [][]byte
	for _, e := range edges {
		inside := bytes.Compare(low, e.key) < 0 && bytes.Compare(e.key, high) < 0
		if inside && before >= next && len(keys) < n-1 {
			keys = append(keys, e.key)
			low, next = e.key, (before/step+1)*step
		}
		before += e.bytes
	}
	return keys
}
