//go:build cgo

package rocks

// #include "shim.h"
import "C"

import (
	"runtime/cgo"
	"sync"
	"time"

	"github.com/linxGnu/grocksdb"

	"github.com/rocksnap/rocksnap/host/internal/expiry"
)

// formats gives the formats their names of the shim.
var formats = map[expiry.Format]C.int{expiry.RocksDB: C.RS_TTL_ROCKSDB, expiry.MSPrefix: C.RS_TTL_MS_PREFIX}

// horizon is the time before which compactions drop what has expired: that of the
// clock, but not later than the beginning of any view. RocksDB filters without
// regard to its snapshots, and a record that was live when a view began has to be
// there for all of its scans.
type horizon struct {
	rules  expiry.Rules
	clock  func() time.Time
	handle cgo.Handle
	mu     sync.Mutex
	views  map[uint64]time.Time // when those that are open began
	latest uint64               // key in views
}

// horizon returns what a database that is opened by [horizon.open] goes by. It is
// to be closed after the database.
func (e Expiry) horizon() *horizon {
	h := &horizon{rules: e.Rules, clock: e.Clock, views: make(map[uint64]time.Time)}
	h.handle = cgo.NewHandle(h)
	return h
}

// open is an [opener] of databases that drop what has expired.
func (h *horizon) open(database *grocksdb.Options, path string, names []string, families []*grocksdb.Options) (*grocksdb.DB, []*grocksdb.ColumnFamilyHandle, error) {
	for i, name := range names {
		rule := h.rules[name]
		_, life := rule.Units(time.Time{})
		C.rs_expire((*C.rocksdb_options_t)(pointer(families[i])), formats[rule.Format], C.uint64_t(life), C.uintptr_t(h.handle))
	}
	return grocksdb.OpenDbColumnFamilies(database, path, names, families)
}

// hold keeps what is live now until release is called. Where compactions drop
// nothing there is nothing to keep.
func (h *horizon) hold() (release func()) {
	if h == nil || h.clock == nil {
		return func() {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.latest++
	id := h.latest
	h.views[id] = h.clock()
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.views, id)
	}
}

// now returns the horizon.
func (h *horizon) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.clock()
	for _, began := range h.views {
		if began.Before(now) {
			now = began
		}
	}
	return now
}

func (h *horizon) close() {
	if h != nil {
		h.handle.Delete()
	}
}

// rs_horizon is called when a compaction begins.
//
//export rs_horizon
func rs_horizon(clock C.uintptr_t, format C.int) C.uint64_t {
	h := cgo.Handle(clock).Value().(*horizon)
	for f, c := range formats {
		if c == format {
			at, _ := expiry.Rule{Format: f}.Units(h.now())
			return C.uint64_t(at)
		}
	}
	return 0
}
