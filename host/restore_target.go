package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"
)

// checkTarget accepts what a finished restore can be renamed to.
func checkTarget(target string) error {
	var at, above unix.Stat_t
	if err := unix.Lstat(target, &at); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	entries, err := os.ReadDir(target)
	switch {
	case at.Mode&unix.S_IFMT == unix.S_IFLNK:
		return problem(CodeFailed, fmt.Errorf("restore: target %s is a symbolic link", target), "name the directory that it leads to")
	case err == nil && unix.Lstat(filepath.Dir(target), &above) == nil && at.Dev != above.Dev:
		return problem(CodeFailed, fmt.Errorf("restore: target %s is a mount point", target), "name a directory below it")
	case err != nil:
		return problem(CodeFailed, fmt.Errorf("restore: target: %w", err), "name an empty or absent directory")
	case len(entries) > 0:
		return problem(CodeFailed, fmt.Errorf("restore: target %s is not empty", target), "name an empty or absent directory; nothing was changed")
	}
	return nil
}

// restoreMargin is room for what RocksDB writes beside the files of a snapshot;
// it asks the file system for more than it then uses.
const restoreMargin = 8 << 20

// checkSpace tells at once what would otherwise come out at the end. It also
// keeps RocksDB from meeting a full disk: a library built with assertions, as
// Debian's is, then aborts the process.
func checkSpace(folder string, size int64) error {
	var stat unix.Statfs_t
	if err := unix.Statfs(folder, &stat); err != nil || stat.Blocks == 0 {
		return nil // a file system that does not say
	}
	need, free := size+restoreMargin, int64(stat.Bavail)*stat.Bsize
	if free < need {
		return problem(CodeFailed, fmt.Errorf("restore: %s has %d bytes free of about %d needed: %w", folder, free, need, unix.ENOSPC),
			"make room, or name a target on another file system")
	}
	return nil
}

// staging is the directory, beside its target, in which a restore grows. A lock
// tells one that is in use from what a killed process left.
type staging struct {
	dir  string
	lock *os.File
}

func stagingPrefix(target string) string { return "." + filepath.Base(target) + ".restore-" }

func newStaging(target string) (*staging, error) {
	dir := filepath.Join(filepath.Dir(target), stagingPrefix(target)+uuid.NewString())
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	if info, err := os.Stat(target); err == nil { // an empty directory keeps its permissions
		if err := os.Chmod(dir, info.Mode().Perm()); err != nil {
			return nil, errors.Join(err, os.Remove(dir))
		}
	}
	s, err := lockStaging(dir)
	if err != nil {
		return nil, errors.Join(err, os.Remove(dir))
	}
	return s, nil
}

func lockStaging(dir string) (*staging, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return &staging{dir, f}, nil
}

// remove removes the directory, unless it became the target, and its lock.
func (s *staging) remove() error {
	return errors.Join(os.RemoveAll(s.dir), s.lock.Close())
}

// sweepStagings removes what restores into target left when they were killed.
func sweepStagings(target string) error {
	entries, err := os.ReadDir(filepath.Dir(target))
	if err != nil {
		return err
	}
	for _, e := range entries {
		id, found := strings.CutPrefix(e.Name(), stagingPrefix(target))
		if !found || uuid.Validate(id) != nil {
			continue
		}
		left, err := lockStaging(filepath.Join(filepath.Dir(target), e.Name()))
		if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
			continue // in use, or gone
		}
		if err != nil {
			return err
		}
		if err := left.remove(); err != nil {
			return err
		}
	}
	return nil
}
