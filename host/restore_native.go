package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// restoreNative fetches every file, CURRENT last: without it RocksDB takes the
// directory for no database at all.
func (w *restoration) restoreNative(ctx context.Context, p *part) error {
	i := slices.IndexFunc(p.Contents, func(f File) bool { return f.Kind == abi.KindCurrent })
	if i < 0 {
		return fmt.Errorf("the manifest lists no CURRENT: %w", abi.ECORRUPT)
	}
	current := &p.Contents[i]
	fetch := func(ctx context.Context, from *Repository, f *File) error {
		if f == current || f.Kind == abi.KindStream { // a stream has a meaning for its strategy only
			return nil
		}
		return w.fetch(ctx, p, from, f)
	}
	if err := w.fetchAll(ctx, p.Manifest, fetch); err != nil {
		return err
	}
	if err := writeIdentity(w.staging.dir, w.staging.attempt.Identity); err != nil {
		return err
	}
	return w.fetch(ctx, p, w.Repository, current)
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
func (r *Repository) fetchAll(ctx context.Context, m *Manifest, fetch func(context.Context, *Repository, *File) error) error {
	if r.steered(m) {
		one := func(ctx context.Context, f *File) error { return fetch(ctx, r, f) }
		if done, err := r.steer(ctx, m, one); done || err != nil {
			return unsteered(err, m.Strategy.Name)
		}
	}
	return r.eachRun(ctx, filesOf(m), r.workers, fetch)
}

// fetch writes a file durably, and checks its digest while it does, unless an
// earlier attempt did or this machine has it. The file gets its name last of all.
func (w *restoration) fetch(ctx context.Context, p *part, from *Repository, f *File) error {
	if w.staging.has(p.path(f.Name)) {
		return nil
	}
	if done, err := w.fromLocal(ctx, p, f); done || err != nil {
		return err
	}
	if done, err := w.link(ctx, p, f); done || err != nil {
		return err
	}
	body, err := from.source(ctx, f, w.tally)
	if err != nil {
		return err
	}
	defer body.Close()
	content, digest := io.Reader(body), func() string { return f.Digest }
	if f.Stored > 0 { // that digest is of the encrypted bytes
		plain := newProof(body, nil)
		content, digest = plain, plain.digest
	}
	incomplete := w.staging.work(partsFolder, p.stem()+f.Name)
	err = durable.CreateSized(incomplete, 0o644, f.Size, content)
	if err == nil {
		err = w.place(p, f, incomplete, digest())
	}
	if err == nil {
		w.tally.file()
	}
	return err
}

// place gives a file that is complete its name, and enters it in the journal.
func (w *restoration) place(p *part, f *File, complete, digest string) error {
	s, name := w.staging, p.path(f.Name)
	if err := durable.Move(complete, filepath.Join(s.dir, name)); err != nil {
		return err
	}
	return s.journal.add(finished{File: name, Pieces: []piece{{name, f.Size, digest}}})
}

// link gives the target the object itself instead of a copy, where that is wanted
// and can be done. Nothing is read, so only the size is proven.
func (w *restoration) link(ctx context.Context, p *part, f *File) (bool, error) {
	immutable := f.Kind == abi.KindTable || f.Kind == abi.KindBlob
	if !w.options.Link || !immutable || f.Stored > 0 || f.Segment != nil {
		return false, nil
	}
	path := filepath.Join(w.staging.dir, p.path(f.Name))
	if err := blob.Link(ctx, w.store, f.Object, path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, damaged(f, isMissing)
		}
		w.log.Debug("a file was copied, as it cannot be linked", "file", f.Name, "error", err)
		return false, nil
	}
	info, err := os.Stat(path)
	if err == nil && info.Size() != f.Size {
		err = damaged(f, fmt.Sprintf("has %d bytes instead of %d", info.Size(), f.Size))
	}
	w.linked.Add(f.Size)
	w.tally.file()
	return true, err
}
