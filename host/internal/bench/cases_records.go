package bench

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

func scanned(_ context.Context, g *Ground) ([]Contender, error) {
	db, err := g.database(g.records())
	if err != nil {
		return nil, err
	}
	return []Contender{
		g.fair(ours, Contender{Run: func(context.Context) (Measure, error) { return scan(db, g.records()) }}, db),
		g.fair(iterator, g.Tools.Scan(db), db),
		g.fair(binding, ScanBinding(db), db),
	}, nil
}

// scanBuffer is the size of a block of records, as canonical snapshots read them.
const scanBuffer = 1 << 20

// framing is what a packed record has beside key and value: two lengths. The others
// do not count them, for they have none.
const framing = 8

// scan reads all records of a database in blocks, as a canonical snapshot does.
func scan(path string, shape Shape) (Measure, error) {
	db, err := rocks.OpenOffline(path)
	if err != nil {
		return Measure{}, err
	}
	defer db.Close()
	view, err := db.View()
	if err != nil {
		return Measure{}, err
	}
	defer view.Close()
	var total, records int
	m, err := timed(0, func() error {
		return onOneCore(func() (err error) {
			total, records, err = scanFamily(view, 0)
			return err
		})
	})
	m.Bytes = int64(total - records*framing)
	if want := max(shape.Bytes/shape.recordBytes(), 1); err == nil && int64(records) != want {
		err = fmt.Errorf("scan read %d records of %d", records, want)
	}
	return m, err
}

func scanFamily(view *rocks.View, family uint32) (total, records int, err error) {
	s, err := view.Scan(family, nil, nil)
	if err != nil {
		return 0, 0, err
	}
	defer s.Close()
	buffer := make([]byte, scanBuffer)
	for {
		n, count, err := s.Next(buffer)
		if err != nil || n == 0 {
			return total, records, err
		}
		total, records = total+n, records+count
	}
}

func canonicalCores(_ context.Context, g *Ground) ([]Contender, error) {
	db, err := g.database(g.records())
	if err != nil {
		return nil, err
	}
	both, err := g.siteOf(db, "canonical")
	if err != nil {
		return nil, err
	}
	alone, err := g.siteOf(db, "canonical")
	if err != nil {
		return nil, err
	}
	one := alone.full(oneCore)
	run := one.Run
	one.Run = func(ctx context.Context) (m Measure, err error) {
		err = onOneCore(func() error {
			m, err = run(ctx)
			return err
		})
		return m, err
	}
	return []Contender{both.full(ours), one}, nil
}

func canonicalRestored(ctx context.Context, g *Ground) ([]Contender, error) {
	shape := g.records()
	shape.Bytes /= 2 // the others are slow
	db, err := g.database(shape)
	if err != nil {
		return nil, err
	}
	s, err := g.basedOn(ctx, db, "canonical")
	if err != nil {
		return nil, err
	}
	dump := filepath.Join(s.folder, "records.txt")
	if err := g.Tools.LdbDump(ctx, db, dump); err != nil {
		return nil, err
	}
	load := g.Tools.LdbLoad(dump, filepath.Join(s.folder, "loaded"))
	return []Contender{
		s.restore(ours),
		g.fair(puts, g.Tools.Puts(db, filepath.Join(s.folder, "put")), db),
		g.fair(ldbLoad, load, dump),
	}, nil
}
