// Package pebble restores records into Pebble: a folder with a database of its
// own for each column family, as Pebble has no column families. A folder's name
// is [sink.FileName] of the column family.
//
// Runs are sstables of Pebble's oldest format that its version 2 knows, so that
// programs with older versions of it can open the result. They are ingested, not
// written again.
package pebble

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/sink"
)

// Kind is Pebble as a kind of database.
type Kind struct{}

// Name implements sink.Kind.
func (Kind) Name() string { return "pebble" }

// version is the format of the databases that are made.
const version = pebble.FormatMinSupported

// options of every database, for writing.
func options() *pebble.Options {
	o := &pebble.Options{
		FormatMajorVersion: version, DisableWAL: true, DisableAutomaticCompactions: true,
		Logger: quiet{}, EventListener: listener(),
	}
	o.EnsureDefaults()
	return o
}

// listener leaves damage to the caller, who gets it as an error. Without one Pebble
// would end the process.
func listener() *pebble.EventListener {
	return &pebble.EventListener{DataCorruption: func(pebble.DataCorruptionInfo) {}}
}

// quiet drops what Pebble logs. It goes on to end the process when Pebble cannot
// go on: it counts on that.
type quiet struct{}

// Infof implements pebble.Logger.
func (quiet) Infof(string, ...any) {}

// Errorf implements pebble.Logger. The error is returned as well.
func (quiet) Errorf(string, ...any) {}

// Fatalf implements pebble.Logger.
func (quiet) Fatalf(format string, args ...any) { pebble.DefaultLogger.Fatalf(format, args...) }

// Create implements sink.Kind. It refuses column families that are not in the
// order of bytes.
func (Kind) Create(dir string, spec sink.Spec) (sink.Sink, error) {
	if err := spec.CheckBytewise(); err != nil {
		return nil, err
	}
	if err := sink.Vacant(dir); err != nil {
		return nil, err
	}
	s := &database{dir, spec}
	for _, f := range spec.Families {
		if err := s.edit(f.Name, true, func(*pebble.DB) error { return nil }); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// database is a directory of databases, none of which is open between calls.
type database struct {
	dir  string
	spec sink.Spec
}

// edit opens the database of a column family for writing.
func (s *database) edit(family string, create bool, do func(*pebble.DB) error) error {
	o := options()
	o.ErrorIfExists, o.ErrorIfNotExists = create, !create
	db, err := pebble.Open(filepath.Join(s.dir, sink.FileName(family)), o)
	if err == nil {
		err = errors.Join(do(db), db.Close())
	}
	if err != nil {
		return fmt.Errorf("write column family %q: %w", family, err)
	}
	return nil
}

// Load implements sink.Sink. It takes the files away.
func (s *database) Load(family string, files []string) error {
	if len(files) == 0 {
		return nil
	}
	return s.edit(family, false, func(db *pebble.DB) error { return db.Ingest(context.Background(), files) })
}

// Close implements sink.Sink.
func (s *database) Close() error {
	for _, f := range s.spec.Families {
		if err := durable.SyncDir(filepath.Join(s.dir, sink.FileName(f.Name))); err != nil {
			return err
		}
	}
	return durable.SyncDir(s.dir)
}

// Abort implements sink.Sink.
func (s *database) Abort() {}

// readBlock is about the size of the blocks that Read gives out.
const readBlock = 256 << 10

// Read implements sink.Kind.
func (Kind) Read(ctx context.Context, dir string, visit sink.Visit) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return fmt.Errorf("no Pebble database in %s: %w", dir, fs.ErrNotExist)
	}
	for _, e := range entries {
		family, err := sink.FamilyName(e.Name())
		if err == nil {
			err = readFamily(ctx, filepath.Join(dir, e.Name()), family, visit)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", filepath.Join(dir, e.Name()), err)
		}
	}
	return nil
}

func readFamily(ctx context.Context, dir, family string, visit sink.Visit) error {
	db, err := pebble.Open(dir, &pebble.Options{Logger: quiet{}, EventListener: listener(), ReadOnly: true, ErrorIfNotExists: true})
	if err != nil {
		return classify(err)
	}
	records, err := db.NewIterWithContext(ctx, nil)
	if err == nil {
		err = errors.Join(readRecords(ctx, records, family, visit), records.Close())
	}
	return classify(errors.Join(err, db.Close()))
}

func readRecords(ctx context.Context, records *pebble.Iterator, family string, visit sink.Visit) error {
	out := sink.NewBlocks(family, readBlock, visit)
	for records.First(); records.Valid() && ctx.Err() == nil; records.Next() {
		value, err := records.ValueAndErr()
		if err == nil {
			err = out.Add(records.Key(), value)
		}
		if err != nil {
			return err
		}
	}
	if err := errors.Join(ctx.Err(), records.Error()); err != nil {
		return err
	}
	return out.Flush()
}

// classify adds what errors.Is can find to an error of Pebble.
func classify(err error) error {
	switch {
	case errors.Is(err, pebble.ErrDBDoesNotExist):
		return fmt.Errorf("%w: %w", err, fs.ErrNotExist)
	case err != nil && pebble.IsCorruptionError(err):
		return fmt.Errorf("%w: %w", err, abi.ECORRUPT)
	}
	return err
}
