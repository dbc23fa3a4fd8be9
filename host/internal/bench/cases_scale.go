package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/internal/catalogtest"
)

func scaleCases() []Case {
	return []Case{
		{
			Name: "plan-100000", About: "plan of an incremental snapshot, 100,000 SSTs, nothing has changed since the last one",
			Contenders: planned,
			Bars:       []Bar{{Slack: 2 * time.Second}},
		},
		{
			Name: "manifest-100000", About: "the first incremental snapshot of 100,000 SSTs; bytes are those of its manifest in the store",
			Contenders: firstOfMany,
			Bars:       []Bar{{Size: 10e6}},
		},
		{
			Name: "list-10000", About: "the list of 10,000 snapshots in a directory",
			Contenders: listed,
			Bars:       []Bar{{Slack: time.Second}},
		},
		{
			Name: "prune-plan-10000", About: "what prune would do with 10,000 snapshots in a directory of which it keeps 24 by the hour and 30 by the day",
			Contenders: prunePlanned,
			Bars:       []Bar{{Slack: 2 * time.Second}},
		},
	}
}

func planned(ctx context.Context, g *Ground) ([]Contender, error) {
	db, err := g.many(g.Most)
	if err != nil {
		return nil, err
	}
	s, err := g.basedOn(ctx, db, "incremental")
	if err != nil {
		return nil, err
	}
	run := func(ctx context.Context) (Measure, error) {
		var plan *host.Plan
		m, err := timed(0, func() (err error) {
			plan, err = s.host.Plan(ctx, host.SnapshotOptions{})
			return err
		})
		if err == nil && plan.FilesReused < g.Most {
			err = fmt.Errorf("the plan reuses %d files of %d", plan.FilesReused, g.Most)
		}
		return m, errors.Join(err, s.close())
	}
	return []Contender{{Name: ours, Before: s.again("").Before, Run: run}}, nil
}

func firstOfMany(_ context.Context, g *Ground) ([]Contender, error) {
	db, err := g.many(g.Most)
	if err != nil {
		return nil, err
	}
	s, err := g.siteOf(db, "incremental")
	if err != nil {
		return nil, err
	}
	c := s.full(ours)
	run := c.Run
	c.Run = func(ctx context.Context) (Measure, error) {
		m, err := run(ctx)
		if err == nil {
			m.Bytes, err = s.entryBytes()
		}
		return m, err
	}
	return []Contender{c}, nil
}

// entryBytes is the size of the largest entry of the catalog: that of a snapshot.
func (s *site) entryBytes() (most int64, err error) {
	entries, err := filepath.Glob(filepath.Join(s.repository(), "db", "*", "entries", "*"))
	if err != nil || len(entries) == 0 {
		return 0, fmt.Errorf("find the manifest: %w", errors.Join(err, os.ErrNotExist))
	}
	for _, path := range entries {
		info, err := os.Stat(path)
		if err != nil {
			return 0, err
		}
		most = max(most, info.Size())
	}
	return most, nil
}

// history makes a site with a catalog of many snapshots, of 40 files each. Cases only
// read it.
func (g *Ground) history(ctx context.Context) (s *site, repository string, err error) {
	repository, err = g.once("history", func(path string) error {
		store, err := dir.Create(path)
		if err != nil {
			return err
		}
		return catalogtest.Fill(ctx, store, databaseName, catalogtest.Shape{Snapshots: g.History, Files: 40, New: 1})
	})
	if err != nil {
		return nil, "", err
	}
	if s, err = g.site(filepath.Join(g.Dir, "no-database"), "incremental"); err != nil {
		return nil, "", err
	}
	s.url = "file:" + repository
	return s, repository, s.configure("incremental", "[retention]\nkeep_hourly = 24\nkeep_daily = 30")
}

func listed(ctx context.Context, g *Ground) ([]Contender, error) {
	return g.looked(ctx, func(ctx context.Context, r *host.Repository) error {
		list, err := r.List(ctx)
		if err == nil && len(list) != g.History {
			err = fmt.Errorf("list has %d snapshots of %d", len(list), g.History)
		}
		return err
	})
}

func prunePlanned(ctx context.Context, g *Ground) ([]Contender, error) {
	return g.looked(ctx, func(ctx context.Context, r *host.Repository) error {
		plan, err := r.Prune(ctx, host.PruneOptions{DryRun: true})
		if err == nil && len(plan.Verdicts) != g.History {
			err = fmt.Errorf("prune judges %d snapshots of %d", len(plan.Verdicts), g.History)
		}
		return err
	})
}

// looked asks something of a long catalog: as a machine that has seen it before, and as
// one that has not.
func (g *Ground) looked(ctx context.Context, ask func(context.Context, *host.Repository) error) ([]Contender, error) {
	s, repository, err := g.history(ctx)
	if err != nil {
		return nil, err
	}
	state := filepath.Join(s.folder, "state")
	run := func(ctx context.Context) (Measure, error) {
		r, err := host.OpenRepository(ctx, s.cfg, host.WithStateDir(state))
		if err != nil {
			return Measure{}, err
		}
		return timed(0, func() error { return ask(ctx, r) })
	}
	cold := func(context.Context) error { return os.RemoveAll(state) }
	warm := func(ctx context.Context) error {
		_, err := run(ctx)
		return err
	}
	return []Contender{
		g.fair(ours, Contender{Before: warm, Run: run}, repository),
		g.fair(firstLook, Contender{Before: cold, Run: run}, repository),
	}, nil
}
