package scenarios

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// eachStrategy runs a test in a new world for each strategy, with a table there.
func eachStrategy(t *testing.T, test func(t *testing.T, w *world, strategy string)) {
	for _, strategy := range dbtest.Builtin {
		t.Run(strategy, func(t *testing.T) {
			w := newWorldFor(t, strategy, rocks.Creation{})
			w.write(1)
			test(t, w, strategy)
		})
	}
}

// holdUploads holds up whatever is uploaded until the upload is cancelled or the
// channel is closed.
func (w *world) holdUploads() (goOn chan struct{}) {
	goOn = make(chan struct{})
	w.store.onCreate(func(ctx context.Context, name string) error {
		if strings.HasPrefix(name, "objects/") {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-goOn:
			}
		}
		return nil
	})
	return goOn
}

// TestCompletingSnapshot is scenarios 12 and 23, testCompletingSnapshot and
// testFullyAsyncSnapshot: the instant is captured when Begin returns, though nothing
// is stored yet, and the application goes on writing meanwhile.
func TestCompletingSnapshot(t *testing.T) {
	eachStrategy(t, func(t *testing.T, w *world, strategy string) {
		goOn := w.holdUploads()
		op, instant := w.begin(strategy), w.content()
		w.write(2)
		w.put("default", "written", "meanwhile")
		require.NoError(t, w.db.CompactAll())
		assert.Empty(t, w.stored())
		close(goOn)
		m, err := op.Wait()
		require.NoError(t, err)
		assert.NotZero(t, m.BytesFull)
		w.isClean()
		w.holds(map[string]content{m.ID: instant})
		require.NotEqual(t, instant, w.content())
	})
}

// TestCancelRunningSnapshot is scenarios 13 and 24, testCancelRunningSnapshot and
// testCancelFullyAsyncCheckpoints: it ends soon, and the database can be closed.
func TestCancelRunningSnapshot(t *testing.T) {
	eachStrategy(t, func(t *testing.T, w *world, strategy string) {
		w.holdUploads()
		op := w.begin(strategy)
		op.Cancel()
		_, err := op.Wait()
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, host.CodeInterrupted, host.CodeOf(err))
		w.store.onCreate(nil)
		w.isClean()
		w.remove()
		w.holds(nil)
		w.close()
	})
}

// TestDismissingSnapshot is scenarios 14 and 15, testDismissingSnapshot and
// testDismissingSnapshotNotRunnable: what was cancelled before it began does not run.
func TestDismissingSnapshot(t *testing.T) {
	eachStrategy(t, func(t *testing.T, w *world, strategy string) {
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := w.host.Begin(cancelled, host.SnapshotOptions{Strategy: strategy})
		require.ErrorIs(t, err, context.Canceled)
		assert.Empty(t, w.stored())
		w.isClean()
		w.holds(nil)
	})
}

// TestReleasingSnapshotAfterBackendClosed is scenario 16: the host is closed under a
// snapshot, which is then cancelled. What the snapshot holds is given back once,
// before Close returns, and Close may be called again.
func TestReleasingSnapshotAfterBackendClosed(t *testing.T) {
	eachStrategy(t, func(t *testing.T, w *world, strategy string) {
		w.holdUploads()
		op := w.begin(strategy)
		closed := make(chan error, 1)
		go func() { closed <- w.host.Close() }()
		select {
		case <-closed:
			t.Fatal("closed under a snapshot")
		case <-time.After(20 * time.Millisecond):
		}
		op.Cancel()
		require.NoError(t, <-closed)
		_, err := op.Wait()
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, w.host.Close())
		w.isClean()
		w.write(2) // the application's database is still its own
	})
}

// TestDisposeDeletesAllDirectories is scenario 17: of a host nothing is left, whatever
// became of its snapshots.
func TestDisposeDeletesAllDirectories(t *testing.T) {
	eachStrategy(t, func(t *testing.T, w *world, strategy string) {
		w.take(strategy)
		w.holdUploads()
		op := w.begin(strategy)
		assert.Equal(t, strategy == "canonical", len(names(t, filepath.Dir(w.cfg.Database.Path))) == 1, "a checkpoint is there")
		op.Cancel()
		_, err := op.Wait()
		require.Error(t, err)
		w.close()
		w.isClean()
	})
}

// TestSharedIncrementalStateDeRegistration is scenarios 18 and 61: an object goes when
// the last snapshot goes that refers to it, and no sooner.
func TestSharedIncrementalStateDeRegistration(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	want := make(map[string]content)
	var list []*host.Manifest
	for seed := range uint64(3) {
		w.write(seed)
		m := w.take("incremental")
		list, want[m.ID] = append(list, m), w.content()
	}
	for _, f := range tables(list[2]) {
		creator := strings.Split(filepath.Base(f.Object), "-0000")[0]
		assert.Contains(t, want, creator, "the object's name says whose it is")
		assert.Equal(t, creator != list[2].ID, f.Reused)
	}
	w.holds(want)
	for _, m := range list {
		w.remove(m.ID)
		delete(want, m.ID)
		w.holds(want)
	}
	assert.Empty(t, w.stored())
}

