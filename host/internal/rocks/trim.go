//go:build cgo

package rocks

// #include "shim.h"
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"github.com/linxGnu/grocksdb"

	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// Trim deletes what lies outside ranges of keys from the closed database in dir;
// column families that ranges does not name stay as they are. The WAL, if there
// is one, ends up in tables. It does nothing at all where nothing lies outside.
//
// Without compact the records are only hidden, by a deletion on either side of
// the range. With compact the tables that reach over a range are rewritten, and
// with them those that a compaction cannot leave out: afterwards none does, or
// it fails with [ErrOutside]. Nothing else is compacted meanwhile.
//
// It returns the bytes of tables and blob files that were not there before, and
// fails as [Open] does, and with errors.ErrUnsupported when keys are not ordered
// bytewise. After an error the database is of no use.
func Trim(dir string, ranges map[string]version.Range, compact bool) (rewritten int64, err error) {
	before, err := version.Read(dir)
	if err == nil {
		err = checkOrder(before, ranges)
	}
	if err != nil {
		return 0, fmt.Errorf("trim %s: %w", dir, err)
	}
	logs, err := LiveLogs(dir, before)
	if err != nil {
		return 0, fmt.Errorf("trim %s: %w", dir, err)
	}
	if len(logs) == 0 && outside(before, ranges) == nil {
		return 0, nil
	}
	after, err := trim(dir, before, ranges, compact)
	if err == nil && compact {
		err = outside(after, ranges)
	}
	if err != nil {
		return 0, fmt.Errorf("trim %s: %w", dir, err)
	}
	return added(before, after), nil
}

// checkOrder makes sure that keys are in the order that ranges are meant in.
func checkOrder(set *version.Set, ranges map[string]version.Range) error {
	for _, f := range set.Families {
		if r, ok := ranges[f.Name]; ok && !r.Whole() && f.Comparator != bytewise {
			return fmt.Errorf("keys of column family %q are ordered by %q: %w", f.Name, f.Comparator, errors.ErrUnsupported)
		}
	}
	return nil
}

func trim(dir string, before *version.Set, ranges map[string]version.Range, compact bool) (*version.Set, error) {
	options, err := OptionsText(dir)
	if err != nil {
		return nil, err
	}
	db, err := openWith(dir, before, Expiry{}, quiet)
	if err != nil {
		return nil, err
	}
	err = db.Flush()
	for name, r := range ranges {
		if err == nil {
			err = db.trim(name, r, compact)
		}
	}
	if err := errors.Join(err, db.Close(), restoreOptions(dir, options)); err != nil {
		return nil, err
	}
	return version.Read(dir)
}

// quiet has a database opened in which nothing is compacted unless it is asked
// for. RocksDB stores these options; see restoreOptions.
func quiet(open opener) opener {
	return func(database *grocksdb.Options, path string, names []string, families []*grocksdb.Options) (*grocksdb.DB, []*grocksdb.ColumnFamilyHandle, error) {
		C.rs_recover_to_tables((*C.rocksdb_options_t)(pointer(database)))
		for _, f := range families {
			f.SetDisableAutoCompactions(true)
		}
		return open(database, path, names, families)
	}
}

