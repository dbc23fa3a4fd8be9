package host

import (
	"context"
	"maps"
	"os"
	"path/filepath"

	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// claim returns to whom the history belongs of what is being restored; "" for an
// engine that takes no further snapshots.
func (w *restoration) claim() Claim {
	switch o := &w.options; {
	case !o.forRocksDB():
		return ClaimAuto
	case o.Claim != ClaimAuto:
		return o.Claim
	case len(w.parts) == 1 && !o.partial() && w.parts[0].Database == w.Repository.name:
		return Claimed
	}
	return Forked
}

// leaveNote writes down which history the new database goes on with, or where it
// comes from.
func (w *restoration) leaveNote() error {
	first := w.parts[0]
	n := note{Lineage: uuid.NewString(), Snapshot: first.ID, TTL: ttlsOf(w.families())}
	switch w.result.Claim = w.claim(); w.result.Claim {
	case Claimed:
		n.Lineage, n.Blobs = first.Lineage, w.inheritedBlobs()
	case Forked:
		n.Origins, n.Blobs = w.origins(), w.inheritedBlobs()
	}
	return writeNote(w.staging.dir, n)
}

func (w *restoration) origins() []catalog.Origin {
	list := make([]catalog.Origin, len(w.parts))
	for i, p := range w.parts {
		list[i] = catalog.Origin{Database: p.Database, Snapshot: p.ID, Slot: p.Slot}
	}
	return list
}

// inheritedBlobs tells who wrote the blob files that came with the parts, where
// that is beyond doubt. Records that were loaded are in files of the new database's
// own, which may well have the numbers of theirs.
func (w *restoration) inheritedBlobs() map[uint64]string {
	blobs := make(map[uint64]string)
	if w.result.Method == ByRecords {
		return blobs
	}
	for _, p := range w.parts {
		for i := range p.Contents {
			f := &p.Contents[i]
			if f.Kind != abi.KindBlob || !w.came(f) {
				continue
			}
			writer := blobWriter(f.Identity)
			if other, twice := blobs[f.Number]; twice && other != writer {
				writer = "" // it may be of either
			}
			blobs[f.Number] = writer
		}
	}
	maps.DeleteFunc(blobs, func(_ uint64, writer string) bool { return writer == "" })
	return blobs
}

// came says whether a file of a part is one of the new database.
func (w *restoration) came(f *File) bool {
	info, err := os.Stat(filepath.Join(w.staging.dir, f.Name))
	return err == nil && info.Size() == f.Size
}

// pinSources keeps what was restored with no-claim, as nothing else does: no later
// snapshot refers to it. The database is complete without that.
func (w *restoration) pinSources(ctx context.Context) error {
	if w.result.Claim != NotClaimed {
		return nil
	}
	for _, p := range w.parts {
		from, _, err := w.beside(ctx, p.Database+"/"+p.ID)
		if err == nil {
			err = from.pinOnce(ctx, p.Manifest, "restored with no-claim")
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			w.log.Warn("the snapshot that was restored is not pinned", "snapshot", p.ID, "error", err)
		}
	}
	return nil
}

// pinOnce pins a snapshot unless it is.
func (r *Repository) pinOnce(ctx context.Context, m *Manifest, reason string) error {
	for p, err := range r.catalog.Pins(ctx) {
		if err == nil && p.Snapshot == m.ID {
			return nil
		}
	}
	_, err := r.catalog.Pin(ctx, &m.Summary, reason, thisProcess())
	return err
}

// readOrigins finds what a fork may share objects with, while it has no snapshot of
// its own to build on: the first of these refers to all of it that is still in
// use. What was removed meanwhile, or cannot be read, is not offered. The session's
// intent names the origins, if it has one, and so keeps them.
func (s *session) readOrigins() {
	if s.savepoint || s.history.newest(s.lineage.id) != 0 {
		return
	}
	for _, o := range s.lineage.origins {
		m, err := s.host.catalog.Origin(s.ctx, o)
		switch {
		case err != nil:
			s.host.log.Info("nothing can be shared with a snapshot that the database was made of", "snapshot", o.Snapshot, "of", o.Database, "reason", err)
		case m.Kind == catalog.KindNative && m.BytesShared > 0 && m.Keys == s.history.keys:
			s.history.origins = append(s.history.origins, m)
		}
	}
}

// originSlot is the slot of the base that stands for the origins: that of no entry.
const originSlot = 0

// beginning describes the origins as one base.
func (h history) beginning() abi.Base {
	b := abi.Base{Slot: originSlot}
	for _, m := range h.origins {
		b.CreatedMs = max(b.CreatedMs, m.Created.UnixMilli())
		b.Files += uint64(m.Files)
		b.BytesFull += uint64(m.BytesFull)
		b.BytesNew += uint64(m.BytesNew)
		b.BytesReused += uint64(m.BytesReused)
	}
	return b
}

// useBase makes snapshots the base: one, or the origins, of which the manifest
// then names the first.
func (s *session) useBase(list ...*catalog.Manifest) {
	s.base, s.shared = list[0], make(map[string]*catalog.File)
	for _, m := range list {
		addShared(s.shared, m)
	}
	if s.capture != nil {
		s.markBase()
	}
}

// addShared indexes what a later snapshot may reuse of a manifest.
func addShared(shared map[string]*catalog.File, m *catalog.Manifest) {
	for i := range m.Contents {
		f := &m.Contents[i]
		if f.Scope == abi.ScopeShared && f.Identity != "" {
			shared[f.Identity] = f
		}
	}
}
