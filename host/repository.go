package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
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
	cfg        *config.Config
	name       string             // of the database within the repository
	groups     *catalog.KeyGroups // nil when the application declares none
	store      blob.Store
	catalog    *catalog.Catalog
	strategies *strategies
	workers    int
	log        *slog.Logger
	report     func(Progress)
}

// Init creates the repository that the configuration names. It fails when there
// is one already.
func Init(ctx context.Context, cfg *config.Config) error {
	store, err := dir.Create(cfg.Repository.Dir())
	if err != nil {
		return fmt.Errorf("create repository: %w", err)
	}
	if _, err := catalog.Init(ctx, store); err != nil {
		if errors.Is(err, fs.ErrExist) {
			if _, err := OpenRepository(ctx, cfg); err != nil {
				return err
			}
			return problem(CodeFailed, fmt.Errorf("create repository: %s holds one already", cfg.Repository.Dir()), "it is ready for use; nothing was changed")
		}
		return fmt.Errorf("create repository: %w", err)
	}
	return nil
}

// OpenRepository opens the repository that the configuration names.
func OpenRepository(ctx context.Context, cfg *config.Config, options ...Option) (*Repository, error) {
	return openRepository(ctx, cfg, newSettings(options))
}

// newRepository returns a repository that is not open yet.
func newRepository(cfg *config.Config, s settings) *Repository {
	r := &Repository{
		cfg: cfg, name: cfg.Repository.Name, store: s.store,
		workers: cfg.Repository.Transfer.Workers, log: s.log, report: s.report,
		strategies: &strategies{cfg: cfg, native: s.native, wrap: s.wrap, cache: s.cache, modules: make(map[string]*loaded)},
	}
	if g := cfg.KeyGroups; g != nil {
		r.groups = &catalog.KeyGroups{Count: g.Count, First: g.Range.First, Last: g.Range.Last}
	}
	return r
}

func openRepository(ctx context.Context, cfg *config.Config, s settings) (*Repository, error) {
	r := newRepository(cfg, s)
	if r.store == nil {
		store, err := dir.Open(cfg.Repository.Dir())
		if err != nil {
			return nil, noRepository(cfg, err)
		}
		r.store = store
	}
	c, err := catalog.Open(ctx, r.store, r.name)
	if err != nil {
		return nil, noRepository(cfg, err)
	}
	r.catalog = c
	return r, nil
}

func noRepository(cfg *config.Config, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, catalog.ErrNoRepository) {
		return problem(CodeNoRepository, fmt.Errorf("no repository at %s", cfg.Repository.URL), "create it with 'rocksnap init', or correct [repository] url")
	}
	if errors.Is(err, catalog.ErrDamaged) {
		return problem(CodeDamaged, fmt.Errorf("open repository: %w", err), "bring the file back from a copy of the repository; nothing else in it depends on what it says")
	}
	return fmt.Errorf("open repository: %w", err)
}

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
