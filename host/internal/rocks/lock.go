package rocks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// lock holds RocksDB's LOCK file (PosixFileSystem::LockFile in env/fs_posix.cc)
// and returns its descriptor. Closing that gives it up.
//
// RocksDB locks as a process does, and such a lock vanishes when the process
// closes any descriptor of the file. This one is bound to its descriptor
// instead: it conflicts with those of RocksDB, in this process too, and with its
// own kind, and nothing else in the process can drop it.
func lock(dir string) (int, error) {
	path := filepath.Join(dir, "LOCK")
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o644)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", path, err)
	}
	whole := unix.Flock_t{Type: unix.F_WRLCK}
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
	return -1, fmt.Errorf("lock %s: %w", path, err)
}

// lockedHere reports whether a RocksDB of this process holds the lock. Then the
// descriptor must stay open for good, lest that lock be dropped.
func lockedHere(fd int) bool {
	held := unix.Flock_t{Type: unix.F_WRLCK}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_GETLK, &held)
	return err == nil && held.Type != unix.F_UNLCK && int(held.Pid) == os.Getpid()
}
