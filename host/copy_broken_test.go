package host_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// TestCopyBreaksOff has every create in the destination fail in turn, or its answer
// get lost. Nothing is half there, and the next copy completes it.
func TestCopyBreaksOff(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	from := dbtest.Config(t, path)
	first := snapshot(t, from, "incremental")
	dbtest.Fill(t, path, "orders", 1, 30)
	ids := []string{first.ID, snapshot(t, from, "incremental").ID}
	for _, mode := range []blob.Mode{blob.Fail, blob.Lose, blob.Cut} {
		f := &failing{mode: mode}
		for at := 1; ; at++ {
			to := dbtest.Config(t, path)
			f.fail(at)
			r, err := host.OpenRepository(t.Context(), to, host.WithStore(blob.Faulty(store(t, to), f.plan)))
			require.NoError(t, err)
			copied, err := repository(t, from).Copy(t.Context(), r, host.CopyOptions{})
			if f.creates < at {
				require.NoError(t, err)
				require.Greater(t, at, 15)
				break
			}
			assert.Len(t, listed(t, to), len(copied.Snapshots))
			if err != nil {
				require.NotEqual(t, host.CodeDamaged, host.CodeOf(err), "the source is not to blame: %v", err)
				_, err = copyAll(t, from, to)
			}
			require.NoError(t, err)
			require.Equal(t, ids, listed(t, to))
			verified, err := repository(t, to).Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
			require.NoError(t, err)
			require.Empty(t, verified.Problems)
		}
	}
}

// TestCopyLeavesOutWhatIsDamaged damages an object of the source.
func TestCopyLeavesOutWhatIsDamaged(t *testing.T) {
	unraced(t)
	_, key := newKey(t)
	path := shapes[0].make(t)
	from := dbtest.Config(t, path)
	h := history(t, from, path)
	ids := h.ids()
	object := h.manifests[1].Contents[0].Object // canonical, so of this snapshot only
	for name, lines := range map[string]string{"plain": "", "encrypted": key} {
		for _, d := range damages {
			t.Run(name+" "+d.name, func(t *testing.T) {
				to := dbtest.Config(t, path, lines)
				undo := d.inflict(t, from, object)
				copied, err := copyAll(t, from, to)
				require.ErrorContains(t, err, object)
				assert.Equal(t, host.CodePartial, host.CodeOf(err))
				require.Len(t, copied.Failed, 1)
				assert.Equal(t, ids[1], copied.Failed[0].Snapshot)
				assert.Equal(t, host.CodeDamaged, host.CodeOf(copied.Failed[0].Err))
				assert.Equal(t, []string{ids[0], ids[2], ids[3]}, listed(t, to))

				_, err = repository(t, from).Copy(t.Context(), repository(t, dbtest.Config(t, path)), host.CopyOptions{Snapshots: ids[1:2]})
				assert.Equal(t, host.CodeDamaged, host.CodeOf(err), "nothing was copied at all")
				undo()
				_, err = copyAll(t, from, to)
				require.NoError(t, err)
				assert.Equal(t, ids, listed(t, to), "in the order in which they were taken")
				assert.Equal(t, h.digests[1], dbtest.Digest(t, restore(t, to, ids[1])))
			})
		}
	}
}

// TestCopyLeavesOutDamagedEntries damages a manifest where a list sees it, and where
// only a reader does.
func TestCopyLeavesOutDamagedEntries(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	from := dbtest.Config(t, path)
	h := history(t, from, path)
	ids, entry := h.ids(), entryOf(h.manifests[1])
	for at, want := range map[int]string{1: entry, 3: ids[1]} {
		t.Run(damages[at].name, func(t *testing.T) {
			to := dbtest.Config(t, path)
			defer damages[at].inflict(t, from, entry)()
			copied, err := copyAll(t, from, to)
			assert.Equal(t, host.CodePartial, host.CodeOf(err))
			require.Len(t, copied.Failed, 1)
			assert.Equal(t, want, copied.Failed[0].Snapshot)
			assert.Equal(t, []string{ids[0], ids[2], ids[3]}, listed(t, to))
		})
	}
}

// TestCopyStoresAnewWhatIsDamaged damages an object in the destination, which the
// next snapshot would share.
func TestCopyStoresAnewWhatIsDamaged(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	from := dbtest.Config(t, path)
	h := history(t, from, path)
	r := repository(t, from)
	for _, d := range damages {
		if !d.resizes {
			continue // only verify reads the bytes of what is there
		}
		t.Run(d.name, func(t *testing.T) {
			to := dbtest.Config(t, path)
			_, err := r.Copy(t.Context(), repository(t, to), host.CopyOptions{Snapshots: h.ids()[:1]})
			require.NoError(t, err)
			first, err := repository(t, to).Find(t.Context(), h.ids()[0])
			require.NoError(t, err)
			for _, f := range first.Contents {
				d.inflict(t, to, f.Object)
			}
			copied, err := r.Copy(t.Context(), repository(t, to), host.CopyOptions{Snapshots: h.ids()[3:]})
			require.NoError(t, err)
			assert.Zero(t, copied.Reused)
			assert.Equal(t, h.digests[3], dbtest.Digest(t, restore(t, to, h.ids()[3])))
		})
	}
}

