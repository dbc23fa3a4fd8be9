package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/host/blob"
)

// part is one of the snapshots that a restore is made of.
type part struct {
	*Manifest
	folder string // of its files, within the staging directory; "" for the directory itself
	dir    string // the same as a path, once a database is there
	left   int    // files that were not fetched, as they hold nothing wanted
}

// path returns where a file of the part is, within the staging directory.
func (p *part) path(name string) string { return filepath.Join(p.folder, name) }

// stem tells files of this part from those of others that have the same name.
func (p *part) stem() string {
	if p.folder == "" {
		return ""
	}
	return filepath.Base(p.folder) + "-"
}

// parts finds the snapshots that a restore is made of, and keeps prune from
// removing them until release is called.
func (r *Repository) parts(ctx context.Context, o RestoreOptions) (parts []*part, release func(), err error) {
	var holds []func()
	release = func() {
		for _, release := range holds {
			release()
		}
	}
	refs := o.Snapshots
	if len(refs) == 0 {
		refs = []string{"latest"}
	}
	for i, ref := range refs {
		from, ref, err := r.beside(ctx, ref)
		if err != nil {
			release()
			return nil, nil, err
		}
		m, err := from.Find(ctx, ref)
		if err == nil {
			var hold func()
			if hold, err = from.hold(ctx, m, "restored"); err == nil {
				holds = append(holds, hold)
			}
		}
		if err != nil {
			release()
			return nil, nil, err
		}
		p := &part{Manifest: m}
		if len(refs) > 1 || o.partial() || !o.forRocksDB() || o.Method == ByRecords {
			p.folder = filepath.Join(workFolder, fmt.Sprintf("part-%d", i))
		}
		parts = append(parts, p)
	}
	return parts, release, nil
}

// beside returns the repository of the database that a reference begins with, as
// in NAME/ID, and the rest of the reference. They share store, keys and limits.
func (r *Repository) beside(ctx context.Context, ref string) (*Repository, string, error) {
	name, rest, qualified := strings.Cut(ref, "/")
	switch {
	case !qualified:
		return r, ref, nil
	case name == r.name:
		return r, rest, nil
	}
	other := *r
	other.name = name
	repository := r.config().Repository
	repository.Name = name
	var err error
	other.catalog, err = openCatalog(ctx, r.store, repository)
	if errors.Is(err, blob.ErrName) {
		err = problem(CodeUsage, fmt.Errorf("snapshot %q: %q is no name of a database", ref, name), "a snapshot is ID, or NAME/ID for that of another database")
	}
	return &other, rest, err
}

// name names the parts in errors.
func (w *restoration) name() string {
	names := make([]string, len(w.parts))
	for i, p := range w.parts {
		names[i] = p.ID
	}
	return abbreviate(names)
}

// attempt says what is being restored.
func (w *restoration) attempt() attempt {
	first := w.parts[0]
	a := attempt{
		Version: 1, Repository: w.catalog.Format().ID, Database: first.Database, Snapshot: first.ID, Slot: first.Slot,
		Identity: uuid.NewString(),
	}
	for _, p := range w.parts[1:] {
		a.Also += " " + p.Database + "/" + p.ID
	}
	if o := w.options; o.partial() || o.Engine != "" || o.Method != "" || o.Link {
		a.Wanted = fmt.Sprintf("%q key groups %v keys %q-%q for %s by %s link %v",
			o.Families, o.KeyGroups, o.Keys.From, o.Keys.To, o.Engine, o.Method, o.Link)
	}
	return a
}
