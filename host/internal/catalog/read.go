package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"sync"
)

// parallel is how many entries are read at a time; the round trips of an object
// store are what costs.
const parallel = 16

// firstRead is how much of an entry is asked for when its head is wanted, so
// that one request does in all but the strangest cases. In bytes.
const firstRead = 16 << 10

// place is where an entry lies. Its size is -1 until a listing has told it.
type place struct {
	slot uint64
	name string
	size int64 // bytes
}

func (c *Catalog) place(slot uint64) place {
	return place{slot, entryName(c.database, slot), -1}
}

// after lists the entries in the slots after one, in order. Names that are no
// slots belong to somebody else.
func (c *Catalog) after(ctx context.Context, slot uint64) iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		prefix := entriesPrefix(c.database)
		for info, err := range c.store.List(ctx, prefix, entryName(c.database, slot)) {
			if err != nil {
				yield(place{}, fmt.Errorf("list entries: %w", err))
				return
			}
			slot, ok := parseSlot(info.Name[len(prefix):])
			if ok && !yield(place{slot, info.Name, info.Size}, nil) {
				return
			}
		}
	}
}

func (c *Catalog) places(ctx context.Context) ([]place, error) {
	var places []place
	for p, err := range c.after(ctx, 0) {
		if err != nil {
			return nil, err
		}
		places = append(places, p)
	}
	return places, nil
}

// entries reads all entries, several at a time, and yields them in order. An
// entry that was pruned since it was listed is passed over; one that cannot be
// read yields a bare entry with the error. An error of the listing ends it.
func (c *Catalog) entries(ctx context.Context, read func(context.Context, place) (*entry, error)) iter.Seq2[*entry, error] {
	return func(yield func(*entry, error) bool) {
		places, err := c.places(ctx)
		if err != nil {
			yield(&entry{}, err)
			return
		}
		for batch := range slices.Chunk(places, parallel) {
			if !readBatch(ctx, batch, read, yield) {
				return
			}
		}
	}
}

func readBatch(ctx context.Context, batch []place, read func(context.Context, place) (*entry, error), yield func(*entry, error) bool) bool {
	entries := make([]*entry, len(batch))
	errs := make([]error, len(batch))
	var group sync.WaitGroup
	for i, p := range batch {
		group.Go(func() { entries[i], errs[i] = read(ctx, p) })
	}
	group.Wait()
	for i, err := range errs {
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			entries[i] = &entry{slot: batch[i].slot, name: batch[i].name}
		}
		if !yield(entries[i], err) {
			return false
		}
	}
	return true
}

// readHead reads and decodes the head of an entry whose size is known.
func (c *Catalog) readHead(ctx context.Context, p place) (*entry, error) {
	data, err := c.readStart(ctx, p, firstRead)
	if err != nil {
		return nil, err
	}
	h, err := parseHeader(data)
	if need := headerSize + int64(h.head); err == nil && need > firstRead {
		if data, err = c.readStart(ctx, p, need); err != nil {
			return nil, err
		}
	}
	e, err := decodeHead(data, p.size)
	return c.settle(p, e, err)
}

// readStart reads the first n bytes of an entry, or all of a shorter one.
func (c *Catalog) readStart(ctx context.Context, p place, n int64) ([]byte, error) {
	r, err := c.store.Open(ctx, p.name, 0, n)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.name, err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("read %s: %w", p.name, err)
	}
	return data, nil
}

// readWhole reads and decodes an entry.
func (c *Catalog) readWhole(ctx context.Context, p place) (*entry, error) {
	data, err := readObject(ctx, c.store, p.name, headerSize+maxHead+maxBody)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.name, err)
	}
	e, err := decodeEntry(data)
	return c.settle(p, e, err)
}

// settle checks that a decoded entry belongs where it was found: an entry that
// was copied into another slot or database is as bad as a damaged one.
func (c *Catalog) settle(p place, e *entry, err error) (*entry, error) {
	if err != nil {
		return nil, blame(p.name, err)
	}
	e.slot, e.name = p.slot, p.name
	slot, database := e.home()
	if slot != p.slot || database != c.database {
		return nil, &DamageError{p.name, fmt.Sprintf("it was written for slot %d of %q", slot, database)}
	}
	return e, nil
}
