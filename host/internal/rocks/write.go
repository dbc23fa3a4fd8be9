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
	return db.each("flush", func(f family) error {
		return failure(C.rs_flush(db.instance.native(), f.native))
	})
}

// CompactAll compacts all column families in full.
func (db *DB) CompactAll() error {
	return db.each("compact", func(f family) error {
		return failure(C.rs_compact(db.instance.native(), f.native))
	})
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
