package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/sink"
)

// scanPart fetches a native part, and starts to write its records into runs. These
// are not in the journal: a later attempt scans the same files again.
func (w *restoration) scanPart(ctx context.Context, g *errgroup.Group, p *part, out sink.Sink, r *runs) error {
	if !rocks.Built { // which shows before anything is fetched
		return withoutRocksDB(rocks.ErrNoRocksDB)
	}
	if err := w.fetchNative(ctx, p, w.workers); err != nil {
		return err
	}
	db, err := rocks.OpenOffline(p.dir)
	if err != nil {
		return err
	}
	view, err := db.View()
	if err != nil {
		return errors.Join(err, db.Close())
	}
	w.views = append(w.views, func() error { view.Close(); return db.Close() })
	for _, f := range view.Families() {
		if w.wanted.family(f.Name) {
			w.scanFamily(ctx, g, p, scanned{view, f}, out, r)
		}
	}
	return nil
}

// closeViews ends what scanPart has opened.
func (w *restoration) closeViews() (err error) {
	for _, end := range w.views {
		err = errors.Join(err, end())
	}
	w.views = nil
	return err
}

// scanned is a column family of a part.
type scanned struct {
	view   *rocks.View
	family rocks.Family
}

// scanFamily scans a column family in several ranges at the same time.
func (w *restoration) scanFamily(ctx context.Context, g *errgroup.Group, p *part, from scanned, out sink.Sink, r *runs) {
	lower, upper := w.borders(p).Lower, w.borders(p).Upper
	group, _ := w.wanted.groupsOf(p.KeyGroups)
	cuts := slices.DeleteFunc(from.view.Split(from.family.ID, w.workers), func(key []byte) bool {
		return slices.Compare(key, lower) <= 0 || upper != nil && slices.Compare(key, upper) >= 0
	})
	for i, end := range append(cuts, upper) {
		name := fmt.Sprintf("scan-%d-%d", from.family.ID, i)
		start := lower
		g.Go(func() error {
			e, err := w.writeRun(out, from.family.Name, w.staging.work(tablesFolder, p.stem()+name), func(run *runWriter) error {
				return from.read(ctx, run, start, end)
			})
			if err != nil {
				return fmt.Errorf("import column family %q: %w", from.family.Name, err)
			}
			for i := range e.Pieces { // nothing but the path is asked for
				e.Pieces[i].Path, err = filepath.Rel(w.staging.dir, e.Pieces[i].Path)
			}
			r.add(writtenRun{e, p, from.family.Name, group.First})
			return err
		})
		lower = end
	}
}

// read writes the records of a range of keys into a run.
func (s scanned) read(ctx context.Context, run *runWriter, lower, upper []byte) error {
	from, to := lower, upper
	if !s.family.Bytewise { // what the bounds mean to its comparator, nobody knows
		from, to = nil, nil
	}
	scan, err := s.view.Scan(s.family.ID, from, to)
	if err != nil {
		return err
	}
	defer scan.Close()
	run.Sum = &canonical.Sum{}
	for block, err := range blocks(ctx, scan) {
		if err != nil {
			return err
		}
		for piece := range cut(block, lower, upper) {
			if err := errors.Join(run.Sum.AddBlock(piece), run.add(piece)); err != nil {
				return err
			}
		}
	}
	return nil
}
