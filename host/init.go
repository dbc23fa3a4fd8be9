package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/blob/probe"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// InitOptions says what kind of repository [Init] makes.
type InitOptions struct {
	// SingleWriter accepts a store that lets two creators of one name both
	// succeed. Nothing then keeps two hosts from harming one another's snapshots.
	SingleWriter bool

	// SkipProbe takes the store's word for it. It is for stores that were probed
	// before; the repository remembers that it was not asked.
	SkipProbe bool
}

// Init probes the store that the configuration names and makes a repository of it:
// an encrypted one when the configuration names recipients. It fails when there is
// one already, and when the store does not keep what a repository rests on.
func Init(ctx context.Context, cfg *config.Config, o InitOptions, options ...Option) (*probe.Report, error) {
	s := newSettings(options)
	if s.store == nil {
		store, err := openStore(ctx, cfg.Repository, s.log, true, o.SingleWriter)
		if err != nil {
			return nil, storeProblem(cfg.Repository, err)
		}
		s.store = store
	}
	if _, err := openCatalog(ctx, s.store, cfg.Repository); err == nil {
		return nil, problem(CodeFailed, fmt.Errorf("create repository: %s holds one already", cfg.Repository.URL), "it is ready for use; nothing was changed")
	} else if CodeOf(err) != CodeNoRepository {
		return nil, err
	}
	k, err := newKeys(cfg.Repository.Encryption)
	if err != nil {
		return nil, err
	}
	report := probe.Report{Exclusive: !o.SingleWriter}
	if !o.SkipProbe {
		if report, err = probe.Run(ctx, s.store); err != nil {
			return nil, err
		}
		if err := suits(report, o.SingleWriter); err != nil {
			return &report, err
		}
	}
	_, err = catalog.Init(ctx, s.store, catalog.Format{
		Encrypted: k.recipients != nil, SingleWriter: o.SingleWriter && !report.Exclusive, Probe: answers(report),
	})
	if errors.Is(err, fs.ErrExist) {
		return &report, problem(CodeFailed, fmt.Errorf("create repository: somebody else made one at %s a moment ago", cfg.Repository.URL), "it is ready for use")
	}
	if err != nil {
		return &report, fmt.Errorf("create repository: %w", err)
	}
	return &report, nil
}

// suits refuses a store on which snapshots would not be safe.
func suits(report probe.Report, singleWriter bool) error {
	for _, c := range report.Checks {
		if c.Result != probe.Fail || singleWriter && c.BetweenWriters() {
			continue
		}
		hint := "use another store, or a newer version of this one; nothing was created"
		if c.BetweenWriters() {
			hint += "; 'rocksnap init --single-writer' accepts it for one host"
		}
		return problem(CodeFailed, fmt.Errorf("the store cannot hold a repository: %s: %s", c.Name, c.Detail), hint)
	}
	return nil
}

// answers are what the repository remembers of a probe.
func answers(report probe.Report) map[string]string {
	m := make(map[string]string)
	for _, c := range report.Checks {
		m[c.Name] = string(c.Result)
	}
	return m
}
