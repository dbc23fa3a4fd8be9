package rocks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// Staging returns the directory for the checkpoints of the database at dbPath:
// beside it, because checkpoints are made of hard links, and hidden. Whoever
// makes a checkpoint there names it with [CheckpointName].
func Staging(dbPath string) string {
	dbPath = filepath.Clean(dbPath)
	return filepath.Join(filepath.Dir(dbPath), "."+filepath.Base(dbPath)+".rocksnap")
}

const (
	checkpointPrefix = "checkpoint-"
	uuidLength       = 36 // longer and shorter spellings are not ours
)

// CheckpointName returns a new name for a checkpoint, one that [Sweep] knows.
func CheckpointName() string { return checkpointPrefix + uuid.NewString() }

// Sweep removes the checkpoints that a process left in [Staging] when it died,
// and returns their number. Call it only while holding the database: then no
// checkpoint there is in use.
func Sweep(dbPath string) (removed int, err error) {
	dir := Staging(dbPath)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("sweep checkpoints: %w", err)
	}
	for _, e := range entries {
		if !isCheckpoint(e.Name()) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			return removed, fmt.Errorf("sweep checkpoints: %w", err)
		}
		removed++
	}
	os.Remove(dir) // fails where somebody else's files are
	return removed, nil
}

// isCheckpoint recognises a checkpoint and what may stand beside an unfinished
// one.
func isCheckpoint(name string) bool {
	id, found := strings.CutPrefix(name, checkpointPrefix)
	for _, suffix := range []string{unfinished, probed} {
		id = strings.TrimSuffix(id, suffix)
	}
	return found && len(id) == uuidLength && uuid.Validate(id) == nil
}