// restoreOptions puts a text in the place of the OPTIONS that RocksDB has stored
// last.
func restoreOptions(dir, text string) error {
	name, err := newestOptions(dir)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	err = durable.CreateFile(path+".dbtmp", 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
	if err != nil {
		return err
	}
	return durable.Rename(path+".dbtmp", path)
}

func (db *DB) trim(name string, r version.Range, compact bool) error {
	return db.one("trim", name, func(f family) error {
		if r.Whole() {
			return nil
		}
		// One side after the other: a table with the deletions on both sides
		// would overlap all that is to stay.
		err := db.instance.trimBelow(f, r.Lower, compact)
		if err == nil {
			err = db.instance.trimFrom(f, r.Upper, compact)
		}
		if err == nil && compact {
			err = db.settle(f, r)
		}
		return err
	})
}

// settleTries is one more than has ever been needed.
const settleTries = 3

// settle compacts what still reaches over a range. A compaction goes no deeper
// than the tables of its own range, so it may come to rest above tables that the
// ones which it rewrites along overlap; then it has to keep its deletions.
func (db *DB) settle(f family, r version.Range) error {
	for range settleTries {
		set, err := version.Read(db.path)
		if err != nil {
			return err
		}
		over := reaching(set, f.name, r)
		if len(over) == 0 {
			return nil
		}
		lower, upper := over[0].Smallest.User, over[0].Largest.User
		for _, t := range over {
			lower = slices.MinFunc([][]byte{lower, t.Smallest.User}, bytes.Compare)
			upper = slices.MaxFunc([][]byte{upper, t.Largest.User}, bytes.Compare)
		}
		if err := db.instance.compactRange(f, lower, upper); err != nil {
			return err
		}
	}
	return nil // whoever asked for it looks at the result
}

// trimBelow deletes the keys below lower.
func (in *instance) trimBelow(f family, lower []byte, compact bool) error {
	least, _, ok := in.bounds(f)
	if !ok || bytes.Compare(least, lower) >= 0 {
		return nil
	}
	err := in.deleteRange(f, least, lower, false)
	if err == nil {
		err = in.flush(f)
	}
	if err == nil && compact {
		err = in.compactRange(f, nil, lower)
	}
	return err
}

// trimFrom deletes the keys from upper on; nil stands for none. The end of the
// deletion is exclusive, so it lies above the greatest key of all tables.
func (in *instance) trimFrom(f family, upper []byte, compact bool) error {
	_, greatest, ok := in.bounds(f)
	if upper == nil || !ok || bytes.Compare(greatest, upper) < 0 {
		return nil
	}
	err := in.deleteRange(f, upper, append(greatest, 0), false)
	if err == nil {
		err = in.flush(f)
	}
	if err == nil && compact {
		err = in.compactRange(f, upper, nil)
	}
	return err
}

// bounds returns the least and the greatest key of the tables of a column family.
func (in *instance) bounds(f family) (least, greatest []byte, ok bool) {
	for _, t := range in.live(f) {
		if t.Level < 0 {
			continue
		}
		if !ok || bytes.Compare(t.smallest, least) < 0 {
			least = t.smallest
		}
		if !ok || bytes.Compare(t.largest, greatest) > 0 {
			greatest = t.largest
		}
		ok = true
	}
	return least, greatest, ok
}

// outside fails with [ErrOutside] when a table reaches over the range of its
// column family.
func outside(set *version.Set, ranges map[string]version.Range) error {
	for name, r := range ranges {
		for _, t := range reaching(set, name, r) {
			return fmt.Errorf("%w: %s of column family %q from %q to %q", ErrOutside, t.Name(), name, t.Smallest.User, t.Largest.User)
		}
	}
	return nil
}

// reaching returns the tables of a column family that reach over a range.
func reaching(set *version.Set, family string, r version.Range) (tables []version.Table) {
	for _, f := range set.Families {
		for _, t := range f.Tables {
			if f.Name == family && !r.Contains(t) {
				tables = append(tables, t)
			}
		}
	}
	return tables
}

// added returns the bytes of tables and blob files of after that before lacks.
func added(before, after *version.Set) (bytes int64) {
	known := make(map[string]bool)
	for _, f := range before.Families {
		for _, t := range f.Tables {
			known[t.Name()] = true
		}
		for _, b := range f.Blobs {
			known[b.Name()] = true
		}
	}
	for _, f := range after.Families {
		for _, t := range f.Tables {
			if !known[t.Name()] {
				bytes += t.Size
			}
		}
		for _, b := range f.Blobs {
			if !known[b.Name()] {
				bytes += int64(b.Bytes)
			}
		}
	}
	return bytes
}
