// Package durable changes directories so that the change outlives a power cut.
// Every fsync of rocksnap that is not RocksDB's own is in this file; the rules:
//
//   - A file is synced before it gets its name. Otherwise a power cut may leave
//     a name over an empty or half-written file.
//   - A directory is synced after an entry of it was added, replaced or removed.
//     Syncing a file says nothing about its name; that is data of the directory.
//   - So is the parent of every new directory, up to one that existed before.
//   - A failed fsync ends the attempt, and what it was for is thrown away. The
//     kernel has by then marked the pages clean, so a second fsync of the same
//     file reports a success that means nothing (known as fsyncgate).
//   - A name is given with link(2), not rename(2), where it must be free: rename
//     silently replaces what is there.
package durable

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrUnsynced reports that an entry of a directory was changed, and that the
// directory could not be synced afterwards: whether the change outlives a power
// cut is unknown.
var ErrUnsynced = errors.New("changed but not synced")

// WriteFile creates a file with what write writes, complete and durable or not
// at all. It fails with fs.ErrExist when the path is taken, with the error of
// write, and with [ErrUnsynced]; only in the last case the file may be there.
// While it runs, the bytes are in a file beside it whose name begins with a dot.
func WriteFile(path string, perm fs.FileMode, write func(io.Writer) error) error {
	tmp := filepath.Join(filepath.Dir(path), "."+rand.Text()+".tmp")
	if err := CreateFile(tmp, perm, write); err != nil {
		return err
	}
	err := Publish(tmp, path)
	if err != nil {
		_ = Remove(tmp) // gone already unless publishing failed
	}
	return err
}

// CreateFile creates a file with what write writes and syncs it, but not its
// directory: call [SyncDir] once after the last of several. It fails with
// fs.ErrExist when the path is taken; after any other error the file is gone.
func CreateFile(path string, perm fs.FileMode, write func(io.Writer) error) error {
	return createFile(path, perm, func(f *os.File) error { return write(f) })
}

func createFile(path string, perm fs.FileMode, write func(*os.File) error) error {
	f, err := newFile(path, perm)
	if err != nil {
		return err
	}
	err = Change("write", path, func() error { return write(f) })
	if err == nil {
		err = Change("sync", path, f.Sync)
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		_ = Remove(path) // the first error is the one to tell
	}
	return err
}

func newFile(path string, perm fs.FileMode) (f *os.File, err error) {
	err = Change("create", path, func() (err error) {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
		return err
	})
	return f, err
}

// SyncFile makes the bytes of a file durable that somebody else has written. Of what
// else is known of it, such as a further name, it syncs no more than that takes.
func SyncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	err = Change("sync", path, func() error { return unix.Fdatasync(int(f.Fd())) })
	if err != nil {
		return &fs.PathError{Op: "sync", Path: path, Err: err}
	}
	return nil
}

// Publish moves a synced file to a name that must be free, in the same file
// system, and syncs the directory of the new name. It fails with fs.ErrExist,
// leaving both as they were, and with [ErrUnsynced]. A Publish that was
// interrupted can be repeated.
func Publish(from, to string) error {
	dir, err := os.Open(filepath.Dir(to)) // first, so that no lack of it can leave a half-done job
	if err != nil {
		return err
	}
	defer dir.Close()
	return publish(dir, from, to)
}

// directory is that of an entry that changes.
type directory interface {
	Name() string
	Sync() error
}

func publish(dir directory, from, to string) error {
	err := link(from, to)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		err = renameExclusive(from, to) // no hard links here, as on FAT
	}
	if err != nil {
		return err
	}
	return synced(dir)
}

// Adopt gives a file, which must be durable, a further name that must be free, in
// the same file system, and syncs the directory of that name. It fails as [Publish]
// does.
func Adopt(file, to string) error {
	dir, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := Link(file, to); err != nil && !same(file, to) {
		return err
	}
	return synced(dir)
}

// link gives a file its new name and takes the old one away. A target that is
// the very same file counts as a success, whatever the error says: NFS repeats a
// request whose answer was lost, and then finds its own link.
func link(from, to string) error {
	err := Link(from, to)
	if err != nil && same(from, to) {
		err = nil
	}
	if err == nil {
		_ = Remove(from) // a second name left over does no harm
	}
	return err
}

func same(a, b string) bool {
	ia, errA := os.Lstat(a)
	ib, errB := os.Lstat(b)
	return errA == nil && errB == nil && os.SameFile(ia, ib)
}

// renameExclusive renames a file to a name that must be free.
func renameExclusive(from, to string) error {
	err := Change("rename", to, func() error {
		return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	})
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("file system can neither link nor rename exclusively: %w", err)
	}
	if err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	return nil
}

// Rename renames a file or directory, replacing a file or an empty directory of
// the new name, and syncs both parents. It fails with [ErrUnsynced] when it is
// renamed but not durable. What is renamed must have been synced before.
func Rename(from, to string) error { return rename(from, to, 0) }

// Exchange gives two files or directories each the name of the other, at once, and
// syncs both parents. It fails with [ErrUnsynced] when that is done but not durable,
// and with EINVAL on a file system that cannot do it.
func Exchange(a, b string) error { return rename(a, b, unix.RENAME_EXCHANGE) }

func rename(from, to string, flags uint) error {
	source, err := os.Open(filepath.Dir(from))
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	defer target.Close()
	// os.Rename refuses to replace a directory, even an empty one.
	if err := Change("rename", to, func() error { return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, flags) }); err != nil {
		return &os.LinkError{Op: "rename", Old: from, New: to, Err: err}
	}
	if err := synced(target); err != nil {
		return err
	}
	return synced(source)
}

// MkdirAll makes a directory and its missing parents, and syncs the parent of
// each one that it made. A directory that exists is left alone; whoever made it
// may not have synced its parent yet.
func MkdirAll(dir string, perm fs.FileMode) error {
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return nil
	case err == nil:
		return &fs.PathError{Op: "mkdir", Path: dir, Err: unix.ENOTDIR}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	parent := filepath.Dir(dir)
	if err := MkdirAll(parent, perm); err != nil {
		return err
	}
	if err := Mkdir(dir, perm); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return SyncDir(parent)
}

// SyncDir makes the entries of a directory durable.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return syncDir(f)
}

func syncDir(dir directory) error { return Change("sync", dir.Name(), dir.Sync) }

// synced syncs a directory of which an entry has changed.
func synced(dir directory) error {
	if err := syncDir(dir); err != nil {
		return fmt.Errorf("%w: %w", ErrUnsynced, err)
	}
	return nil
}
