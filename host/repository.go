package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/expiry"
)

// Manifest is the document that a snapshot is: everything needed to restore it.
type Manifest = catalog.Manifest

// Summary is the part of a [Manifest] that lists show.
type Summary = catalog.Summary

// File is one file of a [Manifest].
type File = catalog.File

// Repository is the place where the snapshots of a database are kept. It needs
// no database to list, restore or verify them.
type Repository struct {
	name       string             // of the database within the repository
	groups     *catalog.KeyGroups // nil when the application declares none
	rules      expiry.Rules
	clock      func() time.Time
	store      blob.Store
	keys       *keys
	catalog    *catalog.Catalog
	strategies *strategies
	workers    int
	log        *slog.Logger
	report     func(Progress)
	state      string // folder of what this machine remembers; "" for none
}

// config returns the configuration that holds until the next reload.
func (r *Repository) config() *config.Config { return r.strategies.config() }

// OpenRepository opens the repository that the configuration names.
func OpenRepository(ctx context.Context, cfg *config.Config, options ...Option) (*Repository, error) {
	return openRepository(ctx, cfg, newSettings(options))
}

// newRepository returns a repository that is not open yet.
func newRepository(cfg *config.Config, s settings) (*Repository, error) {
	keys, err := newKeys(cfg.Repository.Encryption)
	if err != nil {
		return nil, err
	}
	r := &Repository{
		name: cfg.Repository.Name, store: s.store, keys: keys,
		workers: cfg.Repository.Transfer.Workers, log: s.log, report: s.report, state: s.state,
		strategies: newStrategies(cfg, s), rules: rulesOf(cfg), clock: s.clock,
	}
	if g := cfg.KeyGroups; g != nil {
		r.groups = &catalog.KeyGroups{Count: g.Count, First: g.Range.First, Last: g.Range.Last}
	}
	return r, nil
}

func openRepository(ctx context.Context, cfg *config.Config, s settings) (*Repository, error) {
	r, err := newRepository(cfg, s)
	if err != nil {
		return nil, err
	}
	if r.store == nil {
		if r.store, err = openStore(ctx, cfg.Repository, s.log, false, false); err != nil {
			return nil, storeProblem(cfg.Repository, err)
		}
	}
	if r.catalog, err = openCatalog(ctx, r.store, cfg.Repository); err != nil {
		return nil, err
	}
	format := r.catalog.Format()
	if format.SingleWriter && s.store == nil {
		s.log.Warn("the store cannot keep two hosts apart: make sure that only one takes snapshots or prunes")
		if r.store, err = openStore(ctx, cfg.Repository, s.log, false, true); err != nil {
			return nil, storeProblem(cfg.Repository, err)
		}
		if r.catalog, err = openCatalog(ctx, r.store, cfg.Repository); err != nil {
			return nil, err
		}
	}
	r.catalog.Remember(r.shelf())
	return r, r.keys.match(format, s.writes)
}

func openCatalog(ctx context.Context, store blob.Store, c config.Repository) (*catalog.Catalog, error) {
	opened, err := catalog.Open(ctx, store, c.Name)
	switch {
	case err == nil:
		return opened, nil
	case errors.Is(err, catalog.ErrNoRepository):
		return nil, noRepository(c)
	case errors.Is(err, catalog.ErrDamaged):
		return nil, problem(CodeDamaged, fmt.Errorf("open repository: %w", err), "bring the file back from a copy of the repository; nothing else in it depends on what it says")
	}
	return nil, storeProblem(c, err)
}

func noRepository(c config.Repository) error {
	return problem(CodeNoRepository, fmt.Errorf("no repository at %s", c.URL), "create it with 'rocksnap init', or correct [repository] url")
}

// Reveal decrypts what is encrypted of a manifest. It fails, with [CodeKey], when
// the private key is not at hand or is another one; everything else can be read all
// the same.
func (r *Repository) Reveal(m *Manifest) error { return r.keys.reveal(m) }

// List returns the snapshots of the database, oldest first. Entries that are
// damaged are left out and returned as errors beside the others.
func (r *Repository) List(ctx context.Context) ([]Summary, error) {
	var list []Summary
	var damage []error
	for s, err := range r.catalog.Snapshots(ctx) {
		switch {
		case errors.Is(err, catalog.ErrDamaged):
			damage = append(damage, err)
		case err != nil:
			return nil, fmt.Errorf("list snapshots: %w", err)
		default:
			list = append(list, s)
		}
	}
	catalog.Order(list)
	if len(damage) > 0 {
		return list, problem(CodeDamaged, fmt.Errorf("list snapshots: %w", errors.Join(damage...)), "'rocksnap verify --level catalog' shows what is affected")
	}
	return list, nil
}

// Find returns the manifest of a snapshot by its id, an unambiguous prefix of
// its id, or "latest".
func (r *Repository) Find(ctx context.Context, ref string) (*Manifest, error) {
	m, err := r.catalog.Find(ctx, ref)
	switch {
	case ref == "":
		return nil, problem(CodeUsage, errors.New("the id of a snapshot is empty"), "'rocksnap list' shows what there is")
	case errors.Is(err, catalog.ErrDamaged):
		return nil, problem(CodeDamaged, fmt.Errorf("snapshot %s: %w", ref, err), "'rocksnap verify --level catalog' shows what is affected")
	case errors.Is(err, catalog.ErrAmbiguous):
		return nil, problem(CodeUsage, fmt.Errorf("several snapshots of %s start with %s", r.name, ref), "give more of the id; 'rocksnap list' shows them whole")
	case errors.Is(err, fs.ErrNotExist):
		return nil, problem(CodeFailed, fmt.Errorf("no snapshot %s of %s", ref, r.name), "'rocksnap list' shows what there is")
	case err != nil:
		return nil, fmt.Errorf("snapshot %s: %w", ref, err)
	}
	return m, nil
}
