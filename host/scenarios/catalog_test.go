package scenarios

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// objects returns the names of a snapshot's objects.
func objects(m *host.Manifest) []string {
	var list []string
	for _, f := range m.Contents {
		list = append(list, f.Object)
	}
	slices.Sort(list)
	return list
}

// TestRestoreTwice is of scenario 54: one snapshot is restored twice, into databases of
// their own, and a column family that nobody touches meanwhile is kept.
func TestRestoreTwice(t *testing.T) {
	for _, strategy := range []string{"native-full", "incremental", "canonical"} {
		w := newWorldFor(t, strategy, rocks.Creation{Families: []string{"untouched"}})
		w.put("untouched", "old", "value")
		w.write(1)
		m := w.take(strategy)
		first, second := w.restore(m.ID), w.restore(m.ID)
		assert.Equal(t, contents(t, first), contents(t, second))
		w.moveOn(first)
		w.write(2)
		next := w.take(strategy)
		require.Equal(t, "value", contents(t, w.restore(next.ID))["untouched"]["old"])
		w.holds(map[string]content{m.ID: contents(t, second), next.ID: w.content()})
	}
}

// TestParallelSnapshots is of scenario 54: snapshots that overlap are each of their own
// instant, whatever is written while they run.
func TestParallelSnapshots(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	goOn := w.holdUploads()
	var running []*host.Operation
	want := make(map[string]content)
	for i, strategy := range []string{"native-full", "incremental", "canonical", "incremental"} {
		w.write(uint64(i))
		op := w.begin(strategy)
		running, want[op.ID()] = append(running, op), w.content()
	}
	w.put("default", "later", "than all")
	close(goOn)
	for _, op := range running {
		_, err := op.Wait()
		require.NoError(t, err)
	}
	w.holds(want)
}

// TestRegistryNormal is scenario 55: what only a removed snapshot refers to is deleted,
// all of it, and nothing else.
func TestRegistryNormal(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	first := w.take("native-full")
	second := w.take("native-full")
	assert.Equal(t, len(first.Contents)+len(second.Contents), len(w.stored()))
	w.remove(first.ID)
	assert.Equal(t, objects(second), w.stored())
	w.remove(second.ID)
	assert.Empty(t, w.stored())
}

// TestRemoveUnknown is scenario 56, testUnregisterWithUnexistedKey: removing what is
// not there is said, and changes nothing; sweeping where there is nothing is no error.
func TestRemoveUnknown(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.remove()
	w.write(1)
	m := w.take("incremental")
	for _, unknown := range []string{"01a20000", "ffffffff-ffff-7fff-bfff-ffffffffffff"} {
		_, err := w.repository().Prune(t.Context(), host.PruneOptions{Remove: []string{unknown}, Sweep: true})
		require.ErrorContains(t, err, unknown)
	}
	w.remove()
	w.remove()
	w.holds(map[string]content{m.ID: w.content()})
}

// TestEqualFilesAreNotOne is of scenarios 57 and 62: the same bytes, stored twice, are
// two objects. Neither is taken for a duplicate of the other and deleted.
func TestEqualFilesAreNotOne(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	first, second := w.take("native-full"), w.take("native-full")
	require.Equal(t, tables(first)[0].Digest, tables(second)[0].Digest)
	for _, name := range objects(first) {
		assert.NotContains(t, objects(second), name)
	}
	w.remove(first.ID)
	w.holds(map[string]content{second.ID: w.content()})
}

// TestUnregisterUnusedSavepointState is scenario 58: a database goes on from a native
// savepoint, which may be removed as soon as nothing refers to it.
func TestUnregisterUnusedSavepointState(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	savepoint := w.savepoint("incremental")
	w.moveOn(w.restore(savepoint.ID))
	w.write(2)
	next := w.take("incremental")
	w.remove(savepoint.ID)
	w.holds(map[string]content{next.ID: w.content()})
}

