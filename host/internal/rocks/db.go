//go:build cgo

// Package rocks owns RocksDB: it is the one room of this project that talks to
// the library. A database is either open in this process, as a [DB] that is owned
// or borrowed, or held closed, as an [Offline]; both give checkpoints and views,
// and neither is ever closed while one of them is in use.
package rocks

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// DB is a database that is open for reading and writing. Its methods are safe
// for concurrent use.
type DB struct {
	path     string
	instance *instance
	borrowed bool
	horizon  *horizon // nil when it is borrowed
	lease    lease
}

// Open opens the database at path with all its column families and the options
// that it was last opened with; it changes none of them, because RocksDB would
// store the change. Compactions drop what the expiry says, whatever a stored TTL
// says. It fails with fs.ErrNotExist when there is no database,
// [ErrLocked], [ErrForeign] or [ErrLayout].
func Open(path string, o Options) (*DB, error) {
	set, err := version.Read(path)
	if o.CreateIfMissing && errors.Is(err, fs.ErrNotExist) {
		return o.Creation.create(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return openWith(path, set, o.Expiry, func(next opener) opener { return next })
}

// openWith opens a database that is there. Tune may change the options before.
func openWith(path string, set *version.Set, expiry Expiry, tune func(opener) opener) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	if err := checkSettings(path); err != nil {
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	h := expiry.horizon()
	in, err := openInstance(path, set, tune(h.open))
	if err != nil {
		h.close()
		return nil, fmt.Errorf("open database %s: %w", path, err)
	}
	return &DB{path: path, instance: in, horizon: h}, nil
}

// Path returns the directory of the database.
func (db *DB) Path() string { return db.path }

// Identity returns the id that RocksDB gave the database when it was created. A
// restored database has another one; a checkpoint that nobody has opened for
// writing has none, "".
func (db *DB) Identity() (string, error) { return identity(db.path) }

func identity(path string) (string, error) {
	text, err := os.ReadFile(filepath.Join(path, "IDENTITY"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read identity: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// Acquire takes a lease: until release is called, Close waits. It fails with
// [ErrClosed] once Close has begun.
func (db *DB) Acquire() (release func(), err error) { return db.lease.acquire(db.path) }

// Close waits until all leases are back, then closes the database unless it is
// borrowed. Further calls wait as well and do nothing.
func (db *DB) Close() error {
	db.lease.close(func() {
		if !db.borrowed {
			db.instance.close()
			db.horizon.close()
		}
	})
	return nil
}

// Empty reports whether no file is live and no memtable holds an entry. It fails
// when that depends on a column family that was not lent.
func (db *DB) Empty() (bool, error) {
	release, err := db.Acquire()
	if err != nil {
		return false, err
	}
	defer release()
	in, unlent, err := db.living()
	switch {
	case err != nil:
		return false, fmt.Errorf("look for records in %s: %w", db.path, err)
	case !in.empty():
		return false, nil
	case len(unlent) > 0:
		return false, fmt.Errorf("look for records in %s: %w", db.path, notLent(unlent[0]))
	}
	return true, nil
}

// Live lists the live files by RocksDB's own account, column family by column
// family.
func (db *DB) Live() ([]LiveFile, error) {
	release, err := db.Acquire()
	if err != nil {
		return nil, err
	}
	defer release()
	in, _, err := db.living()
	if err != nil {
		return nil, fmt.Errorf("list live files of %s: %w", db.path, err)
	}
	var files []LiveFile
	for _, f := range in.families {
		for _, b := range in.live(f) {
			files = append(files, b.LiveFile)
		}
	}
	return files, nil
}

// Property returns a property of a column family, as rocksdb/db.h lists them; ""
// when there is no such property, no such column family, or the database is
// closed.
func (db *DB) Property(family, name string) string {
	release, err := db.Acquire()
	if err != nil {
		return ""
	}
	defer release()
	in, _, err := db.living()
	if err != nil {
		return ""
	}
	f, err := in.family(family)
	if err != nil {
		return ""
	}
	return in.property(f, name)
}
