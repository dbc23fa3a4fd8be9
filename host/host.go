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
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Host owns or borrows a database and takes snapshots of it.
type Host struct {
	*Repository
	db        database
	circuits  *circuits
	heard     *heard
	reloading sync.Mutex      // held by Reload
	offline   bool            // the database cannot be flushed
	writer    *catalog.Writer // nil when opened with ReadOnlyRepository
	preupload *preupload      // the same
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
	s.writes = !s.reader
	r, err := openRepository(ctx, cfg, s)
	if err != nil {
		return nil, err
	}
	h := &Host{Repository: r, circuits: newCircuits(r), heard: newHeard(), offline: s.offline}
	if err := h.checkTTL(ctx, cfg.Database.Path); err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if h.db, err = openDatabase(cfg, s, h.expiry()); err != nil {
		return nil, err
	}
	if err := h.start(ctx, s); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *Host) start(ctx context.Context, s settings) error {
	if err := h.checkChosen(ctx); err != nil {
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
	h.preupload = newPreupload(h, s.pace)
	h.preupload.follow()
	h.tidyKept(h.config().Local.Keep, "", nil)
	return nil
}

// checkChosen loads the strategy that the configuration chooses, and those that it
// falls back to: with one of these at hand, the host can do without it.
func (h *Host) checkChosen(ctx context.Context) error {
	cfg := h.config()
	for name := cfg.Snapshot.Strategy; name != ""; {
		to := cfg.Strategies[name].OnError.To
		err := h.strategies.current.check(ctx, name)
		if err != nil && (to == "" || !fallible(err)) {
			return err
		}
		if err != nil {
			h.log.Warn("strategy cannot be loaded", "strategy", name, "instead", to, "error", err)
		}
		name = to
	}
	return nil
}

func openDatabase(cfg *config.Config, s settings, expiry rocks.Expiry) (database, error) {
	path := cfg.Database.Path
	if s.lent != nil {
		return s.lent.borrow(path)
	}
	var db database
	var err error
	if s.offline || cfg.Database.Mode == config.ReadOnly {
		db, err = rocks.OpenOffline(path)
	} else {
		db, err = rocks.Open(path, rocks.Options{Expiry: expiry})
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
	case errors.Is(err, rocks.ErrNoRocksDB):
		return withoutRocksDB(fmt.Errorf("open database: %w", err))
	case errors.Is(err, fs.ErrNotExist):
		return problem(CodeFailed, fmt.Errorf("open database: no RocksDB database at %s", path), "correct [database] path, or make one with 'rocksnap db load'")
	}
	return fmt.Errorf("open database: %w", err)
}

func thisProcess() catalog.Owner {
	name, _ := os.Hostname() // for people to read; may be missing
	return catalog.Owner{Host: name, PID: os.Getpid()}
}

// Close waits for snapshots under way, stops what goes on between them, and closes a database that the host owns.
func (h *Host) Close() error {
	return errors.Join(h.preupload.close(), h.db.Close(), h.strategies.close(context.Background()))
}

// checkpoint makes and reads the checkpoint of a session.
func (h *Host) checkpoint(flush rocks.Flush, origin blobOrigin) (*capture, error) {
	dir, err := rocks.NewCheckpoint(h.db, flush)
	if err != nil {
		return nil, checkpointProblem(fmt.Errorf("checkpoint: %w", err))
	}
	c, err := readCapture(dir.Path(), origin)
	if err != nil {
		return nil, errors.Join(err, dir.Remove())
	}
	c.remove, c.keep = dir.Remove, dir.Keep
	return c, nil
}

// checkpointProblem explains why a checkpoint could not be made.
func checkpointProblem(err error) error {
	switch {
	case errors.Is(err, rocks.ErrNeedsWrite):
		return problem(CodeUsage, err, "open the database for writing, or set [snapshot] flush = \"auto\"")
	case errors.Is(err, rocks.ErrCrossDevice):
		return problem(CodeFailed, err, "allow hard links beside the database or in its directory, or take a canonical snapshot, which needs none")
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrPermission):
		return problem(CodeFailed, err, "allow writing beside the database or in its directory, or take a canonical snapshot, which writes nothing there")
	}
	return err
}
