package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/host"
)

func full(_ context.Context, g *Ground) ([]Contender, error) {
	db, err := g.database(g.shape())
	if err != nil {
		return nil, err
	}
	s, err := g.siteOf(db, "native-full")
	if err != nil {
		return nil, err
	}
	list := []Contender{s.full(ours)}
	for _, e := range engines {
		own, err := g.copy(db, "engine")
		if err != nil {
			return nil, err
		}
		backups := filepath.Join(filepath.Dir(own), "backups")
		list = append(list, g.fair(e.name, g.Tools.BackupEngineCreate(own, backups, e.threads, e.sync), db))
	}
	own, err := g.copy(db, "copy")
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(own)
	return append(list,
		g.fair(copies, g.Tools.Copy(own, filepath.Join(folder, "target")), db),
		g.fair(copiesEach, g.Tools.CopyEach(own, filepath.Join(folder, "each")), db),
		g.fair("ldb backup", g.Tools.LdbBackup(own, filepath.Join(folder, "backups")), db)), nil
}

// engines are the ways in which RocksDB's backup engine is called. Its defaults are
// one thread, and sync.
var engines = []struct {
	name    string
	threads int
	sync    bool
}{
	{engineDefaults, 1, true}, {engineTwo, 2, true}, {engineFour, 4, true},
	{"BackupEngine, 1 thread, no sync", 1, false}, {"BackupEngine, 2 threads, no sync", 2, false}, {"BackupEngine, 4 threads, no sync", 4, false},
}

// siteOf makes a site around a copy of a database.
func (g *Ground) siteOf(db, strategy string, options ...host.Option) (*site, error) {
	own, err := g.copy(db, "database")
	if err != nil {
		return nil, err
	}
	return g.site(own, strategy, options...)
}

// basedOn makes a site around a copy of a database, of which it has a snapshot.
func (g *Ground) basedOn(ctx context.Context, db, strategy string) (*site, error) {
	s, err := g.siteOf(db, strategy)
	if err != nil {
		return nil, err
	}
	return s, s.based(ctx)
}

func noChange(ctx context.Context, g *Ground) ([]Contender, error) {
	shape := g.shape()
	shape.TableBytes = shape.Bytes / 40
	db, err := g.database(shape)
	if err != nil {
		return nil, err
	}
	return g.unchanged(ctx, db)
}

func noChangeOfMany(ctx context.Context, g *Ground) ([]Contender, error) {
	db, err := g.many(g.Tables)
	if err != nil {
		return nil, err
	}
	return g.unchanged(ctx, db)
}

// many returns a database of many small tables.
func (g *Ground) many(tables int) (string, error) {
	return g.once(fmt.Sprintf("%d tables", tables), func(path string) error { return MakeTables(path, tables) })
}

func (g *Ground) unchanged(ctx context.Context, db string) ([]Contender, error) {
	s, err := g.basedOn(ctx, db, "incremental")
	if err != nil {
		return nil, err
	}
	engine, err := g.engineAgain(ctx, db)
	return []Contender{s.again(ours), engine}, err
}

// engineAgain has the backup engine make a second backup of a database.
func (g *Ground) engineAgain(ctx context.Context, db string) (Contender, error) {
	own, err := g.copy(db, "engine")
	if err != nil {
		return Contender{}, err
	}
	backups := filepath.Join(filepath.Dir(own), "backups")
	if err := once(ctx, g.Tools.BackupEngineCreate(own, backups, 1, true)); err != nil {
		return Contender{}, err
	}
	return g.fair(engineDefaults, g.Tools.BackupEngineAgain(own, backups, 1, true)), nil
}

// based gives the site a repository with one snapshot.
func (s *site) based(ctx context.Context) error {
	if err := errors.Join(s.fresh(ctx), s.open(ctx)); err != nil {
		return err
	}
	_, err := s.snapshot(ctx)
	return err
}

// again takes a snapshot of a database of which there is one.
func (s *site) again(name string) Contender {
	before := func(ctx context.Context) error {
		if err := s.ground.settle(); err != nil {
			return err
		}
		return s.open(ctx)
	}
	return Contender{Name: name, Before: before, Run: s.snapshot}
}

func restored(ctx context.Context, g *Ground) ([]Contender, error) {
	db, err := g.database(g.shape())
	if err != nil {
		return nil, err
	}
	s, err := g.basedOn(ctx, db, "native-full")
	if err != nil {
		return nil, err
	}
	backups, err := g.backups(ctx, db)
	if err != nil {
		return nil, err
	}
	list := []Contender{s.restore(ours)}
	for _, e := range engines[:3] {
		list = append(list, g.fair(e.name, g.Tools.BackupEngineRestore(backups, filepath.Join(filepath.Dir(backups), "restored"), e.threads), backups))
	}
	target := filepath.Join(filepath.Dir(backups), "copied")
	return append(list,
		g.fair(copies, g.Tools.Copy(db, target), db),
		g.fair("ldb restore", g.Tools.LdbRestore(backups, filepath.Join(filepath.Dir(backups), "ldb")), backups)), nil
}

// backups returns a folder in which the backup engine has one of a database.
func (g *Ground) backups(ctx context.Context, db string) (string, error) {
	own, err := g.copy(db, "engine")
	if err != nil {
		return "", err
	}
	backups := filepath.Join(filepath.Dir(own), "backups")
	return backups, once(ctx, g.Tools.BackupEngineCreate(own, backups, 2, true))
}

// restore restores the newest snapshot, into a new folder each time.
func (s *site) restore(name string) Contender {
	target := filepath.Join(s.folder, "restored")
	before := func(context.Context) error {
		if err := os.RemoveAll(target); err != nil {
			return err
		}
		if _, err := os.Stat(s.repository()); err != nil {
			return s.ground.settle()
		}
		return s.ground.settle(s.repository())
	}
	run := func(ctx context.Context) (Measure, error) {
		r, err := host.OpenRepository(ctx, s.cfg)
		if err != nil {
			return Measure{}, err
		}
		var done *host.Restored
		m, err := timed(0, func() (err error) {
			done, err = r.Restore(ctx, host.RestoreOptions{Target: target, Claim: host.NotClaimed})
			return err
		})
		if err == nil {
			m.Bytes = done.Bytes
		}
		return m, err
	}
	return Contender{Name: name, Before: before, Run: run}
}

func verified(ctx context.Context, g *Ground) ([]Contender, error) {
	db, err := g.database(g.shape())
	if err != nil {
		return nil, err
	}
	s, err := g.basedOn(ctx, db, "native-full")
	if err != nil {
		return nil, err
	}
	backups, err := g.backups(ctx, db)
	if err != nil {
		return nil, err
	}
	return []Contender{
		g.fair(ours, Contender{Run: s.verify}, s.repository()),
		g.fair(engineDefaults, g.Tools.BackupEngineVerify(backups), backups),
	}, nil
}

func (s *site) verify(ctx context.Context) (Measure, error) {
	r, err := host.OpenRepository(ctx, s.cfg)
	if err != nil {
		return Measure{}, err
	}
	var seen *host.Verified
	m, err := timed(0, func() (err error) {
		seen, err = r.Verify(ctx, host.VerifyOptions{Level: host.LevelData})
		return err
	})
	if err != nil {
		return m, err
	}
	m.Bytes = seen.Bytes
	if len(seen.Problems) > 0 {
		return m, fmt.Errorf("verify found %v", seen.Problems[0])
	}
	return m, nil
}
