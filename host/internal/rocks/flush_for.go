//go:build cgo

package rocks

// #include "shim.h"
import "C"

import "fmt"

// FlushFor flushes what a checkpoint made now would flush, where the live WALs have
// so many bytes, and tells whether it did. It fails with [ErrNeedsWrite] as
// [Offline.Checkpoint] does.
func FlushFor(db Source, flush Flush, logBytes uint64) (flushed bool, err error) {
	return flushFor(db, flush, logBytes, (*DB).Flush)
}

// FlushBetween is FlushFor while no snapshot is under way: an application may drop a
// column family at any moment then, and destroy its handle.
func FlushBetween(db Source, flush Flush, logBytes uint64) (flushed bool, err error) {
	return flushFor(db, flush, logBytes, (*DB).flushAll)
}

func flushFor(db Source, flush Flush, logBytes uint64, do func(*DB) error) (flushed bool, err error) {
	switch db := db.(type) {
	case *DB:
		if logBytes < db.threshold(flush) {
			return false, nil
		}
		return true, do(db)
	case *Offline:
		if flush == FlushAlways && logBytes > 0 {
			return false, fmt.Errorf("flush %s: %w", db.path, ErrNeedsWrite)
		}
	}
	return false, nil
}

// flushAll flushes as a checkpoint does, without the handles of column families.
func (db *DB) flushAll() error {
	release, err := db.Acquire()
	if err != nil {
		return err
	}
	defer release()
	if err := failure(C.rs_flush_all(db.instance.native())); err != nil {
		return fmt.Errorf("flush %s: %w", db.path, err)
	}
	return nil
}
