// Package bbolt restores records into bbolt: one file, records.bolt, with a
// bucket for each column family, of the same name.
//
// A bbolt file has one writer, so runs are files of the canonical format, which
// are then read into the database in key order, a batch at a time: memory does
// not grow with the number of records.
package bbolt

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/sink"
)

// File is the name of the database in its directory.
const File = "records.bolt"

// batchBytes is about how many bytes of records one transaction takes. It holds
// them in memory.
const batchBytes = 8 << 20

// fill is how full pages are made: keys only ascend, so no page is split later.
const fill = 0.95

// Kind is bbolt as a kind of database.
type Kind struct{}

// Name implements sink.Kind.
func (Kind) Name() string { return "bbolt" }

// Create implements sink.Kind. It refuses column families that are not in the
// order of bytes.
func (Kind) Create(dir string, spec sink.Spec) (sink.Sink, error) {
	if err := spec.CheckBytewise(); err != nil {
		return nil, err
	}
	if err := sink.Vacant(dir); err != nil {
		return nil, err
	}
	path := filepath.Join(dir, File)
	// What is not complete is worth nothing, so one sync at the end will do.
	db, err := bbolt.Open(path, 0o644, &bbolt.Options{NoSync: true, NoGrowSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("create %s: %w", path, err)
	}
	s := &database{dir: dir, spec: spec, db: db}
	if err := s.addBuckets(); err != nil {
		s.Abort()
		return nil, err
	}
	return s, nil
}

// database is the file that is being made.
type database struct {
	dir  string
	spec sink.Spec
	db   *bbolt.DB
}

func (s *database) addBuckets() error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		for _, f := range s.spec.Families {
			if _, err := tx.CreateBucket([]byte(f.Name)); err != nil {
				return fmt.Errorf("create bucket %q: %w", f.Name, err)
			}
		}
		return nil
	})
}

// Load implements sink.Sink. It leaves the files.
func (s *database) Load(family string, files []string) error {
	b := &batch{db: s.db, family: family}
	defer b.close()
	for _, path := range files {
		if err := b.load(path); err != nil {
			return fmt.Errorf("load bucket %q: %w", family, err)
		}
	}
	return b.commit()
}

// batch is the transaction that records go into.
type batch struct {
	db     *bbolt.DB
	family string
	tx     *bbolt.Tx // nil between two
	bucket *bbolt.Bucket
	bytes  int
}

func (b *batch) load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	reader, err := canonical.NewStreamReader(f)
	if err != nil {
		return err
	}
	for block, err := range reader.Blocks() {
		if err != nil {
			return err
		}
		for key, value := range canonical.Records(block) {
			if err := b.put(key, value); err != nil {
				return err
			}
		}
	}
	return nil
}

// put stores a record. The transaction keeps both slices until it ends, and the
// reader reuses its block.
func (b *batch) put(key, value []byte) error {
	if err := b.begin(); err != nil {
		return err
	}
	if err := b.bucket.Put(key, append([]byte(nil), value...)); err != nil {
		return fmt.Errorf("key %.40q: %w", key, err)
	}
	if b.bytes += len(key) + len(value); b.bytes < batchBytes {
		return nil
	}
	return b.commit()
}

func (b *batch) begin() (err error) {
	if b.tx != nil {
		return nil
	}
	if b.tx, err = b.db.Begin(true); err != nil {
		return err
	}
	b.bucket, b.bytes = b.tx.Bucket([]byte(b.family)), 0
	if b.bucket == nil {
		return fs.ErrNotExist
	}
	b.bucket.FillPercent = fill
	return nil
}

func (b *batch) commit() error {
	if b.tx == nil {
		return nil
	}
	tx := b.tx
	b.tx = nil
	return tx.Commit()
}

// close gives up a transaction that was not committed.
func (b *batch) close() {
	if b.tx != nil {
		_ = b.tx.Rollback()
	}
}

// Close implements sink.Sink.
func (s *database) Close() error {
	path := filepath.Join(s.dir, File)
	err := durable.Change("sync", path, s.db.Sync)
	if err = errors.Join(err, s.db.Close()); err != nil {
		return fmt.Errorf("complete %s: %w", path, err)
	}
	return durable.SyncDir(s.dir)
}

// Abort implements sink.Sink.
func (s *database) Abort() { _ = s.db.Close() }

// run is a canonical file that is being written.
type run struct {
	family string
	file   *sink.RunFile
	out    *canonical.Writer
	some   bool // records were written
}

// NewRun implements sink.Sink.
func (s *database) NewRun(family, dir string) (sink.Run, error) {
	if _, ok := s.spec.Find(family); !ok {
		return nil, fmt.Errorf("column family %q: %w", family, fs.ErrNotExist)
	}
	file, err := sink.NewRunFile(dir, ".rskv")
	if err != nil {
		return nil, err
	}
	r := &run{family: family, file: file}
	header := canonical.Header{Family: family, Comparator: canonical.BytewiseComparator}
	if r.out, err = canonical.NewWriter(r.file, header, canonical.Options{Codec: abi.CodecZstd}); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// AddBlock implements sink.Run. It fails for records that bbolt cannot hold.
func (r *run) AddBlock(packed []byte) error {
	for key, value := range canonical.Records(packed) {
		switch {
		case len(key) == 0:
			return fmt.Errorf("column family %q holds an empty key, and bbolt takes none", r.family)
		case len(key) > bbolt.MaxKeySize:
			return fmt.Errorf("column family %q holds a key of %d bytes, and bbolt takes up to %d", r.family, len(key), bbolt.MaxKeySize)
		case len(value) > bbolt.MaxValueSize:
			return fmt.Errorf("column family %q holds a value of %d bytes, and bbolt takes up to %d", r.family, len(value), bbolt.MaxValueSize)
		}
		r.some = true
	}
	return r.out.WriteBlock(packed)
}

// Finish implements sink.Run.
func (r *run) Finish() (files []string, err error) {
	if !r.some {
		return nil, nil
	}
	if _, err := r.out.Close(); err != nil {
		return nil, err
	}
	return r.file.Finish()
}

// Close implements sink.Run.
func (r *run) Close() error { return r.file.Close() }
