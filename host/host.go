// Package host takes durable snapshots of a RocksDB database and restores them.
//
// A [Host] owns or borrows the database and does all file I/O; a strategy, run
// as a sandboxed module, decides what is uploaded and what is reused. The host
// proves that a snapshot is complete before it publishes it, and publishing is
// one atomic step: a snapshot is there as a whole or not at all.
//
// A [Repository] is where snapshots are kept. It lists, restores and verifies
// them without a database.
//
// All methods are safe for concurrent use.
package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Host owns or borrows a database and takes snapshots of it.
type Host struct {
	*Repository
	db     database
	flush  rocks.Flush
	writer *catalog.Writer // nil when opened with ReadOnlyRepository
}

// database is what snapshots need of RocksDB.
type database interface {
	Path() string
	Identity() (string, error)
	Checkpoint(dir string, flush rocks.Flush) error
	View() (*rocks.View, error)
	Acquire() (release func(), err error)
	Empty() (bool, error)
	Close() error
}

// Open opens the database and the repository of a configuration, and loads the
// strategy that it names: what can fail early fails here. From now on an older
// writer of the same history is fenced: it can no longer commit.
func Open(ctx context.Context, cfg *config.Config, options ...Option) (*Host, error) {
	s := newSettings(options)
	r, err := openRepository(ctx, cfg, s)
	if err != nil {
		return nil, err
	}
	h := &Host{Repository: r, flush: rocks.Flush(cfg.Snapshot.Flush)}
	if h.db, err = openDatabase(cfg, s); err != nil {
		return nil, err
	}
	if err := h.start(ctx, s); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *Host) start(ctx context.Context, s settings) error {
	if err := h.strategies.check(ctx, h.cfg.Snapshot.Strategy); err != nil {
		return err
	}
	if removed, err := rocks.Sweep(h.db.Path()); err != nil {
		return fmt.Errorf("sweep old checkpoints: %w", err)
	} else if removed > 0 {
		h.log.Info("removed checkpoints of an earlier run", "count", removed)
	}
	if s.reader {
		return nil
	}
	writer, err := h.catalog.Acquire(ctx, thisProcess())
	if err != nil {
		return fmt.Errorf("take over as writer: %w", err)
	}
	h.writer = writer
	return nil
}

func openDatabase(cfg *config.Config, s settings) (database, error) {
	path := cfg.Database.Path
	if s.borrowed != nil {
		return rocks.Borrow(s.borrowed, path, s.families), nil
	}
	var db database
	var err error
	if s.offline || cfg.Database.Mode == config.ReadOnly {
		db, err = rocks.OpenOffline(path)
	} else {
		db, err = rocks.Open(path, rocks.Options{})
	}
	if err != nil {
		return nil, databaseProblem(path, err)
	}
	return db, nil
}

// databaseProblem explains why a database could not be opened.
func databaseProblem(path string, err error) error {
	switch {
	case errors.Is(err, rocks.ErrLocked):
		return problem(CodeFenced, fmt.Errorf("open database: %w", err), "another process has it open; stop that one, or have it take the snapshot")
	case errors.Is(err, fs.ErrNotExist):
		return problem(CodeFailed, fmt.Errorf("open database: no RocksDB database at %s", path), "correct [database] path, or make one with 'rocksnap db load'")
	}
	return fmt.Errorf("open database: %w", err)
}

func thisProcess() catalog.Owner {
	name, _ := os.Hostname() // for people to read; may be missing
	return catalog.Owner{Host: name, PID: os.Getpid()}
}

// Close waits for snapshots under way, then closes a database that the host owns.
func (h *Host) Close() error {
	return errors.Join(h.db.Close(), h.strategies.close(context.Background()))
}

// checkpoint makes and reads the checkpoint of a session, in a folder beside the
// database, since hard links do not cross file systems.
func (h *Host) checkpoint(origin blobOrigin) (*capture, error) {
	dir := filepath.Join(rocks.Staging(h.db.Path()), rocks.CheckpointName())
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	err := h.db.Checkpoint(dir, h.flush)
	if errors.Is(err, rocks.ErrNeedsWrite) {
		return nil, problem(CodeUsage, fmt.Errorf("checkpoint: %w", err), "open the database for writing, or set [snapshot] flush = \"auto\"")
	}
	if err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	c, err := readCapture(dir, origin)
	if err != nil {
		return nil, errors.Join(err, h.removeCheckpoint(dir))
	}
	return c, nil
}

// removeCheckpoint also removes the folder of checkpoints when none is left.
func (h *Host) removeCheckpoint(dir string) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove checkpoint: %w", err)
	}
	os.Remove(filepath.Dir(dir)) // fails while another session has one there
	return nil
}
