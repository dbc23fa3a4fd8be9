package rocks

// #include "shim.h"
import "C"

import "fmt"

// PutBlock writes packed records, laid out as [Scan.Next] returns them, into a
// column family, in one batch: all of them or none.
func (db *DB) PutBlock(family string, packed []byte) error {
	release, err := db.Acquire()
	if err != nil {
		return err
	}
	defer release()
	f, err := db.instance.family(family)
	if err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	at, length := chars(packed)
	if err := failure(C.rs_put(db.instance.native(), f.native, at, length)); err != nil {
		return fmt.Errorf("write records to column family %q: %w", family, err)
	}
	return nil
}

// Flush writes the memtables of all column families to SSTs.
func (db *DB) Flush() error {
	return db.each("flush", func(f family) error { return db.instance.flush(f) })
}

// CompactAll compacts all column families in full.
func (db *DB) CompactAll() error {
	return db.each("compact", func(f family) error {
		return failure(C.rs_compact(db.instance.native(), f.native))
	})
}

// DeleteRange deletes the records of the named column family from lower,
// inclusive, to upper, exclusive, in the order of its comparator.
func (db *DB) DeleteRange(name string, lower, upper []byte) error {
	return db.one("delete range of", name, func(f family) error {
		return db.instance.deleteRange(f, lower, upper, true)
	})
}

// CompactRange compacts those tables of the named column family that overlap a
// range of keys, down to the last level and including it; nil leaves an end open.
// Compactions that are under way finish first.
func (db *DB) CompactRange(name string, lower, upper []byte) error {
	return db.one("compact", name, func(f family) error { return db.instance.compactRange(f, lower, upper) })
}

func (db *DB) one(verb, name string, do func(family) error) error {
	release, err := db.Acquire()
	if err != nil {
		return err
	}
	defer release()
	f, err := db.instance.family(name)
	if err == nil {
		err = do(f)
	}
	if err != nil {
		return fmt.Errorf("%s column family %q: %w", verb, name, err)
	}
	return nil
}

func (db *DB) each(verb string, do func(family) error) error {
	release, err := db.Acquire()
	if err != nil {
		return err
	}
	defer release()
	in, _, err := db.living()
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, db.path, err)
	}
	for _, f := range in.families {
		if err := do(f); err != nil {
			return fmt.Errorf("%s column family %q: %w", verb, f.name, err)
		}
	}
	return nil
}

func (in *instance) flush(f family) error { return failure(C.rs_flush(in.native(), f.native)) }

// deleteRange deletes without a word in the WAL when it is not logged.
func (in *instance) deleteRange(f family, lower, upper []byte, logged bool) error {
	low, lowLen := chars(lower)
	high, highLen := chars(upper)
	return failure(C.rs_delete_range(in.native(), f.native, low, lowLen, high, highLen, truth(logged)))
}

func (in *instance) compactRange(f family, lower, upper []byte) error {
	low, lowLen := chars(lower)
	high, highLen := chars(upper)
	return failure(C.rs_compact_range(in.native(), f.native, low, lowLen, high, highLen, truth(upper != nil)))
}

func truth(b bool) C.int {
	if b {
		return 1
	}
	return 0
}
