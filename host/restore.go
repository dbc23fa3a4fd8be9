package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Restored tells what a restore did.
type Restored struct {
	Snapshot *Manifest
	Target   string
	Files    int
	Bytes    int64         // read from the repository by this attempt
	Resumed  int64         // bytes of files that an earlier attempt had fetched
	Records  uint64        // loaded, for a canonical snapshot
	Duration time.Duration // in all
}

// Restore makes a database of a snapshot in target, which must be absent or an
// empty directory. Whatever happens, target is afterwards either the complete
// database, durably, or as it was before.
//
// An attempt that is killed or cancelled, or that the store fails, leaves what it
// has fetched in a hidden directory beside target. The next one with the same
// snapshot and target goes on from there; one with another snapshot removes it.
func (r *Repository) Restore(ctx context.Context, ref, target string) (*Restored, error) {
	m, err := r.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	release, err := r.hold(ctx, m, "restored")
	if err != nil {
		return nil, err
	}
	defer release()
	return r.restore(ctx, m, target, true)
}

// restore makes a database of a manifest. Unless it is resumable, an attempt that
// fails leaves nothing.
func (r *Repository) restore(ctx context.Context, m *Manifest, target string, resumable bool) (*Restored, error) {
	start := time.Now()
	if err := r.keys.reveal(m); err != nil {
		return nil, err
	}
	target, err := r.prepareTarget(target)
	if err != nil {
		return nil, err
	}
	s, err := claimStaging(target, r.newAttempt(m), m.BytesFull)
	if err != nil {
		return nil, err
	}
	t := newTally("restore", m.BytesFull, m.Files, r.report)
	if err = s.resume(ctx, m, r.workers, t); err == nil {
		err = r.restoreInto(ctx, m, s, t)
	}
	if err == nil {
		err = s.publish(target)
	}
	if err != nil {
		return nil, s.abandon(err, resumable)
	}
	s.close()
	resumed := t.done.BytesResumed
	return &Restored{
		Snapshot: m, Target: target, Files: m.Files, Bytes: t.done.BytesDone - resumed, Resumed: resumed,
		Records: m.Records, Duration: time.Since(start),
	}, nil
}

// restoreInto fills a staging directory with the database and proves that RocksDB
// opens it.
func (r *Repository) restoreInto(ctx context.Context, m *Manifest, s *staging, t *tally) error {
	var err error
	switch m.Kind {
	case catalog.KindNative:
		err = r.restoreNative(ctx, m, s, t)
	case catalog.KindCanonical, catalog.KindCustom, catalog.KindEmpty:
		err = r.restoreRecords(ctx, m, s, t)
	default:
		err = fmt.Errorf("snapshot of unknown kind %q", m.Kind)
	}
	if err == nil {
		err = writeNote(s.dir, m)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", m.ID, err)
	}
	err = opens(s.dir)
	if errors.Is(err, rocks.ErrForeign) {
		// The application brings the comparator or merge operator; the bytes
		// are proven by their digests all the same.
		r.log.Warn("the restored database was not opened", "reason", err)
	} else if err != nil {
		return fmt.Errorf("restore %s: %w", m.ID, err)
	}
	return nil
}

// opens has RocksDB open a restored database with all its own checks on, without
// changing it.
func opens(dir string) error {
	db, err := rocks.OpenOffline(dir)
	if err != nil {
		return err
	}
	view, err := db.View()
	if err == nil {
		view.Close()
	}
	return errors.Join(err, db.Close())
}

// restoreNative fetches every file, CURRENT last: without it RocksDB takes the
// directory for no database at all.
func (r *Repository) restoreNative(ctx context.Context, m *Manifest, s *staging, t *tally) error {
	i := slices.IndexFunc(m.Contents, func(f File) bool { return f.Kind == abi.KindCurrent })
	if i < 0 {
		return fmt.Errorf("the manifest lists no CURRENT: %w", abi.ECORRUPT)
	}
	current := &m.Contents[i]
	fetch := func(ctx context.Context, f *File) error {
		if f == current || f.Kind == abi.KindStream { // a stream has a meaning for its strategy only
			return nil
		}
		return r.fetch(ctx, f, s, t)
	}
	if err := r.fetchAll(ctx, m, fetch); err != nil {
		return err
	}
	if err := writeIdentity(s.dir, s.attempt.Identity); err != nil {
		return err
	}
	return r.fetch(ctx, current, s, t)
}

// writeIdentity makes the directory a database of its own. RocksDB would do so
// when it first opens it for writing, but a database at rest needs a name too.
func writeIdentity(dir, identity string) error {
	return durable.CreateFile(filepath.Join(dir, "IDENTITY"), 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, identity+"\n")
		return err
	})
}

// fetchAll fetches the files as the snapshot's strategy wishes, if it may and
// does, or else all in parallel.
func (r *Repository) fetchAll(ctx context.Context, m *Manifest, fetch func(context.Context, *File) error) error {
	if r.steered(m) {
		if done, err := r.steer(ctx, m, fetch); done || err != nil {
			return unsteered(err, m.Strategy.Name)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.workers)
	for i := range m.Contents {
		g.Go(func() error { return fetch(ctx, &m.Contents[i]) })
	}
	return g.Wait()
}

// fetch writes a file durably, and checks its digest while it does, unless an
// earlier attempt did. The file gets its name last of all.
func (r *Repository) fetch(ctx context.Context, f *File, s *staging, t *tally) error {
	if _, done := s.kept[f.Name]; done {
		return nil
	}
	body, err := r.source(ctx, f, t)
	if err != nil {
		return err
	}
	defer body.Close()
	from, digest := io.Reader(body), func() string { return f.Digest }
	if f.Stored > 0 { // that digest is of the encrypted bytes
		plain := newMeter(body, nil)
		from, digest = plain, plain.digest
	}
	part := s.work(partsFolder, f.Name)
	err = durable.CreateFile(part, 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, from)
		return err
	})
	if err == nil {
		err = durable.Move(part, filepath.Join(s.dir, f.Name))
	}
	if err == nil {
		err = s.journal.add(finished{File: f.Name, Pieces: []piece{{f.Name, f.Size, digest()}}})
	}
	if err != nil {
		return err
	}
	t.file()
	return nil
}

// unreadable reports what a reader of the canonical format found in a file: it
// often meets damage before the digest does, which is known at the end only.
func unreadable(f *File, err error) error {
	if errors.Is(err, canonical.ErrCorrupt) && CodeOf(err) != CodeDamaged {
		return damaged(f, "cannot be read: "+err.Error())
	}
	return fmt.Errorf("read %s: %w", f.Name, err)
}
