package host

import (
	"cmp"
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

// Restore makes a database of snapshots in a target, which must be absent or an
// empty directory. Whatever happens, the target is afterwards either the complete
// database, durably, or as it was before.
//
// An attempt that is killed or cancelled, or that the store fails, leaves what it
// has fetched in a hidden directory beside the target. The next one with the same
// options goes on from there; one with others removes it.
func (r *Repository) Restore(ctx context.Context, o RestoreOptions) (*Restored, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	parts, release, err := r.parts(ctx, o)
	if err != nil {
		return nil, err
	}
	defer release()
	return r.restore(ctx, o, parts, true)
}

// restoreWhole restores one snapshot for the host's own use: an attempt that fails
// is not worth going on from.
func (r *Repository) restoreWhole(ctx context.Context, m *Manifest, target string) (*Restored, error) {
	return r.restore(ctx, RestoreOptions{Target: target}, []*part{{Manifest: m}}, false)
}

// restoration is a restore under way.
type restoration struct {
	*Repository
	options RestoreOptions
	parts   []*part
	staging *staging
	tally   *tally
	wanted  wanted
	views   []func() error // ends of what is open of native parts
	result  Restored
}

// restore makes a database of parts. Unless it is resumable, an attempt that
// fails leaves nothing.
func (r *Repository) restore(ctx context.Context, o RestoreOptions, parts []*part, resumable bool) (*Restored, error) {
	start := time.Now()
	w := &restoration{Repository: r, options: o, parts: parts}
	files, size, err := w.survey()
	if err != nil {
		return nil, err
	}
	target, err := r.prepareTarget(o.Target)
	if err != nil {
		return nil, err
	}
	if w.staging, err = claimStaging(target, w.attempt(), size); err != nil {
		return nil, err
	}
	w.tally = newTally("restore", size, files, r.report)
	if err = w.resume(ctx, size); err == nil {
		err = w.make(ctx)
	}
	if err == nil {
		err = w.staging.publish(target)
	}
	if err != nil {
		return nil, w.staging.abandon(err, resumable)
	}
	w.staging.close()
	return w.summary(target, time.Since(start)), nil
}

// survey decrypts the manifests and counts what they hold.
func (w *restoration) survey() (files int, bytes int64, err error) {
	for _, p := range w.parts {
		if err := w.keys.reveal(p.Manifest); err != nil {
			return 0, 0, err
		}
		files += p.Files
	}
	err = w.choose()
	return files, w.expected(), err
}

func (w *restoration) summary(target string, took time.Duration) *Restored {
	done := w.result
	done.Snapshot, done.Target, done.Duration = w.parts[0].Manifest, target, took
	done.Resumed = w.tally.done.BytesResumed
	done.Bytes = w.tally.done.BytesDone - done.Resumed
	for _, p := range w.parts {
		done.Sources = append(done.Sources, p.Manifest)
		done.Files += p.Files
	}
	done.Files -= done.Skipped
	done.Engine = cmp.Or(w.options.Engine, RocksDB)
	return &done
}

// make fills the staging directory with the database and proves that RocksDB
// opens it.
func (w *restoration) make(ctx context.Context) error {
	err := w.fill(ctx)
	if err == nil && !w.options.forRocksDB() {
		return nil
	}
	if err == nil {
		err = writeNote(w.staging.dir, w.parts[0].Manifest)
	}
	if err != nil {
		return fmt.Errorf("restore %s: %w", w.name(), err)
	}
	err = opens(w.staging.dir)
	if errors.Is(err, rocks.ErrForeign) || errors.Is(err, rocks.ErrNoRocksDB) {
		// The application brings the comparator or merge operator, or RocksDB; the
		// bytes are proven by their digests all the same.
		w.log.Warn("the restored database was not opened", "reason", err)
	} else if err != nil {
		return fmt.Errorf("restore %s: %w", w.name(), err)
	}
	return nil
}

// fill makes the database of the parts.
func (w *restoration) fill(ctx context.Context) error {
	native := true
	for _, p := range w.parts {
		switch p.Kind {
		case catalog.KindNative:
		case catalog.KindCanonical, catalog.KindCustom, catalog.KindEmpty:
			native = false
		default:
			return fmt.Errorf("snapshot of unknown kind %q", p.Kind)
		}
	}
	if native && w.parts[0].folder == "" {
		return w.restoreNative(ctx, w.parts[0])
	}
	return w.restoreRecords(ctx)
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
func (w *restoration) restoreNative(ctx context.Context, p *part) error {
	i := slices.IndexFunc(p.Contents, func(f File) bool { return f.Kind == abi.KindCurrent })
	if i < 0 {
		return fmt.Errorf("the manifest lists no CURRENT: %w", abi.ECORRUPT)
	}
	current := &p.Contents[i]
	fetch := func(ctx context.Context, f *File) error {
		if f == current || f.Kind == abi.KindStream { // a stream has a meaning for its strategy only
			return nil
		}
		return w.fetch(ctx, p, f)
	}
	if err := w.fetchAll(ctx, p.Manifest, fetch); err != nil {
		return err
	}
	if err := writeIdentity(w.staging.dir, w.staging.attempt.Identity); err != nil {
		return err
	}
	return w.fetch(ctx, p, current)
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
func (w *restoration) fetch(ctx context.Context, p *part, f *File) error {
	s, name := w.staging, p.path(f.Name)
	if _, done := s.kept[name]; done {
		return nil
	}
	body, err := w.source(ctx, f, w.tally)
	if err != nil {
		return err
	}
	defer body.Close()
	from, digest := io.Reader(body), func() string { return f.Digest }
	if f.Stored > 0 { // that digest is of the encrypted bytes
		plain := newMeter(body, nil)
		from, digest = plain, plain.digest
	}
	incomplete := s.work(partsFolder, p.stem()+f.Name)
	err = durable.CreateFile(incomplete, 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, from)
		return err
	})
	if err == nil {
		err = durable.Move(incomplete, filepath.Join(s.dir, name))
	}
	if err == nil {
		err = s.journal.add(finished{File: name, Pieces: []piece{{name, f.Size, digest()}}})
	}
	if err != nil {
		return err
	}
	w.tally.file()
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
