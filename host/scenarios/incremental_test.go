package scenarios

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// beforeCommit holds up the first snapshot of a repository when all of it is
// uploaded, at the copy of its module, which comes next. The first channel is closed
// when it has come that far; close the second to let it go on.
func (w *world) beforeCommit() (reached, goOn chan struct{}) {
	reached, goOn = make(chan struct{}), make(chan struct{})
	var waited atomic.Bool
	w.store.onCreate(func(_ context.Context, name string) error {
		if strings.HasPrefix(name, "modules/") && waited.CompareAndSwap(false, true) {
			close(reached)
			<-goOn
		}
		return nil
	})
	return reached, goOn
}

// TestCheckpointIsIncremental is scenario 1, testCheckpointIsIncremental: a
// savepoint in between does not make the next snapshot a full one.
func TestCheckpointIsIncremental(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	first := w.take("incremental")
	assert.Equal(t, first.BytesFull, first.BytesNew)
	savepoint := w.savepoint("native-full")
	w.write(2)
	third := w.take("incremental")
	assert.Equal(t, first.ID, third.Base)
	assert.Less(t, third.BytesNew, third.BytesFull)
	assert.Equal(t, third.BytesFull, third.BytesNew+third.BytesReused)
	assert.Equal(t, contents(t, w.restore(first.ID)), contents(t, w.restore(savepoint.ID)))
	assert.Equal(t, w.content(), contents(t, w.restore(third.ID)))
}

// TestUnconfirmedBase is scenarios 2 and 62: what is uploaded, and not committed,
// is no base. Both copies of a table stay for as long as their snapshots do.
func TestUnconfirmedBase(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	instant := w.content()
	reached, goOn := w.beforeCommit()
	op := w.begin("incremental")
	<-reached
	second := w.take("incremental")
	assert.Empty(t, second.Base)
	assert.Zero(t, second.BytesReused)
	close(goOn)
	first, err := op.Wait()
	require.NoError(t, err)
	require.Equal(t, tables(first)[0].Identity, tables(second)[0].Identity)
	assert.NotEqual(t, tables(first)[0].Object, tables(second)[0].Object)
	w.holds(map[string]content{first.ID: instant, second.ID: instant})
	w.remove(second.ID)
	w.holds(map[string]content{first.ID: instant})
}

// TestLateConfirm is scenarios 3 and 5: a snapshot that is committed after a later
// one takes nothing away from it, and whichever of the two is removed then, what
// is built on them stays whole.
func TestLateConfirm(t *testing.T) {
	for _, gone := range []string{"early", "late"} {
		t.Run(gone+" is removed", func(t *testing.T) {
			w := newWorld(t, rocks.Creation{})
			w.write(1)
			want := map[string]content{}
			reached, goOn := w.beforeCommit()
			op, instant := w.begin("incremental"), w.content()
			<-reached
			w.write(2)
			early := w.take("incremental")
			want[early.ID] = w.content()
			close(goOn)
			late, err := op.Wait()
			require.NoError(t, err)
			want[late.ID] = instant

			w.write(3)
			removed := map[string]string{"early": early.ID, "late": late.ID}[gone]
			w.remove(removed)
			delete(want, removed)
			third := w.take("incremental")
			assert.NotEqual(t, removed, third.Base)
			assert.NotZero(t, third.BytesReused)
			want[third.ID] = w.content()
			w.remove(third.Base)
			delete(want, third.Base)
			w.holds(want)
		})
	}
}

// TestAbortedIsNoBase is scenario 4, Abort.
func TestAbortedIsNoBase(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	first := w.take("incremental")
	w.write(2)
	ctx, cancel := context.WithCancel(t.Context())
	w.store.onCreate(func(context.Context, string) error { cancel(); return nil })
	_, err := w.host.Snapshot(ctx, host.SnapshotOptions{Strategy: "incremental"})
	require.ErrorIs(t, err, context.Canceled)
	w.store.onCreate(nil)
	third := w.take("incremental")
	assert.Equal(t, first.ID, third.Base)
	w.holds(map[string]content{first.ID: contents(t, w.restore(first.ID)), third.ID: w.content()})
}

