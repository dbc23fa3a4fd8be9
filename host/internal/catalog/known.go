package catalog

import (
	"bytes"
	"context"
	"maps"
	"sync"
)

// knownHeads are the heads of entries as the store had them, and for plans the names of
// the objects that they refer to. Which entries there are,
// and of what size and date, is asked of the store each time; only what was in one,
// which never changes, is not read again. A head is proven by its seal whenever it is
// used. That it has rotted in the store meanwhile is for [Catalog.Check] to find.
type knownHeads struct {
	mu    sync.Mutex
	heads map[uint64]head // by slot
	fresh int             // read since the last time that they were kept
	names int             // of objects, in all heads
	shelf Shelf
	ready bool // the shelf was read, or there is none
}

// head is what is known of an entry.
type head struct {
	size    int64    // of the entry, in bytes
	at      int64    // when it was made, by the store's clock, in nanoseconds
	start   []byte   // the entry up to the end of its head
	objects []string // that it names; nil when nobody has looked
}

// keepNames bounds the names of objects that are known: some 32 MiB.
const keepNames = 2 << 20

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
	if h := c.known.find(p); h.start != nil {
		if e, err := decodeHead(h.start, p.size); err == nil {
			return c.settle(p, e, nil)
		}
	}
	e, data, err := c.fetchHead(ctx, p)
	if err == nil {
		c.known.add(p, data[:headerSize+int(e.header.head)])
	}
	return e, err
}

// find returns what is known of the entry in a place, or the zero head.
func (r *knownHeads) find(p place) head {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.load()
	h, ok := r.heads[p.slot]
	if !ok || h.size != p.size || h.at != p.at.UnixNano() {
		return head{}
	}
	return h
}

func (r *knownHeads) add(p place, start []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.heads[p.slot] = head{size: p.size, at: p.at.UnixNano(), start: bytes.Clone(start)}
	r.fresh++
}

// addObjects notes what an entry refers to whose head is known.
func (r *knownHeads) addObjects(p place, files []File) {
	objects := make([]string, len(files))
	for i := range files {
		objects[i] = files[i].Object
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h, ok := r.heads[p.slot]
	if !ok || h.objects != nil || r.names+len(objects) > keepNames {
		return
	}
	h.objects = objects
	r.heads[p.slot] = h
	r.names += len(objects)
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
	r.keep()
}

// keep puts what is known on the shelf, if much of it is new.
func (r *knownHeads) keep() {
	r.names = 0
	for _, h := range r.heads {
		r.names += len(h.objects)
	}
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
