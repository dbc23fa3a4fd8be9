package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/rocksnap/rocksnap/host"
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
	}
}

func planned(ctx context.Context, g *Ground) ([]Contender, error) {
	db, err := g.many(g.Most)
	if err != nil {
		return nil, err
	}
	s, err := g.siteOf(db, "incremental")
	if err == nil {
		err = s.based(ctx)
	}
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
