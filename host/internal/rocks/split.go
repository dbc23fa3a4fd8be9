//go:build cgo

package rocks

import (
	"bytes"
	"slices"
)

// edge is a bound of a live table with the part of the table's bytes that is
// taken to lie at it.
type edge struct {
	key   []byte
	bytes int64
}

// Split returns at most n-1 keys, ascending and strictly inside the range of the
// stored keys, that cut a column family into ranges of about the same number of
// bytes. It knows the bounds of tables only: for a column family of one table, or
// one that is not ordered bytewise, there are none.
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
	return cut(edges, n)
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
