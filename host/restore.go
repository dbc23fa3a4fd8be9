package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/surgery"
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
	if o.Group != "" {
		var err error
		if o.Snapshots, err = r.ofGroup(ctx, o.Group); err != nil {
			return nil, err
		}
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
	linked  atomic.Int64   // bytes of objects that became files of the target
	result  Restored

	local      map[string]localFile // on this machine, by place in the staging directory
	localBytes atomic.Int64         // of those that were used
	old        *replaced            // nil when the target is absent or empty
	reused     atomic.Int64         // bytes of its files that were used
}

// restore makes a database of parts. Unless it is resumable, an attempt that
// fails leaves nothing.
func (r *Repository) restore(ctx context.Context, o RestoreOptions, parts []*part, resumable bool) (*Restored, error) {
	start := time.Now()
	w := &restoration{Repository: r, options: o, parts: parts, local: make(map[string]localFile)}
	files, size, err := w.survey()
	if err != nil {
		return nil, err
	}
	target, err := r.prepareTarget(o.Target, o.Delta)
	if err != nil {
		return nil, err
	}
	if resumable { // what the host restores for its own use is to prove the repository
		w.findLocal()
	}
	if err := w.hold(target); err != nil {
		return nil, err
	}
	defer w.old.free()
	room := size + w.rewritten() - w.linkable(filepath.Dir(target))
	if w.staging, err = claimStaging(target, w.attempt(), room); err != nil {
		return nil, err
	}
	w.tally = newTally("restore", size, files, r.report)
	if err = w.resume(ctx, room); err == nil {
		err = w.tryExchange()
	}
	if err == nil {
		err = w.make(ctx)
	}
	if err == nil {
		err = w.pinSources(ctx)
	}
	if err == nil {
		err = w.publish(target)
	}
	if err != nil {
		return nil, w.staging.abandon(err, resumable)
	}
	w.staging.close()
	return w.summary(target, time.Since(start)), nil
}

// survey decrypts the manifests, decides what is taken of each, and counts that.
func (w *restoration) survey() (files int, bytes int64, err error) {
	for _, p := range w.parts {
		if err := w.keys.reveal(p.Manifest); err != nil {
			return 0, 0, err
		}
	}
	if err := w.choose(); err != nil {
		return 0, 0, err
	}
	for _, p := range w.parts {
		for i := range p.Contents {
			if size := w.expected(p, &p.Contents[i]); size > 0 {
				files++
				bytes += size
			}
		}
	}
	return files, bytes, nil
}

func (w *restoration) summary(target string, took time.Duration) *Restored {
	done := w.result
	done.Linked = w.linked.Load()
	done.Snapshot, done.Target, done.Duration = w.parts[0].Manifest, target, took
	done.Resumed = w.tally.done.BytesResumed
	done.Local = w.localBytes.Load()
	done.Reused = w.reused.Load()
	done.Bytes = w.tally.done.BytesDone - done.Resumed - done.Local - done.Reused
	for _, p := range w.parts {
		done.Sources = append(done.Sources, p.Manifest)
	}
	done.Files = w.tally.done.FilesDone
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
		err = w.shard()
	}
	if err == nil {
		err = w.leaveNote()
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

// fill makes the database of the parts: of their files where that can be done,
// and else of their records.
func (w *restoration) fill(ctx context.Context) error {
	why := w.refusesFiles()
	if why == "" && w.options.Method != ByRecords {
		err := w.takeFiles(ctx)
		if !isRefusal(err) {
			w.result.Method = ByFiles
			return err
		}
		why = err.Error()
		w.log.Warn("files cannot be taken as they are, every record is read", "reason", why)
		w.result.Fallback, w.result.Rewritten, w.result.Skipped = why, 0, 0
	}
	if w.options.Method == ByFiles {
		return problem(CodeFailed, fmt.Errorf("files cannot be taken as they are: %s", why), "leave --method out to have every record read")
	}
	w.result.Method = ByRecords
	return w.restoreRecords(ctx)
}

func (w *restoration) takeFiles(ctx context.Context) error {
	if len(w.parts) == 1 && w.parts[0].folder == "" {
		return w.restoreNative(ctx, w.parts[0])
	}
	return w.rescale(ctx)
}

// shard gives the database the space of file numbers that the configuration names,
// for the blob files to come.
func (w *restoration) shard() error {
	n := w.config().Database.Shard
	if n == 0 {
		return nil
	}
	err := surgery.Shard(w.staging.dir, uint(n))
	if errors.Is(err, surgery.ErrSharded) {
		w.log.Warn("the restored database keeps its file numbers", "shard", n, "reason", err)
		return nil
	}
	return err
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

// unreadable reports what a reader of the canonical format found in a file: it
// often meets damage before the digest does, which is known at the end only.
func unreadable(f *File, err error) error {
	if errors.Is(err, canonical.ErrCorrupt) && CodeOf(err) != CodeDamaged {
		return damaged(f, "cannot be read: "+err.Error())
	}
	return fmt.Errorf("read %s: %w", f.Name, err)
}
