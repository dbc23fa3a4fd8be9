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
	"time"
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
	size int64     // bytes
	at   time.Time // when it was made, by the store's clock
}

func (c *Catalog) place(slot uint64) place {
	return place{slot: slot, name: entryName(c.database, slot), size: -1}
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
			if ok && !yield(place{slot, info.Name, info.Size, info.Modified}, nil) {
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

// reading is what came of reading one entry: the entry, or why there is none.
type reading struct {
	place
	entry *entry
	err   error
}

// readAll reads entries, several at a time, and yields what came of each in order.
// One that was deleted since it was listed is passed over.
func (c *Catalog) readAll(ctx context.Context, places []place, read func(context.Context, place) (*entry, error)) iter.Seq[reading] {
	return func(yield func(reading) bool) {
		for batch := range slices.Chunk(places, parallel) {
			readings := make([]reading, len(batch))
			var group sync.WaitGroup
			for i, p := range batch {
				group.Go(func() {
					e, err := read(ctx, p)
					readings[i] = reading{p, e, err}
				})
			}
			group.Wait()
			for _, r := range readings {
				if !errors.Is(r.err, fs.ErrNotExist) && !yield(r) {
					return
				}
			}
		}
	}
}

// survey is the heads of all entries at one moment.
type survey struct {
	heads    []reading
	declared slots // what the newest removal entry says
}

// survey reads the head of every entry, the removed ones too. When one is gone that
// was listed, it may have been the newest removal, which another has replaced; then
// it begins again.
func (c *Catalog) survey(ctx context.Context) (*survey, error) { return c.surveyBy(ctx, c.readKnown) }

// surveyBy is survey with heads read in a way of the caller's.
func (c *Catalog) surveyBy(ctx context.Context, read func(context.Context, place) (*entry, error)) (*survey, error) {
	for range tries {
		places, err := c.places(ctx)
		if err != nil {
			return nil, err
		}
		s := &survey{heads: slices.Collect(c.readAll(ctx, places, c.judging(read)))}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, r := range s.heads {
			if r.entry != nil && r.entry.removal != nil {
				s.declared = r.entry.removal.Removed
			}
		}
		c.known.settle(places)
		if len(s.heads) == len(places) {
			return s, nil
		}
	}
	return nil, errRestless
}

// errRestless reports that entries were removed, again and again, while they were
// being read.
var errRestless = errors.New("list entries: they are removed faster than they can be read")

// present yields what is not removed.
func (s *survey) present() iter.Seq[reading] {
	return func(yield func(reading) bool) {
		for _, r := range s.heads {
			if !s.declared.has(r.slot) && !yield(r) {
				return
			}
		}
	}
}

// epoch returns the newest epoch. A removed entry does not count: it may be void,
// and prune never removes the largest epoch. Nor does a damaged one: at worst a
// session is taken for alive.
func (s *survey) epoch() (newest uint64) {
	for r := range s.present() {
		if r.entry != nil {
			newest = max(newest, r.entry.term())
		}
	}
	return newest
}

// readHead reads and decodes the head of an entry whose size is known.
func (c *Catalog) readHead(ctx context.Context, p place) (*entry, error) {
	e, _, err := c.fetchHead(ctx, p)
	return e, err
}

// fetchHead returns the start of the entry as well, at least to the end of its head.
func (c *Catalog) fetchHead(ctx context.Context, p place) (*entry, []byte, error) {
	data, err := c.readStart(ctx, p, firstRead)
	if err != nil {
		return nil, nil, err
	}
	h, err := parseHeader(data)
	if need := headerSize + int64(h.head); err == nil && need > firstRead {
		if data, err = c.readStart(ctx, p, need); err != nil {
			return nil, nil, err
		}
	}
	e, err := decodeHead(data, p.size)
	e, err = c.settle(p, e, err)
	return e, data, err
}

// judging reads an entry and looks up whether it counts.
func (c *Catalog) judging(read func(context.Context, place) (*entry, error)) func(context.Context, place) (*entry, error) {
	return func(ctx context.Context, p place) (*entry, error) {
		e, err := read(ctx, p)
		return c.judged(ctx, e, err)
	}
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
	return c.readWith(ctx, p, decodeEntry)
}

func (c *Catalog) readWith(ctx context.Context, p place, decode func([]byte) (*entry, error)) (*entry, error) {
	data, err := readObject(ctx, c.store, p.name, headerSize+maxHead+maxBody)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", p.name, err)
	}
	e, err := decode(data)
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
