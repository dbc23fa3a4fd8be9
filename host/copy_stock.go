package host

import (
	"context"
	"errors"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// stock is what a repository has that a snapshot which is copied there may refer
// to.
type stock struct {
	keys      string          // names the recipients that everything in it is encrypted for
	snapshots map[string]bool // by id

	mu    sync.Mutex // guards files
	files map[string]stocked
}

// stocked is the object of a shared file, with the newest snapshot that has it.
type stocked struct {
	catalog.Stored
	snapshot string // id
	slot     uint64
}

// stockKey says by what an object is known to hold what a file does: by the digest
// of its bytes, and where they would be encrypted anew, and so come out different,
// by the identity of the file.
func stockKey(f *File, lineage string, asIs bool) string {
	switch {
	case asIs:
		return "digest:" + f.Digest
	case f.Identity != "":
		return "file:" + lineage + ":" + f.Identity
	}
	return ""
}

// takeStock reads the snapshots of a repository. A session must be announced by
// then, or what is found may be swept.
func (r *Repository) takeStock(ctx context.Context) (*stock, error) {
	s := &stock{keys: r.keys.id(), snapshots: make(map[string]bool), files: make(map[string]stocked)}
	var slots []uint64
	for sum, err := range r.catalog.Snapshots(ctx) {
		switch {
		case errors.Is(err, catalog.ErrDamaged):
			slots = nil // it may say that those before it were removed
		case err != nil:
			return nil, err
		default:
			s.snapshots[sum.ID] = true
			if sum.Keys == s.keys && sum.BytesShared > 0 {
				slots = append(slots, sum.Slot)
			}
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.workers)
	for _, slot := range slots {
		g.Go(func() error {
			m, err := r.catalog.Manifest(ctx, slot)
			switch {
			case errors.Is(err, catalog.ErrDamaged), errors.Is(err, fs.ErrNotExist): // nothing can be had of it
				return nil
			case err != nil:
				return err
			}
			s.add(m)
			return nil
		})
	}
	return s, g.Wait()
}

// add enters the shared files of a snapshot.
func (s *stock) add(m *Manifest) {
	if m.Keys != s.keys {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range m.Contents {
		f := &m.Contents[i]
		if f.Scope != abi.ScopeShared || f.Linked {
			continue
		}
		held := stocked{snapshot: m.ID, slot: m.Slot, Stored: storedAs("", f, "")}
		for _, asIs := range []bool{true, false} {
			key := stockKey(f, m.Lineage, asIs)
			if key != "" && s.files[key].slot <= held.slot {
				s.files[key] = held
			}
		}
	}
}

// find returns the object that is known by a key.
func (s *stock) find(key string) (stocked, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, ok := s.files[key]
	return held, ok
}