// TestForcedFull is scenario 6, FORWARD: a full snapshot on demand refers to
// nothing older, and the next one builds on it.
func TestForcedFull(t *testing.T) {
	w := newWorld(t, rocks.Creation{}, "[strategies.incremental.config]", "full_every = 2")
	w.write(1)
	w.take("incremental")
	w.write(2)
	assert.NotZero(t, w.take("incremental").BytesReused)
	full := w.take("incremental")
	assert.Empty(t, full.Base)
	assert.Zero(t, full.BytesReused)
	next := w.take("incremental")
	assert.Equal(t, full.ID, next.Base)
	for _, f := range tables(next) {
		assert.True(t, f.Reused, f.Name)
	}
}

// TestSavepointSharesNothing is scenario 7, NO_SHARING.
func TestSavepointSharesNothing(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	first := w.take("incremental")
	savepoint := w.savepoint("incremental")
	assert.Empty(t, savepoint.Base)
	for _, f := range savepoint.Contents {
		assert.Equal(t, abi.ScopePrivate, f.Scope, f.Name)
		assert.False(t, f.Reused, f.Name)
	}
	next := w.take("incremental")
	assert.Equal(t, first.ID, next.Base, "the chain goes on as if there was no savepoint")
	w.remove(first.ID, next.ID)
	w.holds(map[string]content{savepoint.ID: w.content()})
}

// TestRefusedReuse is scenario 8, couldReuse=false: a table of the base whose object
// is no longer what it was is uploaded again.
func TestRefusedReuse(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	first := w.take("incremental")
	require.NotEmpty(t, tables(first))
	object := filepath.Join(w.cfg.Repository.Dir(), filepath.FromSlash(tables(first)[0].Object))
	require.NoError(t, os.Truncate(object, 10))
	second := w.take("incremental")
	assert.Equal(t, first.ID, second.Base)
	assert.False(t, tables(second)[0].Reused)
	assert.NotEqual(t, tables(first)[0].Object, tables(second)[0].Object)
	assert.Equal(t, w.content(), contents(t, w.restore(second.ID)))
}

// TestEmptyDatabaseStoresNothing is scenario 9, Empty: nothing is uploaded and no
// checkpoint is made, which Flink does before it notices.
func TestEmptyDatabaseStoresNothing(t *testing.T) {
	for _, strategy := range dbtest.Builtin {
		w := newWorldFor(t, strategy, rocks.Creation{})
		m := w.take(strategy)
		assert.Equal(t, "empty", m.Kind)
		assert.Empty(t, m.Contents)
		assert.Empty(t, w.stored())
		w.isClean()
	}
}

// TestFamiliesWithoutRows is scenario 10, a state that is registered and has no
// rows: its column family is restored.
func TestFamiliesWithoutRows(t *testing.T) {
	for _, strategy := range dbtest.Builtin {
		w := newWorldFor(t, strategy, rocks.Creation{Families: []string{"orders", "users"}})
		w.put("users", "a", "b")
		m := w.take(strategy)
		assert.NotEqual(t, "empty", m.Kind)
		assert.Equal(t, content{"default": {}, "orders": {}, "users": {"a": "b"}}, contents(t, w.restore(m.ID)))
	}
}

// TestReuseCallback is scenario 11, testReuseCallbackAndAdvanceWatermark: what was
// reused counts once the snapshot is committed, and the strategy hears of it; a
// snapshot that fails is told as aborted, and leaves what it reused alone.
func TestReuseCallback(t *testing.T) {
	heard := new(notes)
	w := newWorld(t, rocks.Creation{})
	require.NoError(t, w.host.Close())
	w.host = w.lend(host.WithStrategy("incremental", func() abi.Strategy { return noted{dbtest.Files{Increment: true}, heard} }))
	w.write(1)
	first := w.take("incremental")
	w.write(2)
	w.store.onCreate(func(_ context.Context, name string) error {
		if strings.Contains(name, "/entries/") {
			return os.ErrPermission
		}
		return nil
	})
	_, err := w.host.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
	require.ErrorIs(t, err, os.ErrPermission)
	w.store.onCreate(nil)
	third := w.take("incremental")
	assert.Equal(t, []abi.Notification{
		{Event: abi.EventComplete, Slot: first.Slot}, {Event: abi.EventAborted}, {Event: abi.EventComplete, Slot: third.Slot},
	}, heard.list)
	assert.Equal(t, tables(first)[0].Size, third.BytesReused)
	w.remove(first.ID)
	w.holds(map[string]content{third.ID: w.content()})
}
