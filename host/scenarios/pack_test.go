package scenarios

import (
	"io/fs"
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// pack has the host go on with packs, or without any.
func (w *world) pack(p *config.Pack) {
	w.t.Helper()
	require.NoError(w.t, w.host.Close())
	w.cfg.Repository.Pack = p
	w.host = w.lend()
}

// packs returns the objects of a snapshot that hold several files.
func packs(m *host.Manifest) map[string]bool {
	list := make(map[string]bool)
	for _, f := range m.Contents {
		if f.Segment != nil {
			list[f.Object] = true
		}
	}
	return list
}

// TestFileMergingOffAndOn is scenario 75: packs are turned on, and off again, and
// each increment goes on with what is there.
func TestFileMergingOffAndOn(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	on := &config.Pack{Below: 1 << 20, Into: 32 << 20, MaxSpaceAmplification: 2}
	before := make(map[string]bool)
	for round, p := range []*config.Pack{nil, on, nil} {
		w.pack(p)
		for table := range []int{1, 2, 0}[round] { // with a fourth, RocksDB would compact them all
			w.write(uint64(2*round + table))
		}
		m := w.take("incremental")
		if round > 0 {
			assert.NotZero(t, m.BytesReused, "round %d", round)
		}
		fresh := packs(m)
		maps.DeleteFunc(fresh, func(object string, _ bool) bool { return before[object] })
		assert.Equal(t, p != nil, len(fresh) > 0, "round %d", round)
		assert.Equal(t, w.content(), contents(t, w.restore(m.ID)), "round %d", round)
		before = packs(m)
	}
}

// TestManagedFilesLiveWhileReferenced is scenario 65,
// testFireMergingOperatorStateRegister: a pack stays for as long as a snapshot has
// one of its files, and is gone after that.
func TestManagedFilesLiveWhileReferenced(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.pack(&config.Pack{Below: 1 << 20, Into: 32 << 20, MaxSpaceAmplification: 0})
	w.write(1)
	w.write(2)
	first := w.take("incremental")
	var shared string
	for _, f := range first.Contents {
		if f.Segment != nil && f.LargestKey != nil {
			shared = f.Object
		}
	}
	require.NotEmpty(t, shared)
	w.write(3)
	second := w.take("incremental")
	w.remove(first.ID)
	assert.Equal(t, w.content(), contents(t, w.restore(second.ID)))
	require.NoError(t, w.db.CompactAll())
	third := w.take("incremental")
	require.NotContains(t, packs(third), shared)
	w.remove(second.ID)
	_, err := w.store.Stat(t.Context(), shared)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.Equal(t, w.content(), contents(t, w.restore(third.ID)))
}
