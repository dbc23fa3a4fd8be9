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
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// restoreRecords makes a new database with the options and column families of
// the snapshot, writes its records into tables beside it, and ingests these. An
// attempt goes on from the tables of an earlier one, but not from its database.
func (w *restoration) restoreRecords(ctx context.Context, p *part) error {
	m, s := p.Manifest, w.staging
	families := make([]string, len(m.Families))
	for i, f := range m.Families {
		families[i] = f.Name
	}
	made := s.work(newDatabase)
	db, err := rocks.Create(made, m.Options, families)
	if err != nil {
		return err
	}
	if err = sameOrder(m, db); err == nil {
		err = w.load(ctx, p, db)
	}
	if closed := db.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return moveFiles(made, s.dir)
}

// moveFiles moves what is in one folder into another.
func moveFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := durable.Move(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
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
func (w *restoration) load(ctx context.Context, part *part, db *rocks.DB) error {
	m, s := part.Manifest, w.staging
	var mu sync.Mutex // guards tables and sums
	tables, sums := make(map[string][]string), make(map[string]canonical.Sum)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(w.workers)
	for i := range m.Contents {
		f := &m.Contents[i]
		if f.Kind != abi.KindCanonical || f.Records == 0 {
			continue
		}
		g.Go(func() error {
			e, err := w.importFile(ctx, part, f, db)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for _, p := range e.Pieces {
				tables[f.Family] = append(tables[f.Family], s.path(p))
			}
			sums[f.Family] = sums[f.Family].Merge(*e.Sum)
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if digest := canonical.Database(sums); m.ContentDigest != "" && digest != m.ContentDigest {
		return problem(CodeDamaged, fmt.Errorf("the records have content digest %s, the manifest says %s: %w", digest, m.ContentDigest, abi.ECORRUPT), "")
	}
	for family, files := range tables {
		if err := db.Ingest(family, s.linked(files)); err != nil {
			return err
		}
	}
	return nil
}

// linked gives tables second names. Ingesting takes the names that it is given
// away; the first stay for an attempt that follows this one. Where the file system
// has no links that attempt has to fetch them again.
func (s *staging) linked(tables []string) []string {
	links := make([]string, len(tables))
	for i, table := range tables {
		links[i] = s.work(linksFolder, filepath.Base(table))
		if err := durable.Link(table, links[i]); err != nil {
			links[i] = table
		}
	}
	return links
}

// importFile turns one canonical file into tables, unless an earlier attempt did.
func (w *restoration) importFile(ctx context.Context, from *part, f *File, db *rocks.DB) (finished, error) {
	s, name := w.staging, from.path(f.Name)
	if e, done := s.kept[name]; done {
		return e, nil
	}
	tables, sum, err := w.writeTables(ctx, f, db, s.work(tablesFolder, from.stem()+f.Name))
	if err != nil {
		return finished{}, err
	}
	e := finished{File: name, Sum: &sum}
	for _, path := range tables {
		p, err := s.measure(ctx, path)
		if err != nil {
			return finished{}, fmt.Errorf("import %s: %w", f.Name, err)
		}
		e.Pieces = append(e.Pieces, p)
	}
	w.tally.file()
	return e, s.journal.add(e)
}

// writeTables writes the records of a canonical file into tables in a new folder.
// It returns their paths in key order.
func (w *restoration) writeTables(ctx context.Context, f *File, db *rocks.DB, dir string) (files []string, sum canonical.Sum, err error) {
	body, err := w.source(ctx, f, w.tally)
	if err != nil {
		return nil, sum, err
	}
	defer body.Close()
	if err := durable.Mkdir(dir, 0o755); err != nil {
		return nil, sum, err
	}
	tables, err := rocks.NewTableWriter(db, f.Family, dir)
	if err != nil {
		return nil, sum, err
	}
	defer tables.Close()
	reader, err := canonical.NewStreamReader(body)
	if err != nil {
		return nil, sum, unreadable(f, err)
	}
	for block, err := range reader.Blocks() {
		if err != nil {
			return nil, sum, unreadable(f, err)
		}
		if err := tables.AddBlock(block); err != nil {
			return nil, sum, fmt.Errorf("import %s: %w", f.Name, err)
		}
	}
	files, err = tables.Finish()
	return files, reader.Totals().Digest, err
}
