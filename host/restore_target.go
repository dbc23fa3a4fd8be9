package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// prepareTarget returns the absolute path of a target that a restore may have, and
// makes the directory above it.
func (r *Repository) prepareTarget(target string, delta bool) (string, error) {
	target, err := filepath.Abs(target)
	if err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	if folder := rocks.Staging(r.config().Database.Path); target == folder || strings.HasPrefix(target, folder+"/") {
		return "", problem(CodeUsage, fmt.Errorf("restore: target %s is in the folder of checkpoints", target), "name a directory elsewhere")
	}
	if err := checkTarget(target, delta); err != nil {
		return "", err
	}
	if err := durable.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return "", fmt.Errorf("restore: %w", err)
	}
	return target, nil
}

// checkTarget accepts what a finished restore can be renamed to, or with delta can
// take the place of.
func checkTarget(target string, delta bool) error {
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
	case len(entries) > 0 && delta:
		return checkReplaceable(target, entries)
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
// tells one that is in use from what a killed process left; a note in it says
// what was being restored, and a journal how far it came.
type staging struct {
	dir     string
	lock    *os.File
	attempt attempt
	journal *journal
	kept    map[string]finished // of an earlier attempt, by file; nobody changes it after resume

	exchanged bool // its name is now that of the database that was to be replaced
}

// What a staging directory holds that is no part of the database lies in one
// folder, which goes before the directory becomes the target.
const (
	workFolder   = ".rocksnap-restore"
	attemptFile  = "attempt.json"
	journalFile  = "journal"
	partsFolder  = "parts"    // files that are not complete
	tablesFolder = "tables"   // of each canonical file
	linksFolder  = "links"    // their second names; see linked
	newDatabase  = "database" // into which they are ingested
)

func (s *staging) work(names ...string) string {
	return filepath.Join(s.dir, workFolder, filepath.Join(names...))
}

// attempt is the note in a staging directory. Attempts that agree in all but the
// identity may go on from one another.
type attempt struct {
	Version    int    `json:"version"`
	Repository string `json:"repository"` // its id
	Database   string `json:"database"`   // name within the repository
	Snapshot   string `json:"snapshot"`
	Slot       uint64 `json:"slot"`
	Also       string `json:"also,omitempty"`   // further snapshots
	Wanted     string `json:"wanted,omitempty"` // what of them, and how
	Identity   string `json:"identity"`         // IDENTITY of the database that comes of it
}

func (a attempt) continues(earlier attempt) bool {
	a.Identity = earlier.Identity
	return a == earlier && uuid.Validate(a.Identity) == nil
}

func stagingPrefix(target string) string { return "." + filepath.Base(target) + ".restore-" }

// claimStaging takes over what an attempt left from which a can go on, or makes a
// new directory if there is room for size bytes. It removes what other restores
// into target left when they were killed.
func claimStaging(target string, a attempt, size int64) (*staging, error) {
	s, err := takeOver(target, a)
	if err == nil && s == nil {
		if err := checkSpace(filepath.Dir(target), size); err != nil {
			return nil, err
		}
		s, err = newStaging(target, a)
	}
	if err != nil {
		return nil, fmt.Errorf("restore: %w", err)
	}
	return s, nil
}

// takeOver returns nil when there is nothing to go on from.
func takeOver(target string, a attempt) (found *staging, err error) {
	entries, err := os.ReadDir(filepath.Dir(target))
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		id, ok := strings.CutPrefix(e.Name(), stagingPrefix(target))
		if !ok || uuid.Validate(id) != nil {
			continue
		}
		left, err := lockStaging(filepath.Join(filepath.Dir(target), e.Name()))
		switch {
		case errors.Is(err, unix.EWOULDBLOCK), errors.Is(err, fs.ErrNotExist):
			continue // in use, or gone
		case err == nil && found == nil && a.continues(left.attempt):
			found = left
			continue
		case err == nil:
			err = left.discard(target)
		}
		if err != nil {
			found.close()
			return nil, err
		}
	}
	return found, nil
}

// discard removes what another attempt left. That may be the database which it has
// replaced, and which a power cut could yet make the target again.
func (s *staging) discard(target string) error {
	if err := durable.SyncDir(filepath.Dir(target)); err != nil {
		s.close()
		return err
	}
	return s.remove()
}

func newStaging(target string, a attempt) (*staging, error) {
	dir := filepath.Join(filepath.Dir(target), stagingPrefix(target)+uuid.NewString())
	if err := durable.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	s, err := lockStaging(dir)
	if err != nil {
		return nil, errors.Join(err, durable.Remove(dir))
	}
	s.attempt = a
	if err := s.furnish(target); err != nil {
		return nil, errors.Join(err, s.remove())
	}
	return s, nil
}

// furnish gives a new directory its permissions and its note.
func (s *staging) furnish(target string) error {
	if info, err := os.Stat(target); err == nil { // an empty directory keeps its permissions
		if err := durable.Change("chmod", s.dir, func() error { return os.Chmod(s.dir, info.Mode().Perm()) }); err != nil {
			return err
		}
	}
	if err := durable.Mkdir(s.work(), 0o755); err != nil {
		return err
	}
	return durable.CreateFile(s.work(attemptFile), 0o644, func(w io.Writer) error {
		return json.NewEncoder(w).Encode(s.attempt)
	})
}

// lockStaging takes hold of a directory and reads its note. One without a sound
// note is as good as one of another snapshot, and so is one of another user: the
// journal in it could vouch for anything.
func lockStaging(dir string) (*staging, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	s := &staging{dir: dir, lock: f}
	var at unix.Stat_t
	text, err := os.ReadFile(s.work(attemptFile))
	if unix.Fstat(int(f.Fd()), &at) != nil || int(at.Uid) != os.Geteuid() || err != nil || json.Unmarshal(text, &s.attempt) != nil {
		s.attempt = attempt{}
	}
	return s, nil
}

// publish makes the directory the target, durably. The journal goes first: from
// there to the rename, a few moments, an attempt that is killed is lost.
func (w *restoration) publish(target string) error {
	s := w.staging
	s.journal.close() // NFS keeps the name of an open file
	err := durable.Remove(s.work(journalFile))
	if err == nil {
		err = durable.RemoveAll(s.work())
	}
	if err == nil {
		err = durable.SyncDir(s.dir)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if w.old != nil {
		return w.replace()
	}
	if err := durable.Rename(s.dir, target); err != nil {
		if changed := checkTarget(target, false); changed != nil {
			return changed // by somebody, meanwhile
		}
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

// abandon ends an attempt that failed and returns its error. What was fetched
// stays if the next attempt may come further.
func (s *staging) abandon(err error, resumable bool) error {
	if !resumable || !isPassing(err) || s.journal.count == 0 {
		_ = s.remove() // the first error is the one to tell
		return err
	}
	s.close()
	hint := "run it again to go on; remove " + s.dir + " to give it up"
	if first := HintOf(err); first != "" {
		hint = first + "; then " + hint
	}
	return &Problem{CodeOf(err), err, hint}
}

// isPassing tells whether the same restore may succeed later.
func isPassing(err error) bool {
	var p *passing
	return errors.As(err, &p) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// remove removes the directory and its lock.
func (s *staging) remove() error {
	defer s.close()
	if s.exchanged { // a power cut may yet make it the target again
		return nil
	}
	return durable.RemoveAll(s.dir)
}

// close lets go of the directory. A nil staging has none.
func (s *staging) close() {
	if s == nil {
		return
	}
	s.journal.close()
	_ = s.lock.Close()
}
