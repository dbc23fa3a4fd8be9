package rocks

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unsafe"

	"github.com/google/uuid"
)

// tableBytes is the size at which a [TableWriter] begins another SST.
const tableBytes = 64 << 20

// TableWriter writes sorted records to SSTs outside the database, with the
// options of a column family. It serves one goroutine; several may write for one
// column family, as long as their key ranges do not overlap. It holds a lease
// until it is closed.
type TableWriter struct {
	native  *C.rs_writer
	release func()
	prefix  string // of the paths of the files
	files   []string
	open    bool // the last of the files is not finished
	done    bool
}

// NewTableWriter starts a writer whose files go into dir, which should be on the
// database's file system.
func NewTableWriter(db *DB, family, dir string) (*TableWriter, error) {
	release, err := db.Acquire()
	if err != nil {
		return nil, err
	}
	f, err := db.instance.family(family)
	if err != nil {
		release()
		return nil, fmt.Errorf("write tables: %w", err)
	}
	return &TableWriter{
		native:  C.rs_writer_new(db.instance.native(), f.native),
		release: release,
		prefix:  filepath.Join(dir, uuid.NewString()),
	}, nil
}

// AddBlock appends packed records, laid out as [Scan.Next] returns them. Keys
// must ascend within a block and from block to block.
func (w *TableWriter) AddBlock(packed []byte) error {
	if len(packed) == 0 {
		return nil
	}
	if err := w.begin(); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	var size C.uint64_t
	at, length := chars(packed)
	if err := failure(C.rs_writer_add(w.native, at, length, &size)); err != nil {
		return fmt.Errorf("write table: %w", err)
	}
	if size < tableBytes {
		return nil
	}
	return w.end()
}

// begin starts a file unless one is open: RocksDB refuses to finish empty ones.
func (w *TableWriter) begin() error {
	if w.native == nil {
		return ErrClosed
	}
	if w.open {
		return nil
	}
	path := fmt.Sprintf("%s-%04d.sst", w.prefix, len(w.files))
	cPath := C.CString(path)
	defer C.free(unsafe.Pointer(cPath))
	w.files, w.open = append(w.files, path), true
	return failure(C.rs_writer_open(w.native, cPath))
}

func (w *TableWriter) end() error {
	if !w.open {
		return nil
	}
	w.open = false
	if err := failure(C.rs_writer_finish(w.native)); err != nil {
		return fmt.Errorf("finish table: %w", err)
	}
	return nil
}

// Finish completes the files and names them in key order, for [DB.Ingest]. There
// are none when there were no records.
func (w *TableWriter) Finish() (files []string, err error) {
	if err := w.end(); err != nil {
		return nil, err
	}
	w.done = true
	return w.files, nil
}

// Close ends the writer. Without a successful [TableWriter.Finish] it removes
// what was written.
func (w *TableWriter) Close() error {
	if w.native == nil {
		return nil
	}
	C.rs_writer_free(w.native)
	w.native = nil
	w.release()
	var err error
	if !w.done {
		for _, path := range w.files {
			err = errors.Join(err, os.Remove(path))
		}
	}
	return err
}

// ingestTables is how many tables a database keeps open that ingests many, less some
// that RocksDB sets apart.
const ingestTables = 20

// LimitTables has the database keep few tables open, so that memory does not grow
// with what it ingests. RocksDB stores that; end, which has to be called after Close,
// gives whoever opens the database next its own options again.
func (db *DB) LimitTables() (end func() error, err error) {
	release, err := db.Acquire()
	if err != nil {
		return nil, err
	}
	defer release()
	text, err := OptionsText(db.path)
	if err == nil {
		err = failure(C.rs_limit_tables(db.instance.native(), ingestTables))
	}
	if err != nil {
		return nil, fmt.Errorf("limit the open tables of %s: %w", db.path, err)
	}
	return func() error { return restoreOptions(db.path, text) }, nil
}

// Ingest moves SSTs of [TableWriter] into a column family, all of them or none.
// They must not overlap one another. It flushes first, since RocksDB 7.8 can
// spoil the order of level 0 when memtables hold newer records of the same keys.
func (db *DB) Ingest(family string, files []string) error {
	release, err := db.Acquire()
	if err != nil {
		return err
	}
	defer release()
	f, err := db.instance.family(family)
	if err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	if len(files) == 0 {
		return nil
	}
	paths := make([]*C.char, len(files))
	for i, path := range files {
		paths[i] = C.CString(path)
		defer C.free(unsafe.Pointer(paths[i]))
	}
	err = failure(C.rs_flush(db.instance.native(), f.native))
	if err == nil {
		err = failure(C.rs_ingest(db.instance.native(), f.native, &paths[0], C.size_t(len(paths))))
	}
	if err != nil {
		return fmt.Errorf("ingest into column family %q: %w", family, err)
	}
	return nil
}
