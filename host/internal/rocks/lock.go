package rocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// unlocked stands for the descriptor of a LOCK file where there is none.
const unlocked = -1

// lock holds RocksDB's LOCK file (PosixFileSystem::LockFile in env/fs_posix.cc)
// and returns its descriptor. Closing that gives it up.
//
// RocksDB locks as a process does, and such a lock vanishes when the process
// closes any descriptor of the file. This one is bound to its descriptor
// instead: it conflicts with those of RocksDB, in this process too, and with its
// own kind, and nothing else in the process can drop it.
func lock(dir string) (int, error) {
	path := filepath.Join(dir, "LOCK")
	fd, kind, err := openLock(path)
	if err != nil {
		return unlocked, fmt.Errorf("open %s: %w", path, err)
	}
	if fd == unlocked {
		return unlocked, nil
	}
	whole := unix.Flock_t{Type: kind}
	err = unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &whole)
	if err == nil {
		return fd, nil
	}
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		err = ErrLocked
	}
	if !lockedHere(fd) {
		unix.Close(fd)
	}
	return unlocked, fmt.Errorf("lock %s: %w", path, err)
}

// Hold keeps every RocksDB from opening the database in dir for writing until release
// is called. It fails with [ErrLocked] while one has.
func Hold(dir string) (release func(), err error) {
	fd, err := lock(dir)
	if err != nil {
		return nil, err
	}
	return func() { unix.Close(fd) }, nil
}

// openLock opens a LOCK file and returns the kind of lock to take. Where nothing
// can be written, a shared one is to be had, which still keeps writers out; where
// there is no LOCK either, no RocksDB has opened the directory for writing.
func openLock(path string) (fd int, kind int16, err error) {
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o644)
	if !errors.Is(err, unix.EROFS) && !errors.Is(err, unix.EACCES) {
		return fd, unix.F_WRLCK, err
	}
	fd, err = unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return unlocked, unix.F_RDLCK, nil
	}
	return fd, unix.F_RDLCK, err
}

// lockedHere reports whether a RocksDB of this process holds the lock. Then the
// descriptor must stay open for good, lest that lock be dropped.
func lockedHere(fd int) bool {
	held := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &held)
	return err == nil && held.Type != unix.F_UNLCK && int(held.Pid) == os.Getpid()
}
