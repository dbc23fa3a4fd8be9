// Package dir keeps objects in a local directory: an object's name is its path
// under the root, so that every tool can look at a repository.
//
// It guarantees, on a file system that keeps the promises of fsync(2):
//
//   - An object is seen complete or not at all. Its bytes are collected in a
//     file under .tmp, synced, and only then linked to its name; a crash leaves
//     at most a file in .tmp, which nothing lists and a later Open sweeps.
//   - Of several creators of a name, in one process or many, exactly one wins:
//     link(2) refuses a name that is taken.
//   - When Create or Delete returns nil, the outcome survives a power cut. An
//     object is visible a moment before it is durable.
//
// Only regular files are objects. A symbolic link is never listed, and one that
// leads out of the root is not followed. Files whose names no object can have
// are ignored.
package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// Modes of what the store makes, before the umask. Objects are not made
// read-only: the mode of a file does not keep anyone from removing it, it would
// only make a copy of the repository awkward to handle.
const (
	filePerm fs.FileMode = 0o644
	dirPerm  fs.FileMode = 0o755
)

const (
	tmpDir = ".tmp"         // no name of an object begins with a dot
	tmpAge = 24 * time.Hour // since the last write; then its writer is taken for dead
)

// Store is a [blob.Store] in a directory. It is safe for concurrent use by any
// number of goroutines and processes.
type Store struct {
	path string
	root *os.Root // for what is only looked up: it never leaves the directory
	made sync.Map // directories, relative to the root, that are known to be durable

	uncloned atomic.Bool // whether the file system has refused to clone a file
}

var _ interface {
	blob.Store
	blob.Linker
	blob.Adopter
	blob.Cloner
} = (*Store)(nil)

// Create opens the store in a directory, which it makes, durably, where it is
// missing.
func Create(root string) (*Store, error) {
	if err := durable.MkdirAll(root, dirPerm); err != nil {
		return nil, fmt.Errorf("create store: %w", err)
	}
	return Open(root)
}

// Open opens the store in a directory; without one it fails with fs.ErrNotExist.
// It writes nothing, so that a read-only store can be read, but tries to remove
// what writers that died left behind more than a day ago.
func Open(root string) (*Store, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	dir, err := os.OpenRoot(abs)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", abs, cause(err))
	}
	s := &Store{path: abs, root: dir}
	_, _ = s.sweep(time.Now().Add(-tmpAge)) // what is left does no harm
	return s, nil
}

// sweep removes temporary files last written before a time. What it cannot
// remove does not keep it from the rest.
func (s *Store) sweep(before time.Time) (tidied blob.Tidied, failed error) {
	entries, err := os.ReadDir(s.local(tmpDir))
	if err != nil && !missing(err) {
		return tidied, s.explain(err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || !info.ModTime().Before(before) {
			continue // gone already, foreign, or young
		}
		switch err := durable.Remove(s.local(path.Join(tmpDir, entry.Name()))); {
		case err == nil:
			tidied.Uploads++
			tidied.Bytes += info.Size()
		case !missing(err):
			failed = s.explain(err)
		}
	}
	return tidied, failed
}

// Stat describes an object. See [blob.Store].
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	info, err := s.lookup(ctx, name)
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat %s: %w", name, err)
	}
	return blob.Info{Name: name, Size: info.Size(), Modified: info.ModTime()}, nil
}

// Delete removes objects durably, and syncs each of their directories once. See
// [blob.Store].
func (s *Store) Delete(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := blob.CheckName(name); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	touched, err := s.removeAll(ctx, names)
	for _, dir := range slices.Sorted(maps.Keys(touched)) {
		// Also where all was gone: whoever removed it may not have synced yet.
		if unsynced := durable.SyncDir(s.local(dir)); unsynced != nil && !missing(unsynced) {
			err = errors.Join(err, fmt.Errorf("delete in %s: %w", dir, s.explain(unsynced)))
		}
	}
	return err
}

// removeAll unlinks objects up to the first that cannot be removed, and returns
// the directories of those that are gone.
func (s *Store) removeAll(ctx context.Context, names []string) (map[string]bool, error) {
	touched := make(map[string]bool)
	for _, name := range names {
		if err := s.remove(ctx, name); err != nil {
			return touched, fmt.Errorf("delete %s: %w", name, err)
		}
		touched[path.Dir(name)] = true
	}
	return touched, nil
}

// remove unlinks an object, if it is there.
func (s *Store) remove(ctx context.Context, name string) error {
	_, err := s.lookup(ctx, name)
	if err == nil {
		err = durable.Change("remove", s.local(name), func() error { return s.root.Remove(name) })
	}
	if err != nil && !missing(err) {
		return s.explain(err)
	}
	return nil
}

// Tidy removes the temporary files of creators that died. See [blob.Store].
func (s *Store) Tidy(ctx context.Context, before time.Time) (blob.Tidied, error) {
	if err := ctx.Err(); err != nil {
		return blob.Tidied{}, fmt.Errorf("tidy: %w", err)
	}
	tidied, err := s.sweep(before)
	if err != nil {
		return tidied, fmt.Errorf("tidy: %w", err)
	}
	return tidied, nil
}

// lookup describes the regular file of an object, or fails with fs.ErrNotExist.
// A directory is no object.
func (s *Store) lookup(ctx context.Context, name string) (fs.FileInfo, error) {
	if err := check(ctx, name); err != nil {
		return nil, err
	}
	info, err := s.root.Lstat(name)
	switch {
	case missing(err) || err == nil && info.IsDir():
		return nil, fs.ErrNotExist
	case err != nil:
		return nil, cause(err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("not a regular file (%s)", info.Mode().Type())
	}
	return info, nil
}

// check refuses to begin with a bad name or when cancelled.
func check(ctx context.Context, name string) error {
	if err := blob.CheckName(name); err != nil {
		return err
	}
	return ctx.Err()
}

// local returns the path of a name.
func (s *Store) local(name string) string {
	return filepath.Join(s.path, filepath.FromSlash(name))
}

// missing reports that there is nothing of a name: no entry, or a file where
// the name has a directory.
func missing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}

// cause takes the path off an error of package os, for callers that put a name
// before it.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	var linkErr *os.LinkError
	if errors.As(err, &linkErr) {
		return linkErr.Err
	}
	return err
}

// explain says in the operator's words why the directory could not be changed.
func (s *Store) explain(err error) error {
	switch {
	case errors.Is(err, durable.ErrUnsynced):
		return fmt.Errorf("%w: %w", blob.ErrUnknownOutcome, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return fmt.Errorf("store %s is full: %w", s.path, cause(err))
	case errors.Is(err, unix.EROFS):
		return fmt.Errorf("store %s is read-only: %w", s.path, cause(err))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("store %s may not be written: %w", s.path, cause(err))
	}
	return cause(err)
}