// TestUnregisterInitialCheckpoint is scenario 59: the snapshot that a database was
// restored from is not in use any more than others. What later ones took over from it
// stays for them.
func TestUnregisterInitialCheckpoint(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	initial := w.take("incremental")
	w.moveOn(w.restore(initial.ID))
	w.write(2)
	next := w.take("incremental")
	require.Equal(t, initial.ID, next.Base)
	require.NotZero(t, next.BytesReused)
	w.remove(initial.ID)
	w.holds(map[string]content{next.ID: w.content()})
	for _, f := range initial.Contents {
		assert.Equal(t, f.Scope == abi.ScopeShared, slices.Contains(w.stored(), f.Object), f.Name)
	}
}

// claiming is a strategy that says of every file that the base has it.
type claiming struct{}

func (claiming) Init(context.Context, abi.Session) error { return nil }

func (claiming) Prepare(_ context.Context, s abi.Session) error {
	_, err := s.Checkpoint()
	return err
}

func (claiming) Snapshot(_ context.Context, s abi.Session) error {
	_, err := s.Reuse([]abi.Reuse{{File: 0}})
	return err
}

// TestPlaceholderWithUnknownKey is scenario 63: to reuse what is in no base is a hard
// error, and publishes nothing.
func TestPlaceholderWithUnknownKey(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	m := w.take("incremental")
	require.NoError(t, w.host.Close())
	w.host = w.lend(host.WithStrategy("claims", func() abi.Strategy { return claiming{} }))
	_, err := w.host.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "claims"})
	require.ErrorIs(t, err, abi.ECONFLICT)
	assert.Equal(t, host.CodePlugin, host.CodeOf(err))
	w.remove()
	w.holds(map[string]content{m.ID: w.content()})
}

// TestDiscardUnregistered is scenario 66: of a snapshot that was not committed all goes;
// of one that was nothing does, also when another process reads the catalog afresh. Its
// sizes are those of its files.
func TestDiscardUnregistered(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	first := w.take("incremental")
	w.write(2)
	w.store.onCreate(func(_ context.Context, name string) error {
		if strings.Contains(name, "/entries/") {
			return os.ErrPermission
		}
		return nil
	})
	_, err := w.host.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "native-full"})
	require.ErrorIs(t, err, os.ErrPermission)
	w.store.onCreate(nil)
	second := w.take("incremental")
	w.remove()
	w.holds(map[string]content{first.ID: contents(t, w.restore(first.ID)), second.ID: w.content()})
	var size, fresh int64
	for _, f := range second.Contents {
		size += f.Size
		if !f.Reused {
			fresh += f.Size
		}
	}
	assert.Equal(t, []int64{size, fresh, size - fresh}, []int64{second.BytesFull, second.BytesNew, second.BytesReused})
}

// TestResumeCheckpointSwitch is scenario 68, of the change that this project started
// from: three runs take native-full, incremental and native-full snapshots, each going
// on from what the one before has left.
func TestResumeCheckpointSwitch(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	want := make(map[string]content)
	for run, strategy := range []string{"native-full", "incremental", "native-full"} {
		w.write(uint64(run))
		m := w.take(strategy)
		want[m.ID] = w.content()
		w.moveOn(w.restore(m.ID))
	}
	w.holds(want)
}

// TestUnregisteredState is scenario 71: a manifest with records of a column family that
// it does not list is refused by that family's name, where Flink finds out at a restore.
func TestUnregisteredState(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.put("default", "a", "b")
	m := w.take("canonical")
	forged := *m
	forged.ID, forged.Slot, forged.Contents = "01a20000-0000-7000-8000-000000000001", 0, slices.Clone(m.Contents)
	for i := range forged.Contents {
		forged.Contents[i].Family = "ghost"
	}
	c, err := catalog.Open(t.Context(), w.store, w.cfg.Repository.Name)
	require.NoError(t, err)
	writer, err := c.Acquire(t.Context(), catalog.Owner{Host: "forger"})
	require.NoError(t, err)
	session, err := writer.Begin(t.Context(), forged.ID)
	require.NoError(t, err)
	err = session.Commit(t.Context(), &forged)
	require.ErrorContains(t, err, `"ghost"`)
	require.NoError(t, session.Close(t.Context(), err))
	w.lists(map[string]content{m.ID: nil})
}