// TestCopyBesidePrune removes and sweeps, without any grace, on both sides, at
// every object that is read.
func TestCopyBesidePrune(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	from, to := dbtest.Config(t, path), dbtest.Config(t, path)
	from.Retention.Grace, to.Retention.Grace = 0, 0
	h := history(t, from, path)
	_, err := repository(t, from).Copy(t.Context(), repository(t, to), host.CopyOptions{Snapshots: h.ids()[:1]})
	require.NoError(t, err)
	removed := make(map[string]bool)
	var mu sync.Mutex
	from.Repository.Transfer.Workers, to.Repository.Transfer.Workers = 1, 1
	r := observed(t, from, func(op blob.Op) {
		if op.Verb != blob.VerbOpen || !strings.HasPrefix(op.Name, "objects/") {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		for _, m := range h.manifests[:3] { // the one that is being copied among them
			if !removed[m.ID] && refers(m, op.Name) {
				removed[m.ID] = true
				prune(t, from, m.ID)
			}
		}
		if !removed["copy"] { // what the next snapshots reuse of
			removed["copy"] = true
			prune(t, to, h.ids()[0])
		}
		prune(t, to)
	})
	copied, err := r.Copy(t.Context(), repository(t, to), host.CopyOptions{})
	require.NoError(t, err)
	assert.Len(t, copied.Snapshots, 3)
	assert.NotZero(t, copied.Reused)
	assert.Len(t, listed(t, from), 2)
	require.Equal(t, h.ids()[1:], listed(t, to))
	prune(t, to)
	for i, id := range h.ids()[1:] {
		assert.Equal(t, h.digests[i+1], dbtest.Digest(t, restore(t, to, id)))
	}
}

func refers(m *host.Manifest, object string) bool {
	for i := range m.Contents {
		if m.Contents[i].Object == object {
			return true
		}
	}
	return false
}

// prune removes snapshots by name and sweeps.
func prune(t *testing.T, cfg *config.Config, ids ...string) {
	t.Helper()
	_, err := repository(t, cfg).Prune(context.Background(), host.PruneOptions{Remove: ids, Sweep: true})
	assert.NoError(t, err)
}

// TestCopyOfRemoved copies a snapshot that prune removes after it was listed.
func TestCopyOfRemoved(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	from, to := dbtest.Config(t, path), dbtest.Config(t, path)
	from.Retention.Grace = 0
	h := history(t, from, path)
	first := true
	opened, err := dir.Open(to.Repository.Dir())
	require.NoError(t, err)
	destination, err := host.OpenRepository(t.Context(), to, host.WithStore(blob.Observe(opened, func(op blob.Op) {
		if op.Verb == blob.VerbCreate && first { // the epoch
			first = false
			prune(t, from, h.ids()[1])
		}
	})))
	require.NoError(t, err)
	copied, err := repository(t, from).Copy(t.Context(), destination, host.CopyOptions{})
	assert.Equal(t, host.CodePartial, host.CodeOf(err))
	require.Len(t, copied.Failed, 1)
	assert.Equal(t, h.ids()[1], copied.Failed[0].Snapshot)
	assert.Len(t, listed(t, to), 3)
}

// TestCopyFences has a copy and a host write into one repository.
func TestCopyFences(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	from, to := dbtest.Config(t, path), dbtest.Config(t, path)
	h := history(t, from, path)
	stale := open(t, to, host.Offline())
	_, err := copyAll(t, from, to)
	require.NoError(t, err)
	_, err = stale.Snapshot(t.Context(), host.SnapshotOptions{})
	assert.Equal(t, host.CodeFenced, host.CodeOf(err))
	require.NoError(t, stale.Close())

	second := dbtest.Config(t, path)
	taken := atomic.Bool{}
	r := observed(t, second, func(op blob.Op) {
		if stores(op) && !taken.Swap(true) {
			assert.NoError(t, open(t, second, host.Offline()).Close())
		}
	})
	copied, err := repository(t, from).Copy(t.Context(), r, host.CopyOptions{})
	assert.Equal(t, host.CodeFenced, host.CodeOf(err))
	assert.Empty(t, copied.Snapshots)
	_, err = copyAll(t, from, second)
	require.NoError(t, err)
	h.requireCopied(t, second)
}

// TestCopyCancelled cancels in the middle.
func TestCopyCancelled(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	from, to := dbtest.Config(t, path), dbtest.Config(t, path)
	h := history(t, from, path)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	sent := atomic.Int32{}
	r := observed(t, to, func(op blob.Op) {
		if stores(op) && sent.Add(1) == 5 {
			cancel()
		}
	})
	_, err := repository(t, from).Copy(ctx, r, host.CopyOptions{})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, host.CodeInterrupted, host.CodeOf(err))
	copied, err := copyAll(t, from, to)
	require.NoError(t, err)
	assert.NotZero(t, copied.Resumed+copied.Reused)
	h.requireCopied(t, to)
}
