package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// share is how much of a database is rewritten between two snapshots.
const share = 0.01

func rewritten(ctx context.Context, g *Ground) ([]Contender, error) {
	shape := g.shape()
	db, err := g.database(shape)
	if err != nil {
		return nil, err
	}
	s, err := g.siteOf(db, "incremental")
	if err != nil {
		return nil, err
	}
	own, err := g.rewrites(s.db, shape)
	if err != nil {
		return nil, err
	}
	if err := s.stay(ctx, lend(own.db)); err != nil {
		return nil, err
	}
	path, err := g.copy(db, "copy")
	if err != nil {
		return nil, err
	}
	other, err := g.rewrites(path, shape)
	if err != nil {
		return nil, err
	}
	engine, err := g.engineRewritten(ctx, db, shape)
	return []Contender{
		{Name: ours, Before: own.again, Run: func(ctx context.Context) (Measure, error) { return own.snapshot(ctx, s) }},
		{Name: copyOfNew, Before: other.again, Run: other.copy},
		engine,
	}, err
}

// rewrite is an open database of which some is written again before each round.
type rewrite struct {
	ground *Ground
	shape  Shape
	path   string
	db     *rocks.DB
	seed   uint64
	news   []string // names of the tables of the last time
	bytes  int64    // of them
}

func (g *Ground) rewrites(path string, shape Shape) (*rewrite, error) {
	db, err := rocks.Open(path, rocks.Options{})
	if err != nil {
		return nil, err
	}
	g.atEnd(db.Close)
	return &rewrite{ground: g, shape: shape, path: path, db: db, seed: shape.Seed}, nil
}

// stay opens a host that takes a first snapshot, and stays until the case ends.
func (s *site) stay(ctx context.Context, options ...host.Option) error {
	s.options = append(s.options, options...)
	if err := errors.Join(s.fresh(ctx), s.open(ctx)); err != nil {
		return err
	}
	s.ground.atEnd(s.close)
	_, err := s.take(ctx)
	return err
}

func (r *rewrite) again(context.Context) error {
	before, err := os.ReadDir(r.path)
	if err != nil {
		return err
	}
	r.seed++
	if err := r.shape.fill(r.db, int64(share*float64(r.shape.Bytes)), r.seed); err != nil {
		return fmt.Errorf("rewrite database: %w", err)
	}
	if err := r.findNew(before); err != nil {
		return err
	}
	return r.ground.settle(r.path)
}

// findNew lists the tables that the database was given since.
func (r *rewrite) findNew(before []fs.DirEntry) error {
	old := make(map[string]bool)
	for _, e := range before {
		old[e.Name()] = true
	}
	entries, err := os.ReadDir(r.path)
	if err != nil {
		return err
	}
	r.news, r.bytes = nil, 0
	for _, e := range entries {
		if !isTable(e) || old[e.Name()] {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		r.news, r.bytes = append(r.news, e.Name()), r.bytes+info.Size()
	}
	if len(r.news) == 0 {
		return fmt.Errorf("rewriting made no table: %w", fs.ErrNotExist)
	}
	return nil
}

// metadata bounds what a snapshot stores beside tables.
const metadata = 128 << 10

// snapshot demands that it uploaded what is new and nothing else.
func (r *rewrite) snapshot(ctx context.Context, s *site) (Measure, error) {
	m, err := s.take(ctx)
	if err == nil && (m.Bytes < r.bytes || m.Bytes > r.bytes+metadata) {
		err = fmt.Errorf("the snapshot uploaded %d bytes, new tables have %d", m.Bytes, r.bytes)
	}
	return m, err
}

// copy makes a checkpoint and durable copies of the new tables in it.
func (r *rewrite) copy(context.Context) (Measure, error) {
	folder := filepath.Dir(r.path)
	from, target := filepath.Join(folder, "checkpoint"), filepath.Join(folder, "copied")
	m, err := timed(r.bytes, func() error {
		if err := r.db.Checkpoint(from, rocks.FlushAuto); err != nil {
			return err
		}
		if err := os.Mkdir(target, 0o755); err != nil {
			return err
		}
		for _, name := range r.news {
			if err := syncedCopy(filepath.Join(from, name), filepath.Join(target, name)); err != nil {
				return err
			}
		}
		return durable.SyncDir(target)
	})
	return m, errors.Join(err, os.RemoveAll(from), os.RemoveAll(target))
}

func syncedCopy(from, to string) error {
	if err := copied(from, to); err != nil {
		return err
	}
	file, err := os.Open(to)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// engineRewritten is the backup engine on a copy of the database that was rewritten likewise.
func (g *Ground) engineRewritten(ctx context.Context, db string, shape Shape) (Contender, error) {
	own, err := g.copy(db, "engine")
	if err != nil {
		return Contender{}, err
	}
	backups := filepath.Join(filepath.Dir(own), "backups")
	if err := once(ctx, g.Tools.BackupEngineCreate(own, backups, 1, true)); err != nil {
		return Contender{}, err
	}
	if err := shape.Rewrite(own, share, shape.Seed+1); err != nil {
		return Contender{}, err
	}
	return g.fair(engineDefaults, g.Tools.BackupEngineAgain(own, backups, 1, true), own), nil
}