// TestNothingRunsAfterClose is scenario 20: what uploads ends with its snapshot.
func TestNothingRunsAfterClose(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	w.take("incremental")
	goOn := w.holdUploads()
	w.write(2)
	op := w.begin("incremental")
	require.Contains(t, stacks(), "host.(*transfers).work")
	close(goOn)
	_, err := op.Wait()
	require.NoError(t, err)
	w.close()
	assert.NotContains(t, stacks(), "host.(*transfers).work")
}

// stacks returns the stacks of all goroutines.
func stacks() string {
	text := make([]byte, 1<<20)
	return string(text[:runtime.Stack(text, true)])
}

// TestRestoreTellsItsFigures is scenario 21: after any restore, how long it took and
// what was read for it.
func TestRestoreTellsItsFigures(t *testing.T) {
	eachStrategy(t, func(t *testing.T, w *world, strategy string) {
		m := w.take(strategy)
		restored := w.restoreAs(host.RestoreOptions{Snapshots: []string{m.ID}})
		assert.Equal(t, m.ID, restored.Snapshot.ID)
		assert.Positive(t, restored.Duration)
		assert.Equal(t, m.BytesFull, restored.Bytes)
		assert.Equal(t, m.Files, restored.Files)
		assert.Equal(t, m.Records, restored.Records)
		assert.Zero(t, restored.Resumed)
	})
}

// TestCorrectMergeOperatorSet is scenario 22: every column family that a restore makes
// has its merge operator, which operands that wait in the database need.
func TestCorrectMergeOperatorSet(t *testing.T) {
	for _, strategy := range dbtest.Builtin {
		t.Run(strategy, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			merged := mergeInto(t, path)
			merged.close()
			cfg := dbtest.Config(t, path)
			h, err := host.Open(t.Context(), cfg, host.Offline(), host.WithModuleCache(dbtest.Cache()))
			require.NoError(t, err)
			m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
			require.NoError(t, err)
			for _, f := range m.Families {
				assert.NotEmpty(t, f.MergeOperator, f.Name)
			}
			target := filepath.Join(t.TempDir(), "restored")
			_, err = h.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
			require.NoError(t, err)
			require.NoError(t, h.Close())
			mergeInto(t, target).close() // one operand more
			sum := string(binary.LittleEndian.AppendUint64(nil, 14))
			assert.Equal(t, content{"default": {"n": sum}, "orders": {"n": sum}}, contents(t, target))
		})
	}
}

// merging is an application whose values are numbers that it adds to.
type merging struct {
	db       *grocksdb.DB
	families grocksdb.ColumnFamilyHandles
}

func (m merging) close() {
	for _, f := range m.families {
		f.Destroy()
	}
	m.db.Close()
}

// mergeInto opens a database of numbers, or makes one, and adds 7 to each.
func mergeInto(t *testing.T, path string) merging {
	t.Helper()
	o, write := grocksdb.NewDefaultOptions(), grocksdb.NewDefaultWriteOptions()
	defer o.Destroy()
	defer write.Destroy()
	o.SetCreateIfMissing(true)
	o.SetCreateIfMissingColumnFamilies(true)
	o.SetUint64AddMergeOperator()
	db, families, err := grocksdb.OpenDbColumnFamilies(o, path, []string{"default", "orders"}, []*grocksdb.Options{o, o})
	require.NoError(t, err)
	for _, f := range families {
		require.NoError(t, db.MergeCF(write, f, []byte("n"), binary.LittleEndian.AppendUint64(nil, 7)))
	}
	return merging{db, families}
}

// TestCleanupOfSnapshotsInFailureCase is scenario 25: a store that breaks off in the
// middle of a body fails the snapshot with that very error, and what was stored before
// is swept.
func TestCleanupOfSnapshotsInFailureCase(t *testing.T) {
	eachStrategy(t, func(t *testing.T, w *world, strategy string) {
		broken := errors.New("the disk is on fire")
		var uploads atomic.Int32
		w.host.Close()
		sound := w.store.Store
		w.store.Store = blob.Faulty(sound, func(c blob.Call) blob.Fault {
			if c.Verb == blob.VerbCreate && strings.HasPrefix(c.Name, "objects/") {
				uploads.Add(1)
				return blob.Fault{Mode: blob.Cut, At: 10, Err: broken}
			}
			return blob.Fault{}
		})
		w.host = w.lend()
		_, err := w.host.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
		require.ErrorIs(t, err, broken)
		assert.NotZero(t, uploads.Load())
		w.isClean()
		w.store.Store = sound
		w.remove()
		w.holds(nil)
	})
}

// TestAnyBytesAreKept is scenario 26,
// testConsistentSnapshotSerializationFlagsAndMasks: Flink marks the last key of a
// section in a bit of the key, and its end with 0xFFFF. The canonical format takes no
// bit of a key, and no key is a mark.
func TestAnyBytesAreKept(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	for _, key := range []string{"\x00", "\x7f", "\x80", "\x80\x00", "\xff", "\xff\xff", "\xff\xff\xff\xff", ""} {
		w.put("default", key, fmt.Sprintf("value of %x\xff\xff", key))
	}
	w.holds(map[string]content{w.take("canonical").ID: w.content()})
}
