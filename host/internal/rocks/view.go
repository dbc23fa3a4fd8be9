package rocks

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/host/internal/expiry"
)

// View reads a database at one sequence number. It holds a lease until it is
// closed. Its methods are safe for concurrent use.
type View struct {
	instance *instance
	lease    *lease // of the database, for scans
	release  func()
	families []Family
	rules    expiry.Rules // by which the records expire that scans pass over
	now      time.Time

	mu       sync.RWMutex // against the end of the snapshot while a scan starts
	closed   bool
	snapshot *C.rs_snapshot // nil where nothing can be written
}

// bytewise is RocksDB's name for the order of unsigned bytes (util/comparator.cc).
const bytewise = "leveldb.BytewiseComparator"

// errNoSnapshot happens with inplace_update_support.
var errNoSnapshot = errors.New("options of the database allow no reading at one sequence number")

// View opens a read view. It fails when the database is borrowed and the
// application did not lend all column families, for a snapshot would silently
// lack the others.
func (db *DB) View() (*View, error) {
	release, err := db.Acquire()
	if err != nil {
		return nil, err
	}
	drop := db.horizon.hold() // before the instant
	in, snapshot, err := db.freeze()
	if err != nil {
		drop()
		release()
		return nil, fmt.Errorf("open view of %s: %w", db.path, err)
	}
	return newView(in, snapshot, &db.lease, func() { drop(); release() }), nil
}

// View opens a read view. The WAL is replayed in memory. It fails with
// [ErrForeign] where RocksDB would read on without code that it lacks: it then
// ends the replay of a WAL at the first merge, and says nothing.
func (o *Offline) View() (*View, error) {
	release, err := o.Acquire()
	if err != nil {
		return nil, err
	}
	in, err := o.read()
	if err != nil {
		release()
		return nil, err
	}
	return newView(in, nil, &o.lease, release), nil
}

func newView(in *instance, snapshot *C.rs_snapshot, l *lease, release func()) *View {
	v := &View{instance: in, snapshot: snapshot, lease: l, release: release}
	for _, f := range in.families {
		name := in.comparator(f)
		v.families = append(v.families, Family{
			ID: f.id, Name: f.name, Comparator: name, Bytewise: name == bytewise,
			Records: in.number(f, "rocksdb.estimate-num-keys"),
			Bytes:   in.number(f, "rocksdb.live-sst-files-size") + in.number(f, "rocksdb.live-blob-file-size"),
		})
	}
	return v
}

// Families lists the column families by id. The caller must not change it.
func (v *View) Families() []Family { return v.families }

// Hide has the scans that begin from now on pass over records that have expired.
// A record without a time then fails them with [abi.ECORRUPT].
func (v *View) Hide(rules expiry.Rules, now time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.rules, v.now = rules, now
}

// Close ends the view. Scans that are open may go on.
func (v *View) Close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.closed {
		return
	}
	v.closed = true
	if v.snapshot != nil {
		C.rs_snapshot_release(v.instance.native(), v.snapshot)
	}
	v.release()
}
