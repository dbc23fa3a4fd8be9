package host_test

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// deed is what a run of rocksnap does in a world, and is stopped at.
type deed struct {
	name    string
	prepare func(*testing.T, *world)
	do      func(ctx context.Context, w *world, repository, other blob.Store) error
	// settle holds what the world shows against the deed's outcome, and enters
	// what has to be there from now on.
	settle func(*testing.T, *world, error)

	calls   unit // of the stores
	changes unit // of the file system
}

// unit is a kind of operations that are numbered.
type unit struct {
	floor  int // a run takes at least so many
	stride int // every so manyth is made to fail, unless envMatrix says all
}

var deeds = []deed{
	snapshotDeed("native-full", native, unit{35, 2}, unit{70, 7}),
	snapshotDeed("incremental", native, unit{35, 3}, unit{60, 19}),
	snapshotDeed("canonical", native, unit{30, 5}, unit{30, 7}),
	snapshotDeed("incremental", nil, unit{40, 11}, unit{60, 60}), // in its sandbox
	inPacks(snapshotDeed("incremental", native, unit{28, 4}, unit{50, 23})),
	aheadDeed(unit{38, 5}, unit{50, 23}),
	restoreDeed("native-full", unit{15, 1}, unit{50, 7}),
	restoreDeed("canonical", unit{10, 1}, unit{40, 7}),
	partDeed(unit{15, 4}, unit{60, 19}),
	resumeDeed("native-full", unit{15, 2}, unit{40, 13}),
	resumeDeed("canonical", unit{10, 2}, unit{35, 13}),
	mergeDeed(unit{20, 5}, unit{60, 17}),
	deltaDeed(unit{10, 3}, unit{40, 9}),
	pruneDeed(unit{50, 3}, unit{20, 2}),
	pinDeed(unit{8, 1}, unit{6, 1}),
	unpinDeed(unit{8, 1}, unit{2, 1}),
	copyDeed(unit{70, 11}, unit{100, 43}),
}

// nothing is there to prepare.
func nothing(*testing.T, *world) {}

func snapshotDeed(strategy string, options []host.Option, calls, changes unit) deed {
	name := "snapshot " + strategy
	if options == nil {
		name += " in wasm"
	}
	return deed{
		name, nothing,
		func(ctx context.Context, w *world, store, _ blob.Store) error {
			_, err := w.snapshot(ctx, store, strategy, options...)
			return err
		},
		settleSnapshot, calls, changes,
	}
}

// aheadDeed takes a snapshot of which most was stored before.
func aheadDeed(calls, changes unit) deed {
	d := snapshotDeed("incremental", native, calls, changes)
	d.name = "store ahead"
	d.prepare = func(_ *testing.T, w *world) {
		w.cfg = at(w.cfg, w.db())
		w.cfg.Snapshot.Strategy, w.cfg.Snapshot.Preupload = "incremental", true
	}
	d.do = func(ctx context.Context, w *world, store, _ blob.Store) error {
		h, err := host.Open(ctx, w.cfg, append([]host.Option{host.Offline(), host.WithStore(store), atOnce}, native...)...)
		if err != nil {
			return err
		}
		defer h.Close()
		if err := host.StoreAhead(ctx, h); err != nil {
			return err
		}
		if h.Preuploaded().Stored == 0 {
			return errors.New("nothing is due")
		}
		_, err = h.Snapshot(ctx, host.SnapshotOptions{})
		return err
	}
	return d
}

// inPacks has small files share objects from now on.
func inPacks(d deed) deed {
	d.name += " in packs"
	d.prepare = func(_ *testing.T, w *world) { w.cfg = packed(w.cfg) }
	return d
}

// settleSnapshot: a snapshot that was acknowledged is there, one that failed is
// not, and one of which nobody knows may be.
func settleSnapshot(t *testing.T, w *world, err error) {
	var fresh []string
	for _, id := range w.listed(t, w.store) {
		if w.must[id] == "" {
			fresh = append(fresh, id)
		}
	}
	switch {
	case err == nil:
		require.Len(t, fresh, 1)
	case errors.Is(err, blob.ErrUnknownOutcome):
		require.LessOrEqual(t, len(fresh), 1)
	default:
		require.Empty(t, fresh, err)
	}
	for _, id := range fresh {
		w.must[id] = w.now
	}
}

