package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
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
	Bytes    int64         // read from the repository
	Records  uint64        // loaded, for a canonical snapshot
	Duration time.Duration // in all
}

// Restore makes a database of a snapshot in target, which must be absent or an
// empty directory. Whatever happens, target is afterwards either the complete
// database, durably, or as it was before.
func (r *Repository) Restore(ctx context.Context, ref, target string) (*Restored, error) {
	m, err := r.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	return r.restore(ctx, m, target)
}

func (r *Repository) restore(ctx context.Context, m *Manifest, target string) (*Restored, error) {
	start := time.Now()
	target, err := filepath.Abs(target)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if folder := rocks.Staging(r.cfg.Database.Path); target == folder || strings.HasPrefix(target, folder+"/") {
		return nil, problem(CodeUsage, fmt.Errorf("restore: target %s is in the folder of checkpoints", target), "name a directory elsewhere")
	}
	if err := checkTarget(target); err != nil {
		return nil, err
	}
	if err := durable.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if err := sweepStagings(target); err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	if err := checkSpace(filepath.Dir(target), m.BytesFull); err != nil {
		return nil, err
	}
	staging, err := newStaging(target)
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	defer staging.remove()
	if err := r.restoreInto(ctx, m, staging.dir); err != nil {
		return nil, err
	}
	if err := durable.Rename(staging.dir, target); err != nil {
		if changed := checkTarget(target); changed != nil {
			return nil, changed // by somebody, meanwhile
		}
		return nil, fmt.Errorf("restore: %w", err)
	}
	return &Restored{Snapshot: m, Target: target, Files: m.Files, Bytes: m.BytesFull, Records: m.Records, Duration: time.Since(start)}, nil
}

// restoreInto fills an own, empty directory with the database and proves that RocksDB
// opens it.
func (r *Repository) restoreInto(ctx context.Context, m *Manifest, dir string) error {
	t := newTally("restore", m.BytesFull, m.Files, r.report)
	var err error
	switch m.Kind {
	case catalog.KindNative:
		err = r.restoreNative(ctx, m, dir, t)
	case catalog.KindCanonical, catalog.KindCustom, catalog.KindEmpty:
		err = r.restoreRecords(ctx, m, dir, t)
	default:
		err = fmt.Errorf("snapshot of unknown kind %q", m.Kind)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", m.ID, err)
	}
	if err := writeNote(dir, m); err != nil {
		return fmt.Errorf("restore %s: %w", m.ID, err)
	}
	err = opens(dir)
	if errors.Is(err, rocks.ErrForeign) {
		// The application brings the comparator or merge operator; the bytes
		// are proven by their digests all the same.
		r.log.Warn("the restored database was not opened", "reason", err)
	} else if err != nil {
		return fmt.Errorf("restore %s: %w", m.ID, err)
	}
	return durable.SyncDir(dir)
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
func (r *Repository) restoreNative(ctx context.Context, m *Manifest, dir string, t *tally) error {
	i := slices.IndexFunc(m.Contents, func(f File) bool { return f.Kind == abi.KindCurrent })
	if i < 0 {
		return fmt.Errorf("the manifest lists no CURRENT: %w", abi.ECORRUPT)
	}
	current := &m.Contents[i]
	fetch := func(ctx context.Context, f *File) error {
		if f == current || f.Kind == abi.KindStream { // a stream has a meaning for its strategy only
			return nil
		}
		return r.fetch(ctx, f, dir, t)
	}
	if err := r.fetchAll(ctx, m, fetch); err != nil {
		return err
	}
	if err := writeIdentity(dir); err != nil {
		return err
	}
	return r.fetch(ctx, current, dir, t)
}

// writeIdentity makes the directory a database of its own. RocksDB would do so
// when it first opens it for writing, but a database at rest needs a name too.
func writeIdentity(dir string) error {
	return durable.CreateFile(filepath.Join(dir, "IDENTITY"), 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, uuid.NewString()+"\n")
		return err
	})
}

// fetchAll fetches the files as the snapshot's strategy wishes, if it may and
// does, or else all in parallel.
func (r *Repository) fetchAll(ctx context.Context, m *Manifest, fetch func(context.Context, *File) error) error {
	if r.steered(m) {
		if done, err := r.steer(ctx, m, fetch); done || err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.workers)
	for i := range m.Contents {
		g.Go(func() error { return fetch(ctx, &m.Contents[i]) })
	}
	return g.Wait()
}

// fetch writes a file durably, and checks its digest while it does.
func (r *Repository) fetch(ctx context.Context, f *File, dir string, t *tally) error {
	body, err := r.open(ctx, f, t)
	if err != nil {
		return err
	}
	defer body.Close()
	err = durable.CreateFile(filepath.Join(dir, f.Name), 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, body)
		return err
	})
	if err != nil {
		return err
	}
	t.file()
	return nil
}

// open reads the object of a file. The end of the stream is an error unless
// every byte is as the manifest says.
func (r *Repository) open(ctx context.Context, f *File, t *tally) (io.ReadCloser, error) {
	body, err := r.store.Open(ctx, f.Object, 0, -1)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged(f, "is missing")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.Name, err)
	}
	return &checkedBody{Closer: body, meter: newMeter(&interruptible{ctx, body}, t.bytes), file: f}, nil
}

// checkedBody fails at its end when the digest is wrong.
type checkedBody struct {
	io.Closer
	*meter
	file *File
}

func (b *checkedBody) Read(p []byte) (int, error) {
	n, err := b.meter.Read(p)
	switch {
	case b.size > b.file.Size, err == io.EOF && b.size < b.file.Size:
		return n, damaged(b.file, fmt.Sprintf("has not its %d bytes", b.file.Size))
	case err == io.EOF && b.digest() != b.file.Digest:
		return n, damaged(b.file, "has changed: its digest is wrong")
	}
	return n, err
}

// interruptible ends a copy soon after its context does.
type interruptible struct {
	ctx  context.Context
	from io.Reader
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	return i.from.Read(p)
}

// damaged reports an object that is not what its manifest says.
func damaged(f *File, what string) error {
	return problem(CodeDamaged, fmt.Errorf("%s: object %s %s: %w", f.Name, f.Object, what, abi.ECORRUPT),
		"'rocksnap verify --level data' lists every snapshot that is affected")
}

// unreadable reports what a reader of the canonical format found in a file: it
// often meets damage before the digest does, which is known at the end only.
func unreadable(f *File, err error) error {
	if errors.Is(err, canonical.ErrCorrupt) && CodeOf(err) != CodeDamaged {
		return damaged(f, "cannot be read: "+err.Error())
	}
	return fmt.Errorf("read %s: %w", f.Name, err)
}
