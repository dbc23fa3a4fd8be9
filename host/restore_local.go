package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// localFile is a file on this machine that may be one of a snapshot: of a checkpoint
// that was kept, or of the database that is replaced.
type localFile struct {
	path   string
	size   int64  // bytes
	room   int64  // bytes that were counted for it when asking for room
	digest string // BLAKE3-256 that it must have, hex
	linked bool   // rather than copied: RocksDB never changes it, and nobody else can

	replaced bool // it is of the database in the target, not of a checkpoint
}

// findLocal looks for checkpoints of the very snapshots that are restored. That it
// finds none is no error: the repository has everything.
func (w *restoration) findLocal() {
	list, err := rocks.ListKept(w.config().Database.Path)
	if err != nil {
		w.log.Warn("cannot use the checkpoints that are kept on this machine", "error", err)
		return
	}
	for _, k := range list {
		n, err := readKeptNote(k)
		if err != nil || n.Repository != w.catalog.Format().ID {
			continue
		}
		for _, p := range w.parts {
			if p.ID == n.Snapshot && p.Database == n.Database {
				w.addLocal(k, n, p)
			}
		}
	}
}

// addLocal enters the files of a checkpoint. The digest of the manifest decides
// wherever that is of the plain bytes; the note's own is good enough only where
// nobody else can have written it.
func (w *restoration) addLocal(k rocks.Kept, n *keptNote, p *part) {
	kept := make(map[string]keptFile, len(n.Files))
	for _, f := range n.Files {
		kept[f.Name] = f
	}
	for i := range p.Contents {
		f := &p.Contents[i]
		note, ok := kept[f.Name]
		if !ok || note.Size != f.Size || note.Object != f.Object || note.Identity != f.Identity {
			continue
		}
		digest := f.Digest
		if f.Stored > 0 {
			digest = note.Digest
		}
		if digest == "" || f.Stored > 0 && !k.Own {
			continue
		}
		fixed := f.Kind == abi.KindTable || f.Kind == abi.KindBlob
		w.local[p.path(f.Name)] = localFile{
			path: filepath.Join(k.Path(), f.Name), size: f.Size, room: min(f.Size, w.expected(p, f)), digest: digest, linked: fixed && k.Own,
		}
	}
}

// linkable returns how many bytes of files need no room in a folder, as far as can
// be told without reading them. What is made of records does.
func (w *restoration) linkable(folder string) (bytes int64) {
	var at, above unix.Stat_t
	if w.refusesFiles() != "" || w.options.Method == ByRecords || unix.Stat(folder, &above) != nil {
		return 0
	}
	for _, l := range w.local {
		if l.linked && unix.Lstat(l.path, &at) == nil && at.Dev == above.Dev && at.Size == l.size {
			bytes += l.room
		}
	}
	return bytes
}

// fromLocal makes a file of the one that was kept on this machine. It returns false
// when it has to be fetched: then nothing is left of the attempt.
func (w *restoration) fromLocal(ctx context.Context, p *part, f *File) (bool, error) {
	l, ok := w.local[p.path(f.Name)]
	if !ok {
		return false, nil
	}
	incomplete := w.staging.work(partsFolder, p.stem()+f.Name)
	if err := l.take(ctx, incomplete); err != nil {
		if removed := durable.Remove(incomplete); removed != nil && !errors.Is(removed, os.ErrNotExist) {
			return false, removed
		}
		w.log.Debug("a file on this machine is of no use", "file", l.path, "reason", err)
		return false, ctx.Err()
	}
	if err := w.place(p, f, incomplete, l.digest); err != nil {
		return false, err
	}
	if l.replaced {
		w.reused.Add(f.Size)
	} else {
		w.localBytes.Add(f.Size)
	}
	w.tally.add(f.Size, 1)
	return true, nil
}

// errNotLocal says that a file is not the one that the snapshot has.
var errNotLocal = errors.New("its size or digest is another")

// take gives a file a second name, or copies it, and proves that what is there under
// the new name is what is wanted.
func (l localFile) take(ctx context.Context, to string) error {
	from, err := os.OpenFile(l.path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	if info, err := from.Stat(); err != nil || !info.Mode().IsRegular() || info.Size() != l.size {
		return errors.Join(err, errNotLocal)
	}
	if l.linked && durable.Link(l.path, to) == nil {
		if err := durable.SyncFile(to); err != nil { // who has written it may not have
			return err
		}
		return l.prove(ctx, to)
	}
	m := newProof(&interruptible{ctx, from}, nil)
	err = durable.CreateSized(to, 0o644, l.size, m)
	return l.judge(m, err)
}

// prove reads a file by its new name: the old one may be another's by now.
func (l localFile) prove(ctx context.Context, path string) error {
	linked, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer linked.Close()
	m := newProof(&interruptible{ctx, linked}, nil)
	err = drain(m)
	return l.judge(m, err)
}

func (l localFile) judge(m *meter, err error) error {
	if err == nil && (m.size != l.size || m.digest() != l.digest) {
		return errNotLocal
	}
	return err
}
