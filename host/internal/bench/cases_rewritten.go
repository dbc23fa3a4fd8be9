package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	r := &rewrite{ground: g}
	if err := r.make(ctx, db, shape); err != nil {
		return nil, err
	}
	engine, err := r.engine(ctx, db, shape)
	return []Contender{{Name: ours, Before: r.before, Run: r.run}, {Name: copyOfNew, Before: r.beforeCopy, Run: r.copy}, engine}, err
}

// rewrite is a database of which some was rewritten since its only snapshot.
type rewrite struct {
	ground *Ground
	site   *site
	base   string   // the repository with the first snapshot
	news   []string // names of the files that are new since then
	bytes  int64    // of tables among these
	target string   // of the copy
	db     *rocks.DB
}

func (r *rewrite) make(ctx context.Context, db string, shape Shape) (err error) {
	if r.site, err = r.ground.siteOf(db, "incremental"); err != nil {
		return err
	}
	if err := r.site.based(ctx); err != nil {
		return err
	}
	r.base = filepath.Join(r.site.folder, "base")
	if err := os.Rename(r.site.repository(), r.base); err != nil {
		return err
	}
	if err := shape.Rewrite(r.site.db, share, shape.Seed+1); err != nil {
		return err
	}
	r.target = filepath.Join(r.site.folder, "copied")
	return r.findNew(db)
}

// findNew lists the tables that the database was given since.
func (r *rewrite) findNew(before string) error {
	entries, err := os.ReadDir(r.site.db)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join(before, e.Name())); !isTable(e) || err == nil {
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

func (r *rewrite) before(ctx context.Context) error {
	s := r.site
	err := errors.Join(s.close(), os.RemoveAll(s.repository()))
	if err == nil {
		err = linked(r.base, s.repository(), isLarge)
	}
	if err == nil {
		err = r.ground.settle(s.db)
	}
	if err != nil {
		return err
	}
	return s.open(ctx)
}

// metadata bounds what a snapshot stores beside tables.
const metadata = 128 << 10

// run takes the snapshot, and demands that it uploaded what is new and nothing else.
func (r *rewrite) run(ctx context.Context) (Measure, error) {
	m, err := r.site.snapshot(ctx)
	if err == nil && (m.Bytes < r.bytes || m.Bytes > r.bytes+metadata) {
		err = fmt.Errorf("the snapshot uploaded %d bytes, new tables have %d", m.Bytes, r.bytes)
	}
	return m, err
}

func (r *rewrite) beforeCopy(context.Context) (err error) {
	if err := errors.Join(os.RemoveAll(r.target), r.ground.settle(r.site.db)); err != nil {
		return err
	}
	r.db, err = rocks.Open(r.site.db, rocks.Options{})
	return err
}

// copy makes a checkpoint and durable copies of the new tables in it.
func (r *rewrite) copy(context.Context) (Measure, error) {
	from := filepath.Join(r.site.folder, "checkpoint")
	m, err := timed(r.bytes, func() error {
		if err := r.db.Checkpoint(from, rocks.FlushAuto); err != nil {
			return err
		}
		if err := os.Mkdir(r.target, 0o755); err != nil {
			return err
		}
		for _, name := range r.news {
			if err := syncedCopy(filepath.Join(from, name), filepath.Join(r.target, name)); err != nil {
				return err
			}
		}
		return durable.SyncDir(r.target)
	})
	return m, errors.Join(err, os.RemoveAll(from), r.db.Close())
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

// engine is the backup engine on a copy of the database that was rewritten likewise.
func (r *rewrite) engine(ctx context.Context, db string, shape Shape) (Contender, error) {
	own, err := r.ground.copy(db, "engine")
	if err != nil {
		return Contender{}, err
	}
	backups := filepath.Join(filepath.Dir(own), "backups")
	if err := once(ctx, r.ground.Tools.BackupEngineCreate(own, backups, 1, true)); err != nil {
		return Contender{}, err
	}
	if err := shape.Rewrite(own, share, shape.Seed+1); err != nil {
		return Contender{}, err
	}
	return r.ground.fair(engineDefaults, r.ground.Tools.BackupEngineAgain(own, backups, 1, true), own), nil
}
