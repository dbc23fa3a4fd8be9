package rocks

// #include "shim.h"
import "C"

import (
	"fmt"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/expiry"
)

// Scan yields the records of a key range in key order. It serves one goroutine;
// several scans of one view may run side by side. It holds a lease until it is
// closed.
type Scan struct {
	native  *C.rs_scan
	release func()
	block   C.rs_block
	family  string
	rule    *expiry.Rule // nil when nothing expires
	now     time.Time
}

// Scan starts to read the records of a column family from lower, inclusive, to
// upper, exclusive, in the order of its comparator; nil leaves an end open. It
// fails with fs.ErrNotExist when there is no such column family, and with
// [ErrClosed] after the view's Close. A database that is being closed waits for
// the scan as it waits for the view.
func (v *View) Scan(family uint32, lower, upper []byte) (*Scan, error) {
	f, err := v.instance.familyByID(family)
	if err != nil {
		return nil, fmt.Errorf("scan: %w", err)
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	if v.closed {
		return nil, fmt.Errorf("scan column family %q: view: %w", f.name, ErrClosed)
	}
	var bounded C.int
	if upper != nil {
		bounded = 1
	}
	low, lowLen := chars(lower)
	high, highLen := chars(upper)
	native := C.rs_scan_open(v.instance.native(), f.native, v.snapshot, low, lowLen, high, highLen, bounded)
	s := &Scan{native: native, release: v.lease.share(), family: f.name, now: v.now}
	if rule, expires := v.rules[f.name]; expires {
		s.rule = &rule
	}
	return s, nil
}

// Next fills buf with whole records: u32 key length, u32 value length, key and
// value, little-endian, back to back. It returns their bytes and their number,
// and 0, 0, nil at the end. When the next record does not fit into all of buf it
// fails with [abi.EBUF] and [Scan.Need] tells its size. Damage to the database is
// [abi.ECORRUPT].
func (s *Scan) Next(buf []byte) (n, records int, err error) {
	for {
		n, records, err = s.next(buf)
		if s.rule == nil || err != nil || n == 0 {
			return n, records, err
		}
		live, left, err := s.rule.Live(buf[:n], s.now)
		if err != nil {
			return 0, 0, fmt.Errorf("read records of column family %q: %w", s.family, err)
		}
		if left > 0 {
			return len(live), left, nil
		}
	}
}

// next is Next for all records, expired or not.
func (s *Scan) next(buf []byte) (n, records int, err error) {
	if s.native == nil {
		return 0, 0, fmt.Errorf("read records: scan: %w", ErrClosed)
	}
	at, limit := chars(buf)
	if err := failure(C.rs_scan_next(s.native, at, limit, &s.block)); err != nil {
		return 0, 0, fmt.Errorf("read records: %w", err)
	}
	if s.block.need > 0 {
		return 0, 0, fmt.Errorf("read records: record of %d bytes: %w", s.block.need, abi.EBUF)
	}
	return int(s.block.bytes), int(s.block.records), nil
}

// Need returns the size in bytes of the packed record that did not fit in the
// latest call of [Scan.Next]; 0 when it did not fail so.
func (s *Scan) Need() int { return int(s.block.need) }

// Close ends the scan.
func (s *Scan) Close() {
	if s.native == nil {
		return
	}
	C.rs_scan_close(s.native)
	s.native = nil
	s.release()
}
