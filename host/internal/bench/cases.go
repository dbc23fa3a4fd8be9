package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rocksnap/rocksnap/host"
)

// ours is the name of the first contender of each case.
const ours = "rocksnap"

// Cases lists all cases, in the order of the report.
func Cases() []Case {
	return slices.Concat(fileCases())
}

// Choose returns the cases with the given names, and all for none.
func Choose(names []string) ([]Case, error) {
	all := Cases()
	if len(names) == 0 {
		return all, nil
	}
	var chosen []Case
	for _, name := range names {
		i := slices.IndexFunc(all, func(c Case) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no case %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

func fileCases() []Case {
	return []Case{
		{
			Name: "full-directory", About: "native-full into an empty repository in a directory, every byte hashed and synced",
			Contenders: full,
		},
		{
			Name: "no-change-40", About: "incremental, 40 SSTs, nothing has changed since the last snapshot",
			Contenders: noChange,
			Bars:       []Bar{{Slack: 20 * time.Millisecond}},
		},
	}
}

func full(_ context.Context, g *Ground) ([]Contender, error) {
	db, err := g.database(g.shape())
	if err != nil {
		return nil, err
	}
	s, err := g.siteOf(db, "native-full")
	if err != nil {
		return nil, err
	}
	return []Contender{s.full(ours)}, nil
}

// siteOf makes a site around a copy of a database.
func (g *Ground) siteOf(db, strategy string, options ...host.Option) (*site, error) {
	own, err := g.copy(db, "database")
	if err != nil {
		return nil, err
	}
	return g.site(own, strategy, options...)
}

func noChange(ctx context.Context, g *Ground) ([]Contender, error) {
	shape := g.shape()
	shape.TableBytes = shape.Bytes / 40
	db, err := g.database(shape)
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
	return []Contender{s.again(ours)}, nil
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
