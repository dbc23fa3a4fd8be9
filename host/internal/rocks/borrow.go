package rocks

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/linxGnu/grocksdb"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// Borrow wraps a database that the application opened from path and goes on to
// own: Close waits for leases but leaves it open. The handles name its column
// families; none are needed for "default". A handle must stay valid while its
// column family lives, and while a view opened before it was dropped is in use.
// It fails with [ErrLayout] as [Open] does.
func Borrow(db *grocksdb.DB, path string, families []*grocksdb.ColumnFamilyHandle) (*DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("borrow database: %w", err)
	}
	valid := slices.DeleteFunc(slices.Clone(families), func(h *grocksdb.ColumnFamilyHandle) bool { return pointer(h) == nil })
	b := &DB{path: path, instance: newInstance(db, valid), borrowed: true}
	if err := b.checkPlaces(); err != nil {
		return nil, fmt.Errorf("borrow database %s: %w", path, err)
	}
	return b, nil
}

// Lend returns what [Borrow] takes, for one more DB over the same instance. It
// is to be closed before db is.
func (db *DB) Lend() (*grocksdb.DB, []*grocksdb.ColumnFamilyHandle) {
	return db.instance.db, db.instance.handles
}

// checkPlaces fails with [ErrLayout] when the database keeps files elsewhere. It
// asks the open instance: RocksDB does not store all of these options.
func (db *DB) checkPlaces() error {
	in, _, err := db.living()
	if err != nil {
		return err
	}
	for _, f := range in.families {
		for _, place := range in.places(f) {
			if !sameDir(place, db.path) {
				return fmt.Errorf("files of column family %q in %s: %w", f.name, place, ErrLayout)
			}
		}
	}
	if err := checkSettings(db.path); errors.Is(err, ErrLayout) {
		return err
	}
	return nil
}

// places lists the directories that the options name for a column family's
// files, the WAL among them.
func (in *instance) places(f family) (dirs []string) {
	for i := C.size_t(0); ; i++ {
		dir := take(C.rs_place(in.native(), f.native, i))
		if dir == "" {
			return dirs
		}
		dirs = append(dirs, dir)
	}
}

// living returns the instance with those column families only that the MANIFEST
// calls live, and the names of others that are live but were not lent. RocksDB
// goes on serving a column family that was dropped for as long as there is a
// handle of it, and nobody can tell whether its handle was destroyed.
func (db *DB) living() (in *instance, unlent []string, err error) {
	if !db.borrowed {
		return db.instance, nil, nil
	}
	set, err := version.Read(db.path)
	if err != nil {
		return nil, nil, err
	}
	in = &instance{db: db.instance.db}
	for _, live := range set.Families {
		f, err := db.instance.familyByID(live.ID)
		if err != nil || f.name != live.Name {
			unlent = append(unlent, live.Name)
			continue
		}
		in.families = append(in.families, f)
	}
	return in, unlent, nil
}

// allLent is living for those who need every column family.
func (db *DB) allLent() (*instance, error) {
	in, unlent, err := db.living()
	if err == nil && len(unlent) > 0 {
		err = notLent(unlent[0])
	}
	return in, err
}

func notLent(family string) error { return fmt.Errorf("column family %q was not lent", family) }

// freeze takes RocksDB's snapshot, at a time when the column families are those
// of the instance that it returns. It tries again after one was dropped
// meanwhile, which ends, since no lent one is ever added.
func (db *DB) freeze() (*instance, *C.rs_snapshot, error) {
	before, err := db.allLent()
	for err == nil {
		snapshot := C.rs_snapshot_take(before.native())
		if snapshot == nil {
			return nil, nil, errNoSnapshot
		}
		var after *instance
		if after, err = db.allLent(); err == nil && len(after.families) == len(before.families) {
			return after, snapshot, nil
		}
		C.rs_snapshot_release(before.native(), snapshot)
		before = after
	}
	return nil, nil, err
}
