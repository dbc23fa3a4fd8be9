//go:build cgo

package rocks

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"syscall"

	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// autoFlushBytes is the length of the WAL from which FlushAuto flushes: below,
// carrying the WAL costs less than a table that the next snapshot cannot reuse.
const autoFlushBytes = 1 << 20

// threshold is the length of the WAL, in bytes, from which RocksDB flushes.
func (db *DB) threshold(flush Flush) uint64 {
	switch {
	case flush == FlushNever:
		return math.MaxUint64
	case flush == FlushAuto && !db.borrowed:
		return autoFlushBytes
	}
	return 0 // an application may write without a WAL
}

// Checkpoint makes dir a copy of the database at this instant, of hard links
// where files never change. Its parent must exist on the database's file system,
// else it fails with [ErrCrossDevice]; it fails with fs.ErrExist when dir exists.
// After an error nothing is left. It does not outlive a power cut: see
// [CheckpointDir.Keep].
func (db *DB) Checkpoint(dir string, flush Flush) error {
	release, err := db.Acquire()
	if err != nil {
		return err
	}
	defer release()
	return stage(db.path, dir, func() error {
		c, err := db.instance.db.NewCheckpoint()
		if err != nil {
			return classify(err)
		}
		defer c.Destroy()
		return c.CreateCheckpoint(dir, db.threshold(flush))
	})
}

// Checkpoint makes dir a copy of the database, as [DB.Checkpoint] does, without
// RocksDB. It fails with [ErrNeedsWrite] when FlushAlways finds a WAL that is not
// empty.
func (o *Offline) Checkpoint(dir string, flush Flush) error {
	release, err := o.Acquire()
	if err != nil {
		return err
	}
	defer release()
	logs, err := o.logs()
	if err != nil {
		return fmt.Errorf("checkpoint %s: %w", o.path, err)
	}
	if flush == FlushAlways && len(logs) > 0 {
		return fmt.Errorf("checkpoint %s: %w", o.path, ErrNeedsWrite)
	}
	return stage(o.path, dir, func() error {
		if err := o.copyTo(dir+unfinished, logs); err != nil {
			return err
		}
		return durable.Move(dir+unfinished, dir)
	})
}

// CopyLinks makes the directory to a copy of the closed database in from, of hard
// links where files never change; whatever is then done to the one leaves the
// other alone. It fails as [OpenOffline] and [DB.Checkpoint] do.
func CopyLinks(from, to string) error {
	o, err := OpenOffline(from)
	if err != nil {
		return err
	}
	defer o.Close()
	if err = o.Checkpoint(to, FlushNever); err != nil {
		return err
	}
	if err = syncCheckpoint(to); err != nil {
		_ = durable.RemoveAll(to)
	}
	return err
}

// unfinished ends the name of the directory in which a checkpoint grows. It is
// RocksDB's own choice (utilities/checkpoint/checkpoint_impl.cc).
const unfinished = ".tmp"

// stage runs build, which makes the checkpoint dir of the database at path, or leaves
// nothing.
func stage(path, dir string, build func() error) error {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("checkpoint %s to %s: %w", path, dir, fs.ErrExist)
	}
	err := probeLink(path, dir)
	if err == nil {
		err = build()
	}
	if err != nil {
		_ = durable.RemoveAll(dir + unfinished)
		_ = durable.RemoveAll(dir)
		return fmt.Errorf("checkpoint %s to %s: %w", path, dir, err)
	}
	return nil
}

// probed ends the name of a link that is made and removed at once.
const probed = ".probe"

// probeLink finds out whether files can be linked next to dir. Comparing devices
// would not do: two mounts of one device refuse links between them.
func probeLink(path, dir string) error {
	probe := dir + probed
	err := durable.Link(filepath.Join(path, "CURRENT"), probe)
	if errors.Is(err, syscall.EXDEV) {
		return fmt.Errorf("%s and %s: %w", path, filepath.Dir(dir), ErrCrossDevice)
	}
	if err != nil {
		return err
	}
	return durable.Remove(probe)
}

// copyTo fills dir with links to the live files and copies of the others.
func (o *Offline) copyTo(dir string, logs []string) error {
	if err := durable.RemoveAll(dir); err != nil {
		return err
	}
	if err := durable.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, name := range o.liveNames() {
		if err := durable.Link(filepath.Join(o.path, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	options, err := newestOptions(o.path)
	if err != nil {
		return err
	}
	if options != "" {
		logs = append(logs, options)
	}
	for _, name := range logs {
		if err := o.copyFile(dir, name, math.MaxInt64); err != nil {
			return err
		}
	}
	// An edit that was never finished stays behind.
	if err := o.copyFile(dir, o.set.Manifest, o.set.ManifestBytes); err != nil {
		return err
	}
	return durable.CreateFile(filepath.Join(dir, "CURRENT"), 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, o.set.Manifest+"\n")
		return err
	})
}

func (o *Offline) liveNames() []string {
	var names []string
	for _, f := range o.set.Families {
		for _, t := range f.Tables {
			names = append(names, t.Name())
		}
		for _, b := range f.Blobs {
			names = append(names, b.Name())
		}
	}
	return names
}

// copyFile copies a file, or its first limit bytes, into dir.
func (o *Offline) copyFile(dir, name string, limit int64) error {
	from, err := os.Open(filepath.Join(o.path, name))
	if err != nil {
		return err
	}
	defer from.Close()
	return durable.CreateFile(filepath.Join(dir, name), 0o644, func(w io.Writer) error {
		_, err := io.Copy(w, io.LimitReader(from, limit))
		return err
	})
}
