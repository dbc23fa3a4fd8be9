// Package catalog keeps the ordered set of entries of one database within a
// repository. An entry holds a numbered slot and is a manifest, which is a
// snapshot, or an epoch, which is a writer's fencing token. A slot is taken once,
// by creating an object under its name, and that creation is the only step by
// which a snapshot becomes visible.
//
// DESIGN.md beside this file explains the layout and the protocol.
package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Latest is the id under which Find returns the newest snapshot.
const Latest = "latest"

// Catalog is the entries of one database. It holds no state beyond the store
// but what can never change there, and is safe for concurrent use.
type Catalog struct {
	store    blob.Store
	database string
	format   Format
	decided  sync.Map // what became of groups, by name: *GroupOutcome
	recent   recent

	known knownHeads
}

// Open opens the catalog of a database, which may be empty. It fails with
// [ErrNoRepository] when the store is none, with [ErrVersion] when a newer
// rocksnap made it, and with [ErrDamaged] when its format cannot be read.
func Open(ctx context.Context, store blob.Store, database string) (*Catalog, error) {
	if !isName(database) {
		return nil, fmt.Errorf("open catalog: database name %q: %w", database, blob.ErrName)
	}
	format, err := readFormat(ctx, store)
	if err != nil {
		return nil, fmt.Errorf("open catalog: %w", err)
	}
	return &Catalog{store: store, database: database, format: format}, nil
}

// Format describes the repository that the catalog is part of.
func (c *Catalog) Format() Format { return c.format }

// Snapshots yields the summary of every snapshot, in the order of slots; see [Order]. An entry that
// cannot be read yields a Summary of which only Slot is set, with an error that
// names it, and the sequence goes on; only an error of the listing itself, which
// comes with Slot 0, ends it.
func (c *Catalog) Snapshots(ctx context.Context) iter.Seq2[Summary, error] {
	return func(yield func(Summary, error) bool) {
		s, err := c.survey(ctx)
		if err != nil {
			yield(Summary{}, err)
			return
		}
		for r := range s.present() {
			switch {
			case r.err != nil:
				if !yield(Summary{Slot: r.slot}, r.err) {
					return
				}
			case r.entry.manifest != nil && r.entry.standing == counts:
				if !yield(r.entry.manifest.Summary, nil) {
					return
				}
			}
		}
	}
}

// Manifest reads the snapshot in a slot. It fails with fs.ErrNotExist when there
// is none, and with [ErrDamaged] or [ErrVersion] when it cannot be read.
func (c *Catalog) Manifest(ctx context.Context, slot uint64) (*Manifest, error) {
	return c.manifest(ctx, slot, decodeEntry)
}

// SharedManifest is Manifest for those who change nothing of what they get: it is
// quicker for the one that was read so, or committed, last. One with an encrypted
// part is never shared.
func (c *Catalog) SharedManifest(ctx context.Context, slot uint64) (*Manifest, error) {
	return c.manifest(ctx, slot, c.recent.decode)
}

func (c *Catalog) manifest(ctx context.Context, slot uint64, decode func([]byte) (*entry, error)) (*Manifest, error) {
	e, err := c.readWith(ctx, c.place(slot), decode)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if e.manifest == nil {
		return nil, fmt.Errorf("read manifest: slot %d holds no snapshot: %w", slot, fs.ErrNotExist)
	}
	switch standing, err := c.standing(ctx, e); {
	case err != nil:
		return nil, fmt.Errorf("read manifest: %w", err)
	case standing != counts:
		return nil, fmt.Errorf("read manifest: group %s is not committed with slot %d: %w", e.manifest.Group, slot, fs.ErrNotExist)
	}
	return e.manifest, nil
}

// Find reads the snapshot with the given id: a full one, the first 4 or more
// characters of one, or [Latest]. It fails with fs.ErrNotExist when there is
// none, and with [ErrAmbiguous] when there are several. When the newest entry
// cannot be read, Latest fails rather than pass an older snapshot off as it.
func (c *Catalog) Find(ctx context.Context, id string) (*Manifest, error) {
	find := c.byPrefix
	if id == Latest {
		find = c.latest
	}
	slot, err := find(ctx, strings.ToLower(id))
	if err != nil {
		return nil, fmt.Errorf("find snapshot %q: %w", id, err)
	}
	return c.Manifest(ctx, slot)
}

// latest returns the slot of the newest snapshot. When an entry is gone that was
// listed, it begins again: what was listed is history.
func (c *Catalog) latest(ctx context.Context, _ string) (slot uint64, err error) {
	for range tries {
		slot, err = c.newest(ctx)
		switch {
		case err == nil && slot == 0:
			return 0, fs.ErrNotExist
		case !errors.Is(err, fs.ErrNotExist):
			return slot, err
		}
	}
	return 0, errRestless
}

// newest reads backwards, so that it reads few entries, and the newest removal,
// which says what all of them say, before anything that it concerns. It returns 0
// when there is no snapshot.
func (c *Catalog) newest(ctx context.Context) (slot uint64, err error) {
	places, err := c.places(ctx)
	if err != nil {
		return 0, err
	}
	var newest *removal
	for _, p := range slices.Backward(places) {
		if newest != nil && newest.Removed.has(p.slot) {
			continue
		}
		e, err := c.readHead(ctx, p)
		if e, err = c.judged(ctx, e, err); err != nil {
			return 0, err
		}
		switch {
		case e.standing != counts:
			continue
		case e.manifest != nil && e.manifest.Copied:
			return c.newestOfAll(ctx) // it may be older than others
		case e.manifest != nil:
			return e.slot, nil
		case e.removal != nil && newest == nil:
			newest = e.removal
		}
	}
	return 0, nil
}

func (c *Catalog) newestOfAll(ctx context.Context) (slot uint64, err error) {
	var list []Summary
	for s, err := range c.Snapshots(ctx) {
		if err != nil {
			return 0, err
		}
		list = append(list, s)
	}
	Order(list)
	return list[len(list)-1].Slot, nil
}

func (c *Catalog) byPrefix(ctx context.Context, prefix string) (slot uint64, err error) {
	if len(prefix) < 4 {
		return 0, fmt.Errorf("an id takes at least 4 characters: %w", fs.ErrNotExist)
	}
	var found []Summary
	var unread error
	for s, err := range c.Snapshots(ctx) {
		switch {
		case err != nil:
			unread = err
		case strings.HasPrefix(s.ID, prefix):
			found = append(found, s)
		}
	}
	switch {
	case len(found) == 1:
		return found[0].Slot, nil
	case len(found) > 1:
		return 0, fmt.Errorf("%w: %s and %s", ErrAmbiguous, found[0].ID, found[1].ID)
	case unread != nil: // it may be the one
		return 0, fmt.Errorf("%w, but %w", fs.ErrNotExist, unread)
	}
	return 0, fs.ErrNotExist
}
