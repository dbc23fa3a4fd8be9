package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// The prefixes of temporary folders, by what is done in them.
const (
	drillPrefix = "rocksnap-drill-"
	diffPrefix  = "rocksnap-diff-"
)

// scratch is a temporary folder that holds decrypted data. A lock tells one that is
// in use from what a killed process left.
type scratch struct {
	dir  string
	lock *os.File
}

// newScratch makes a temporary folder, after it has removed those of the same
// prefix that killed processes of this user left.
func newScratch(prefix string) (*scratch, error) {
	sweepScratch(prefix)
	for {
		dir, err := os.MkdirTemp("", prefix)
		if err != nil {
			return nil, err
		}
		s, err := lockScratch(dir)
		if err == nil {
			return s, nil
		}
		// Another process may have swept it before the lock was taken.
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, os.Remove(dir))
		}
	}
}

// sweepScratch removes what it can. That something is left keeps nobody from work.
func sweepScratch(prefix string) {
	entries, _ := os.ReadDir(os.TempDir())
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) {
			continue
		}
		if left, err := lockScratch(filepath.Join(os.TempDir(), e.Name())); err == nil {
			_ = left.remove()
		}
	}
}

// lockScratch takes hold of a folder of this user. It fails with EWOULDBLOCK when
// that is in use, and with fs.ErrNotExist when it is gone by the time it is locked.
// It follows no symbolic link: anybody may make one in a folder for all.
func lockScratch(dir string) (*scratch, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	lock := os.NewFile(uintptr(fd), dir)
	var held, at unix.Stat_t
	if err = unix.Fstat(fd, &held); err == nil && int(held.Uid) != os.Geteuid() {
		err = fs.ErrPermission
	}
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err == nil {
		err = unix.Lstat(dir, &at)
	}
	if err == nil && (at.Dev != held.Dev || at.Ino != held.Ino) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", dir, errors.Join(err, lock.Close()))
	}
	return &scratch{dir, lock}, nil
}

// target is where a snapshot may be restored to. It is not the folder itself: a
// restore grows beside its target, and that has to be inside.
func (s *scratch) target(name string) string { return filepath.Join(s.dir, name) }

// remove removes the folder, and then lets go of it.
func (s *scratch) remove() error {
	return errors.Join(os.RemoveAll(s.dir), s.lock.Close())
}