// of returns the snapshot that a strategy has taken.
func (w *world) of(strategy string) *host.Manifest {
	return w.list[slices.IndexFunc(w.list, func(m *host.Manifest) bool { return m.Strategy.Name == strategy })]
}

const restored = "restored"

func restoreDeed(strategy string, calls, changes unit) deed {
	return deed{
		"restore " + strategy, nothing,
		func(ctx context.Context, w *world, store, _ blob.Store) error {
			r, err := host.OpenRepository(ctx, w.cfg, host.WithStore(store))
			if err != nil {
				return err
			}
			_, err = r.Restore(ctx, host.RestoreOptions{Snapshots: []string{w.of(strategy).ID}, Target: w.target(restored)})
			return err
		},
		func(t *testing.T, w *world, err error) { settleRestore(t, w, w.of(strategy).ID, err) },
		calls, changes,
	}
}

// partDeed restores a range of keys out of the middle of files.
func partDeed(calls, changes unit) deed {
	d := restoreDeed("native-full", calls, changes)
	d.name = "restore a part"
	keys := host.KeyRange{From: []byte("key-0000060"), To: []byte("key-0000180")}
	part := func(ctx context.Context, w *world, store blob.Store) error {
		r, err := host.OpenRepository(ctx, w.cfg, host.WithStore(store))
		if err != nil {
			return err
		}
		o := host.RestoreOptions{Snapshots: []string{w.of("native-full").ID}, Target: w.target(restored), Keys: keys, Method: host.ByFiles}
		_, err = r.Restore(ctx, o)
		return err
	}
	d.do = func(ctx context.Context, w *world, store, _ blob.Store) error { return part(ctx, w, store) }
	d.settle = func(t *testing.T, w *world, err error) {
		if _, missing := os.Lstat(w.target(restored)); missing != nil {
			require.Error(t, err)
			require.NoError(t, part(t.Context(), w, w.store))
		}
		whole := restoreAt(t, w, w.of("native-full").ID)
		want := sumRange(t, whole, nil, keys)
		require.Positive(t, want["default"].Records)
		require.Equal(t, want, sumRange(t, w.target(restored), nil, host.KeyRange{}))
		requireAlone(t, w.target(""), restored)
		require.NoError(t, os.RemoveAll(w.target(restored)))
	}
	return d
}

// restoreAt restores all of a snapshot outside of the world.
func restoreAt(t *testing.T, w *world, id string) string {
	target := filepath.Join(t.TempDir(), "whole")
	_, err := w.repository(t, w.store).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: target})
	require.NoError(t, err)
	return target
}

// resumeDeed goes on from a restore that was broken off.
func resumeDeed(strategy string, calls, changes unit) deed {
	d := restoreDeed(strategy, calls, changes)
	d.name = "resume " + strategy
	d.prepare = func(t *testing.T, w *world) {
		opened := 0
		err := d.do(t.Context(), w, blob.Faulty(w.store, func(c blob.Call) blob.Fault {
			if isObject(c.Verb, c.Name) {
				opened++
			}
			return blob.Fault{Mode: map[bool]blob.Mode{true: blob.Fail}[opened == 2]}
		}), nil)
		require.ErrorIs(t, err, blob.ErrFault)
		require.Len(t, leftovers(t, w.target(restored)), 1)
	}
	return d
}

// settleRestore: the target is complete or absent, and absent it can be restored.
func settleRestore(t *testing.T, w *world, id string, err error) {
	target := w.target(restored)
	if _, missing := os.Lstat(target); missing != nil {
		require.Error(t, err)
		_, err := w.repository(t, w.store).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: target})
		require.NoError(t, err)
	}
	require.Equal(t, w.must[id], dbtest.Digest(t, target))
	requireAlone(t, w.target(""), restored)
	require.NoError(t, os.RemoveAll(target))
}

