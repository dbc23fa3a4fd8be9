package host

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/sink"
	"github.com/rocksnap/rocksnap/host/sink/bbolt"
	"github.com/rocksnap/rocksnap/host/sink/jsonl"
	"github.com/rocksnap/rocksnap/host/sink/pebble"
)

// RocksDB is the name of the engine that snapshots are taken of, and that they are
// restored for unless another is named.
const RocksDB = "rocksdb"

// kinds lists what records can be restored into.
var kinds = []sink.Kind{rocksKind{}, pebble.Kind{}, bbolt.Kind{}, jsonl.Kind{}}

// Engines lists the names that [RestoreOptions] takes as Engine.
func Engines() []string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = k.Name()
	}
	return names
}

// kindOf returns the kind of database that a user names; RocksDB for "".
func kindOf(engine string) (sink.Kind, error) {
	if engine == "" {
		engine = RocksDB
	}
	names := Engines()
	if i := slices.Index(names, engine); i >= 0 {
		return kinds[i], nil
	}
	return nil, problem(CodeUsage, fmt.Errorf("engine %q is unknown", engine), config.DidYouMean(engine, names))
}

// rocksKind is RocksDB as one kind among others.
type rocksKind struct{}

// Name implements sink.Kind.
func (rocksKind) Name() string { return RocksDB }

// Create implements sink.Kind. It fails for a column family with a comparator
// that is not part of RocksDB.
func (rocksKind) Create(dir string, spec sink.Spec) (sink.Sink, error) {
	names := make([]string, len(spec.Families))
	for i, f := range spec.Families {
		names[i] = f.Name
	}
	db, err := rocks.Create(dir, spec.Options, names)
	if err != nil {
		return nil, withoutRocksDB(err)
	}
	if err := sameOrder(spec, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	end, err := db.LimitTables()
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &rocksSink{db, end}, nil
}

// withoutRocksDB tells what to do where there is no RocksDB.
func withoutRocksDB(err error) error {
	if !errors.Is(err, rocks.ErrNoRocksDB) {
		return err
	}
	return problem(CodeFailed, err, "use one that was built with cgo, or restore into another engine: 'rocksnap restore --engine'")
}

// sameOrder refuses a database that orders keys otherwise than the records are:
// RocksDB drops a comparator that it does not know from its options.
func sameOrder(spec sink.Spec, db *rocks.DB) error {
	view, err := db.View()
	if err != nil {
		return err
	}
	defer view.Close()
	made := make(map[string]string)
	for _, f := range view.Families() {
		made[f.Name] = f.Comparator
	}
	for _, f := range spec.Families {
		if made[f.Name] != f.Comparator {
			return fmt.Errorf("column family %q needs the comparator %s, which this program does not have", f.Name, f.Comparator)
		}
	}
	return nil
}

// Read implements sink.Kind.
func (rocksKind) Read(ctx context.Context, dir string, visit sink.Visit) error {
	db, err := rocks.OpenOffline(dir)
	if err != nil {
		return withoutRocksDB(err)
	}
	view, err := db.View()
	if err != nil {
		return errors.Join(err, db.Close())
	}
	for _, f := range view.Families() {
		if err = readFamily(ctx, view, f, visit); err != nil {
			break
		}
	}
	view.Close()
	return errors.Join(err, db.Close())
}

func readFamily(ctx context.Context, view *rocks.View, f rocks.Family, visit sink.Visit) error {
	scan, err := view.Scan(f.ID, nil, nil)
	if err != nil {
		return err
	}
	defer scan.Close()
	some := false
	for block, err := range blocks(ctx, scan) {
		if err == nil {
			err = visit(f.Name, block)
		}
		if err != nil {
			return err
		}
		some = true
	}
	if some {
		return nil
	}
	return visit(f.Name, nil)
}

// rocksSink writes tables beside a new database, and ingests them.
type rocksSink struct {
	db  *rocks.DB
	end func() error // gives the closed database its own options
}

// NewRun implements sink.Sink.
func (s *rocksSink) NewRun(family, dir string) (sink.Run, error) {
	w, err := rocks.NewTableWriter(s.db, family, dir)
	if err != nil {
		return nil, err
	}
	return w, nil
}

// Load implements sink.Sink. It takes the files away.
func (s *rocksSink) Load(family string, files []string) error { return s.db.Ingest(family, files) }

// Close implements sink.Sink.
func (s *rocksSink) Close() error { return errors.Join(s.db.Close(), s.end()) }

// Abort implements sink.Sink.
func (s *rocksSink) Abort() { _ = s.db.Close() }
