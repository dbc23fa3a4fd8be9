package rocks

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/durable"
)

const (
	keptPrefix = "kept-"
	keptNote   = "note" // beside the folder with the checkpoint's files
)

// Keep leaves the checkpoint on disk under a name, which is a UUID, with a note.
// From then on [Sweep] leaves it alone and [ListKept] finds it. It is kept as a
// whole and durably, or else the checkpoint is as before and has to be removed.
func (c *CheckpointDir) Keep(name string, note []byte) error {
	if !isKeptName(keptPrefix+name) || len(note) > maxKeptNote {
		return fmt.Errorf("keep checkpoint: %q is no UUID, or its note of %d bytes is too long", name, len(note))
	}
	err := syncCheckpoint(c.Path())
	if err == nil {
		err = durable.CreateFile(filepath.Join(c.folder, keptNote), 0o600, func(w io.Writer) error {
			_, err := w.Write(note)
			return err
		})
	}
	if err == nil {
		err = durable.SyncDir(c.folder)
	}
	if err == nil {
		kept := filepath.Join(filepath.Dir(c.folder), keptPrefix+name)
		err = durable.Rename(c.folder, kept)
		if err == nil || errors.Is(err, durable.ErrUnsynced) {
			c.folder = kept // for Remove, should it come to that
		}
	}
	if err != nil {
		return fmt.Errorf("keep checkpoint: %w", err)
	}
	return c.lock.Close()
}

// syncCheckpoint makes a checkpoint durable, but for the SSTs, which RocksDB has
// synced when it wrote them. RocksDB 7.8 syncs neither the WALs that it links nor the
// parent directory. A checkpoint that is only uploaded needs none of this, and an
// application may be waiting for it.
func syncCheckpoint(dir string) error {
	files, err := namesIn(dir)
	if err != nil {
		return err
	}
	for _, name := range files {
		if strings.HasSuffix(name, ".sst") {
			continue
		}
		if err := syncPath(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return errors.Join(syncPath(dir), syncPath(filepath.Dir(dir)))
}

// namesIn lists a directory, in no order: to sort many names takes its time.
func namesIn(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(durable.Change("sync", path, f.Sync), f.Close())
}

// Kept is a checkpoint that was kept. Nothing locks it: who reads a file of it has
// to expect that it is gone.
type Kept struct {
	Name   string // the one that it was given
	Own    bool   // whether this user keeps it; others may have changed what they keep
	folder string
}

// ListKept lists the checkpoints that are kept of the database at dbPath, which may
// itself be gone, the greatest name first. UUIDs of version 7 sort by time.
func ListKept(dbPath string) ([]Kept, error) {
	var list []Kept
	for _, staging := range []string{Staging(dbPath), innerStaging(dbPath)} {
		entries, err := os.ReadDir(staging)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return nil, fmt.Errorf("list kept checkpoints: %w", err)
		}
		for _, e := range entries {
			if k := (Kept{Name: strings.TrimPrefix(e.Name(), keptPrefix), folder: filepath.Join(staging, e.Name())}); isKeptName(e.Name()) && k.look() {
				list = append(list, k)
			}
		}
	}
	slices.SortFunc(list, func(a, b Kept) int { return strings.Compare(b.Name, a.Name) })
	return list, nil
}

func isKeptName(name string) bool {
	id, found := strings.CutPrefix(name, keptPrefix)
	return found && len(id) == uuidLength && uuid.Validate(id) == nil
}

// look finds out whose the folder is, and whether it is one.
func (k *Kept) look() bool {
	var at unix.Stat_t
	if unix.Lstat(k.folder, &at) != nil || at.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false
	}
	k.Own = int(at.Uid) == os.Geteuid()
	return true
}

// Path returns the directory that holds the checkpoint's files.
func (k Kept) Path() string { return filepath.Join(k.folder, "files") }

// maxKeptNote is the length of the longest note, in bytes.
const maxKeptNote = 64 << 20

// Note returns the note. It fails with fs.ErrNotExist where there is none. What is no
// file, or too long, was put there by somebody else: it is not waited for.
func (k Kept) Note() ([]byte, error) {
	note, err := os.OpenFile(filepath.Join(k.folder, keptNote), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer note.Close()
	info, err := note.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() > maxKeptNote) {
		err = fmt.Errorf("%s is no note: %w", note.Name(), fs.ErrInvalid)
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(note, maxKeptNote))
}

// Remove removes the checkpoint, and the folder of checkpoints when it was the last
// one there. One that only somebody else may remove stays.
func (k Kept) Remove() error {
	err := durable.RemoveAll(k.folder)
	if err != nil && !shut(err) {
		return fmt.Errorf("remove kept checkpoint: %w", err)
	}
	_ = durable.Remove(filepath.Dir(k.folder)) // fails while there is another
	return nil
}