// pruneDeed removes two snapshots by name, and what the failed session left.
func pruneDeed(calls, changes unit) deed {
	return deed{
		"prune", nothing,
		func(ctx context.Context, w *world, store, _ blob.Store) error {
			return w.prune(ctx, store, w.of("native-full").ID, w.of("canonical").ID)
		},
		func(t *testing.T, w *world, err error) {
			gone := []string{w.of("native-full").ID, w.of("canonical").ID}
			if len(w.listed(t, w.store)) == len(w.must) {
				require.Error(t, err)
				w.requireSnapshots(t, w.store, w.must)
				require.NoError(t, w.prune(t.Context(), w.store, gone...))
			}
			for _, id := range gone {
				delete(w.must, id)
			}
		}, calls, changes,
	}
}

func (w *world) prune(ctx context.Context, store blob.Store, ids ...string) error {
	r, err := host.OpenRepository(ctx, w.cfg, host.WithStore(store))
	if err != nil {
		return err
	}
	_, err = r.Prune(ctx, host.PruneOptions{Remove: ids, Sweep: true})
	return err
}

// pinDeed pins a snapshot. An acknowledged pin keeps it.
func pinDeed(calls, changes unit) deed {
	return deed{
		"pin", nothing,
		func(ctx context.Context, w *world, store, _ blob.Store) error {
			return w.pin(ctx, store)
		},
		func(t *testing.T, w *world, err error) {
			id := w.of("canonical").ID
			removed := w.prune(t.Context(), w.store, id)
			if err == nil {
				require.ErrorContains(t, removed, "pinned")
			}
			_, err = w.repository(t, w.store).Unpin(t.Context(), id)
			if removed == nil {
				require.Error(t, err, "it was removed")
				delete(w.must, id)
				return
			}
			require.NoError(t, err)
		}, calls, changes,
	}
}

// unpinDeed takes a pin away. Afterwards the snapshot can be removed.
func unpinDeed(calls, changes unit) deed {
	return deed{
		"unpin",
		func(t *testing.T, w *world) { require.NoError(t, w.pin(t.Context(), w.store)) },
		func(ctx context.Context, w *world, store, _ blob.Store) error {
			r, err := host.OpenRepository(ctx, w.cfg, host.WithStore(store))
			if err != nil {
				return err
			}
			_, err = r.Unpin(ctx, w.of("canonical").ID)
			return err
		},
		func(t *testing.T, w *world, err error) {
			id := w.of("canonical").ID
			if err != nil {
				_, err = w.repository(t, w.store).Unpin(t.Context(), id)
				require.NoError(t, err)
			}
			require.NoError(t, w.prune(t.Context(), w.store, id))
			delete(w.must, id)
		}, calls, changes,
	}
}

func (w *world) pin(ctx context.Context, store blob.Store) error {
	r, err := host.OpenRepository(ctx, w.cfg, host.WithStore(store))
	if err != nil {
		return err
	}
	_, err = r.Pin(ctx, w.of("canonical").ID, "keep")
	return err
}

// copyDeed copies everything into another repository.
func copyDeed(calls, changes unit) deed {
	return deed{
		"copy", nothing,
		func(ctx context.Context, w *world, store, other blob.Store) error {
			return w.copy(ctx, store, other)
		},
		func(t *testing.T, w *world, err error) {
			there := w.listed(t, w.other)
			if err == nil {
				require.Len(t, there, len(w.must))
			}
			arrived := maps.Clone(w.must)
			maps.DeleteFunc(arrived, func(id, _ string) bool { return !slices.Contains(there, id) })
			w.requireSnapshots(t, w.other, arrived)
			require.NoError(t, w.copy(t.Context(), w.store, w.other))
			w.requireSnapshots(t, w.other, w.must)
			// The intent of a copy that died after its last commit is of the newest
			// epoch, until somebody else writes.
			_, err = w.snapshot(t.Context(), w.other, "native-full", native...)
			require.NoError(t, err)
			w.requirePruned(t, w.other)
		}, calls, changes,
	}
}

func (w *world) copy(ctx context.Context, from, to blob.Store) error {
	source, err := host.OpenRepository(ctx, w.cfg, host.WithStore(from))
	if err != nil {
		return err
	}
	destination, err := host.OpenRepository(ctx, w.cfg, host.WithStore(to))
	if err != nil {
		return err
	}
	_, err = source.Copy(ctx, destination, host.CopyOptions{})
	return err
}
