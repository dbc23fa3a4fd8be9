package rocks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// Staging returns the folder for the checkpoints of the database at dbPath:
// beside it, because checkpoints are made of hard links, and hidden. It looks
// through symbolic links. [NewCheckpoint] makes the folder and removes it.
func Staging(dbPath string) string {
	if real, err := filepath.EvalSymlinks(dbPath); err == nil {
		dbPath = real
	}
	dbPath = filepath.Clean(dbPath)
	return filepath.Join(filepath.Dir(dbPath), "."+filepath.Base(dbPath)+".rocksnap")
}

// innerStaging returns the folder that takes the place of [Staging] where a
// database directory is a mount point, so that nothing beside it can be linked.
// RocksDB ignores folders in a database directory.
func innerStaging(dbPath string) string { return filepath.Join(dbPath, ".rocksnap") }

const (
	checkpointPrefix = "checkpoint-"
	uuidLength       = 36 // longer and shorter spellings are not ours
)

// CheckpointName returns a new name for a checkpoint's folder in [Staging], one
// that [Sweep] knows.
func CheckpointName() string { return checkpointPrefix + uuid.NewString() }

// CheckpointDir is a checkpoint in a folder of its own. A lock on the folder tells
// a checkpoint in use from one that a killed process left.
type CheckpointDir struct {
	folder string
	lock   *os.File
}

// Source is a database that makes checkpoints: a [DB] or an [Offline].
type Source interface {
	Path() string
	Checkpoint(dir string, flush Flush) error
}

// NewCheckpoint makes a checkpoint in [Staging], or inside the database directory
// when no file of it can be linked there. It fails as [DB.Checkpoint] does, and
// with fs.ErrPermission or syscall.EROFS when both places are closed to writing.
// After an error nothing is left.
func NewCheckpoint(db Source, flush Flush) (*CheckpointDir, error) {
	c, err := checkpointIn(Staging(db.Path()), db, flush)
	if !shut(err) {
		return c, err
	}
	c, inner := checkpointIn(innerStaging(db.Path()), db, flush)
	if inner != nil {
		return nil, fmt.Errorf("%w; %w", err, inner)
	}
	return c, nil
}

// shut reports whether an error says that a place takes no links to the database.
func shut(err error) bool {
	return errors.Is(err, ErrCrossDevice) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS)
}

func checkpointIn(staging string, db Source, flush Flush) (*CheckpointDir, error) {
	c, err := newCheckpointDir(staging)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %s: %w", db.Path(), err)
	}
	if err := db.Checkpoint(c.Path(), flush); err != nil {
		return nil, errors.Join(err, c.Remove())
	}
	return c, nil
}

// stagingTries bounds how often others may remove a folder before it is locked.
const stagingTries = 100

// newCheckpointDir makes an empty folder for a checkpoint.
func newCheckpointDir(staging string) (c *CheckpointDir, err error) {
	for range stagingTries {
		err = durable.Change("mkdir", staging, func() error { return os.MkdirAll(staging, 0o755) })
		if err != nil {
			return nil, err
		}
		folder := filepath.Join(staging, CheckpointName())
		// Nobody else may look in: a database may be kept from others by the
		// mode of its own directory alone.
		if err = durable.Mkdir(folder, 0o700); err == nil {
			c, err = lockCheckpoint(folder)
		}
		if err == nil || !taken(err) {
			break
		}
	}
	if err != nil {
		_ = durable.Remove(staging) // fails while another session has a checkpoint there
	}
	return c, err
}

// taken reports whether an error of locking a folder says that somebody else uses
// or removed it.
func taken(err error) bool { return errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) }

func lockCheckpoint(folder string) (*CheckpointDir, error) {
	f, err := os.Open(folder)
	if err != nil {
		return nil, err
	}
	c := &CheckpointDir{folder, f}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", folder, err), f.Close())
	}
	if _, err := os.Stat(folder); err != nil { // removed before it was locked
		return nil, errors.Join(err, f.Close())
	}
	return c, nil
}

// Path returns the directory that holds the checkpoint's files.
func (c *CheckpointDir) Path() string { return filepath.Join(c.folder, "files") }

// Remove removes the checkpoint, and the folder of checkpoints when it was the
// last one.
func (c *CheckpointDir) Remove() error {
	err := errors.Join(durable.RemoveAll(c.folder), c.lock.Close())
	_ = durable.Remove(filepath.Dir(c.folder)) // fails while another session has one there
	if err != nil {
		return fmt.Errorf("remove checkpoint: %w", err)
	}
	return nil
}

// Sweep removes the checkpoints that processes left when they died, and returns
// their number. Those in use stay, and those that only somebody else may remove.
func Sweep(dbPath string) (removed int, err error) {
	for _, staging := range []string{Staging(dbPath), innerStaging(dbPath)} {
		n, err := sweep(staging)
		removed += n
		if err != nil {
			return removed, fmt.Errorf("sweep checkpoints: %w", err)
		}
	}
	return removed, nil
}

func sweep(staging string) (removed int, err error) {
	entries, err := os.ReadDir(staging)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		if !isCheckpoint(e.Name()) {
			continue // somebody else's
		}
		c, err := lockCheckpoint(filepath.Join(staging, e.Name()))
		if err == nil {
			err = c.Remove()
		}
		if taken(err) || shut(err) { // what another user left must not keep this one out
			continue
		}
		if err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

func isCheckpoint(name string) bool {
	id, found := strings.CutPrefix(name, checkpointPrefix)
	return found && len(id) == uuidLength && uuid.Validate(id) == nil
}
