package host

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// restoreRecords makes a new database with the options and column families of
// the snapshot, writes its records into tables beside it, and ingests these.
func (r *Repository) restoreRecords(ctx context.Context, m *Manifest, dir string, t *tally) error {
	families := make([]string, len(m.Families))
	for i, f := range m.Families {
		families[i] = f.Name
	}
	db, err := rocks.Create(dir, m.Options, families)
	if err != nil {
		return err
	}
	tables := filepath.Join(dir, ".tables")
	if err = sameOrder(m, db); err == nil {
		err = os.Mkdir(tables, 0o755)
	}
	if err == nil {
		err = r.load(ctx, m, db, tables, t)
	}
	if closed := db.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(tables)
}

// sameOrder refuses a database that orders keys otherwise than the snapshot does:
// RocksDB drops a comparator that it does not know from its options.
func sameOrder(m *Manifest, db *rocks.DB) error {
	view, err := db.View()
	if err != nil {
		return err
	}
	defer view.Close()
	made := make(map[string]string)
	for _, f := range view.Families() {
		made[f.Name] = f.Comparator
	}
	for _, f := range m.Families {
		if made[f.Name] != f.Comparator {
			return fmt.Errorf("column family %q needs the comparator %s, which this program does not have", f.Name, f.Comparator)
		}
	}
	return nil
}

// load imports every canonical file in parallel, and ingests the tables of each
// column family at once.
func (r *Repository) load(ctx context.Context, m *Manifest, db *rocks.DB, dir string, t *tally) error {
	var mu sync.Mutex // guards tables and sums
	tables, sums := make(map[string][]string), make(map[string]canonical.Sum)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(r.workers)
	for i := range m.Contents {
		f := &m.Contents[i]
		if f.Kind != abi.KindCanonical || f.Records == 0 {
			continue
		}
		g.Go(func() error {
			written, sum, err := r.importFile(ctx, f, db, filepath.Join(dir, f.Name), t)
			mu.Lock()
			defer mu.Unlock()
			tables[f.Family] = append(tables[f.Family], written...)
			sums[f.Family] = sums[f.Family].Merge(sum)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if digest := canonical.Database(sums); m.ContentDigest != "" && digest != m.ContentDigest {
		return problem(CodeDamaged, fmt.Errorf("the records have content digest %s, the manifest says %s: %w", digest, m.ContentDigest, abi.ECORRUPT), "")
	}
	for family, files := range tables {
		if err := db.Ingest(family, files); err != nil {
			return err
		}
	}
	return nil
}

// importFile turns one canonical file into tables.
func (r *Repository) importFile(ctx context.Context, f *File, db *rocks.DB, dir string, t *tally) (files []string, sum canonical.Sum, err error) {
	body, err := r.open(ctx, f, t)
	if err != nil {
		return nil, sum, err
	}
	defer body.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, sum, err
	}
	w, err := rocks.NewTableWriter(db, f.Family, dir)
	if err != nil {
		return nil, sum, err
	}
	defer w.Close()
	reader, err := canonical.NewStreamReader(body)
	if err != nil {
		return nil, sum, unreadable(f, err)
	}
	for block, err := range reader.Blocks() {
		if err != nil {
			return nil, sum, unreadable(f, err)
		}
		if err := w.AddBlock(block); err != nil {
			return nil, sum, fmt.Errorf("import %s: %w", f.Name, err)
		}
	}
	t.file()
	files, err = w.Finish()
	return files, reader.Totals().Digest, err
}
