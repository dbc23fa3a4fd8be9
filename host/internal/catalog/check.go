package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
)

// Head is the newest entry as somebody has seen it. Who keeps one elsewhere can
// tell later whether history was rolled back.
type Head struct {
	Slot   uint64 `json:"slot"`
	Digest string `json:"digest"` // of the entry, as the next one holds it; hex
}

// Head returns the newest entry; the zero Head for an empty catalog.
func (c *Catalog) Head(ctx context.Context) (Head, error) {
	t := tail{catalog: c}
	err := t.seek(ctx)
	return Head{t.slot, t.digest}, err
}

// EntryDigest returns what the entry after the one in a slot holds as its parent, or
// fails with fs.ErrNotExist.
func (c *Catalog) EntryDigest(ctx context.Context, slot uint64) (string, error) {
	data, err := c.readStart(ctx, c.place(slot), headerSize)
	return entryDigest(data), err
}

// CheckDocuments reads the format, and every intent, note and pin of the database.
// It yields the name of each that it has read, with an error, such as a
// [DamageError], for what is wrong with it. An error of a listing, without a name,
// ends the sequence.
func (c *Catalog) CheckDocuments(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if _, err := readFormat(ctx, c.store); !yield(formatName, err) {
			return
		}
		for _, kind := range []struct {
			prefix string
			read   func(name string) error
		}{
			{intentsPrefix(c.database), func(name string) error { _, err := c.readIntent(ctx, name); return err }},
			{notesPrefix(c.database), func(name string) error { _, err := c.readNote(ctx, name); return err }},
			{pinsPrefix(c.database), func(name string) error { _, err := c.readPin(ctx, name); return err }},
		} {
			for info, err := range c.store.List(ctx, kind.prefix, "") {
				if err != nil {
					yield("", fmt.Errorf("list %s: %w", kind.prefix, err))
					return
				}
				err := kind.read(info.Name)
				if errors.Is(err, fs.ErrNotExist) {
					continue // an intent, for one, comes and goes
				}
				if !yield(info.Name, err) {
					return
				}
			}
		}
	}
}

// Check reads every entry whole, oldest first, and yields each manifest that is
// sound. Whatever is wrong comes as an error that names the entry, with the
// manifest when it can be read all the same and nil otherwise: damage, an entry
// that does not continue the one before it, a slot that is empty though nobody has
// removed what was in it, a manifest from a stale epoch, and a history that does
// not contain what was seen of it before. The sequence goes on after an error,
// except after one of the listing itself.
func (c *Catalog) Check(ctx context.Context, seen Head) iter.Seq2[*Manifest, error] {
	return func(yield func(*Manifest, error) bool) {
		s, err := c.survey(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		h := &historian{catalog: c, survey: s}
		for r := range c.readAll(ctx, s.places(), h.read(ctx)) {
			for m, err := range h.judge(r) {
				if !yield(m, err) {
					return
				}
			}
		}
		if err := h.remembers(seen); err != nil {
			yield(nil, err)
		}
	}
}

func (s *survey) places() []place {
	places := make([]place, len(s.heads))
	for i, r := range s.heads {
		places[i] = r.place
	}
	return places
}

// historian follows a history from its first slot to its last.
type historian struct {
	catalog *Catalog
	survey  *survey
	before  *entry // the last one that could be read
	last    uint64 // slot of the last entry that is there
	newest  uint64 // epoch seen
	digests map[uint64]string
}

// read reads entries whole, except those that are removed: of them only the head
// is of interest, as a link of the chain.
func (h *historian) read(ctx context.Context) func(context.Context, place) (*entry, error) {
	return func(_ context.Context, p place) (*entry, error) {
		if h.survey.declared.has(p.slot) {
			return h.catalog.readHead(ctx, p)
		}
		e, err := h.catalog.readWhole(ctx, p)
		return h.catalog.judged(ctx, e, err)
	}
}

// judge yields the manifest in a slot, if there is one to yield, and everything
// that is wrong with the entry and with the slots before it.
func (h *historian) judge(r reading) iter.Seq2[*Manifest, error] {
	return func(yield func(*Manifest, error) bool) {
		for slot := h.last + 1; slot < r.slot; slot++ {
			if h.survey.declared.has(slot) {
				continue
			}
			name := entryName(h.catalog.database, slot)
			if !yield(nil, &DamageError{name, "it is missing, and nothing says that it was removed: history was changed"}) {
				return
			}
		}
		h.last = r.slot
		m, err := h.weigh(r)
		if m != nil || err != nil {
			yield(m, err)
		}
	}
}

// weigh passes over what is removed: a zombie may have put something else there
// since, which is void.
func (h *historian) weigh(r reading) (*Manifest, error) {
	if h.survey.declared.has(r.slot) {
		return nil, nil
	}
	if r.err != nil {
		return nil, r.err
	}
	err := follows(h.before, r.entry, h.newest)
	h.remember(r.entry)
	if r.entry.standing != counts {
		return nil, err
	}
	return r.entry.manifest, err
}

func (h *historian) remember(e *entry) {
	if h.digests == nil {
		h.digests = make(map[uint64]string)
	}
	h.before, h.digests[e.slot] = e, e.digest
	h.newest = max(h.newest, e.term())
}

// remembers demands that an entry that was seen once is still there, or removed.
func (h *historian) remembers(seen Head) error {
	name := entryName(h.catalog.database, seen.Slot)
	digest, ok := h.digests[seen.Slot]
	switch {
	case seen.Slot == 0, digest == seen.Digest, !ok && h.survey.declared.has(seen.Slot):
		return nil
	case seen.Slot > h.last:
		return &DamageError{name, fmt.Sprintf("it was there before, and now history ends at slot %d: it was rolled back", h.last)}
	case !ok:
		return nil // damaged or missing, which was said
	}
	return &DamageError{name, "another entry was there before: history was changed"}
}

// follows checks an entry against its predecessor, which is not there when its
// slot was pruned, and against the newest epoch before it.
func follows(before, e *entry, newest uint64) error {
	if before != nil && before.slot+1 == e.slot && before.digest != e.parent() {
		return &DamageError{e.name, fmt.Sprintf("it does not continue %s: history was changed", before.name)}
	}
	if e.term() != 0 && e.term() < newest {
		return &DamageError{e.name, fmt.Sprintf("it is of epoch %d, but stands after epoch %d", e.term(), newest)}
	}
	return nil
}
