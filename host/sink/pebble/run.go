package pebble

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/sink"
)

// tableBytes is the size, before compression, at which a run begins another
// sstable.
const tableBytes = 64 << 20

// run writes sstables.
type run struct {
	prefix string // of the paths of the files
	files  []string
	table  *sstable.Writer // nil between two files
	bytes  int             // in it
	done   bool
}

// NewRun implements sink.Sink.
func (s *database) NewRun(family, dir string) (sink.Run, error) {
	if _, ok := s.spec.Find(family); !ok {
		return nil, fmt.Errorf("column family %q: %w", family, fs.ErrNotExist)
	}
	return &run{prefix: filepath.Join(dir, uuid.NewString())}, nil
}

// AddBlock implements sink.Run.
func (r *run) AddBlock(packed []byte) error {
	if len(packed) == 0 {
		return nil
	}
	if err := r.begin(); err != nil {
		return err
	}
	for key, value := range canonical.Records(packed) {
		if err := r.table.Set(key, value); err != nil {
			return err
		}
	}
	if r.bytes += len(packed); r.bytes < tableBytes {
		return nil
	}
	return r.end()
}

// begin starts a file unless one is open.
func (r *run) begin() error {
	if r.table != nil {
		return nil
	}
	path := fmt.Sprintf("%s-%04d.sst", r.prefix, len(r.files))
	var f vfs.File
	err := durable.Change("create", path, func() (err error) {
		f, err = vfs.Default.Create(path, vfs.WriteCategoryUnspecified)
		return err
	})
	if err != nil {
		return err
	}
	r.files, r.bytes = append(r.files, path), 0
	const lowest = 6 // where the tables of a new database go
	r.table = sstable.NewWriter(objstorageprovider.NewFileWritable(f), options().MakeWriterOptions(lowest, version.MaxTableFormat()))
	return nil
}

// end completes and syncs the file.
func (r *run) end() error {
	if r.table == nil {
		return nil
	}
	table := r.table
	r.table = nil
	return table.Close()
}

// Finish implements sink.Run.
func (r *run) Finish() (files []string, err error) {
	if err := r.end(); err != nil {
		return nil, err
	}
	r.done = true
	return r.files, nil
}

// Close implements sink.Run.
func (r *run) Close() error {
	if r.done {
		return nil
	}
	_ = r.end() // what it may say of a file that is removed is of no interest
	var err error
	for _, path := range r.files {
		err = errors.Join(err, durable.Remove(path))
	}
	r.files = nil
	return err
}
