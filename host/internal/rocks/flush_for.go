//go:build cgo

package rocks

import "fmt"

// FlushFor flushes what a checkpoint made now would flush, where the live WALs have
// so many bytes, and tells whether it did. It fails with [ErrNeedsWrite] as
// [Offline.Checkpoint] does.
func FlushFor(db Source, flush Flush, logBytes uint64) (flushed bool, err error) {
	switch db := db.(type) {
	case *DB:
		if logBytes < db.threshold(flush) {
			return false, nil
		}
		return true, db.Flush()
	case *Offline:
		if flush == FlushAlways && logBytes > 0 {
			return false, fmt.Errorf("flush %s: %w", db.path, ErrNeedsWrite)
		}
	}
	return false, nil
}
