package host_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// TestManyWorkersOneContent takes canonical snapshots of one large table with
// different numbers of workers: the objects differ, and what they say together does
// not. Each is restored with another number than it was taken with.
func TestManyWorkersOneContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	dbtest.Edit(t, path, rocks.Creation{Compression: "none", TableBytes: 64 << 20, WriteBufferBytes: 64 << 20}, func(db *rocks.DB) {
		for i := range 100 {
			var block []byte
			for j := range 1000 {
				block = canonical.AppendRecord(block, fmt.Appendf(nil, "%d-%09d", i%3, 1000*i+j), fmt.Appendf(nil, "%0120d", i*j))
			}
			require.NoError(t, db.PutBlock("default", block))
		}
		require.NoError(t, db.Flush())
	})
	want := dbtest.Digest(t, path)
	for _, workers := range []int{1, 3, 8} {
		cfg := dbtest.Config(t, path)
		cfg.Repository.Transfer.Workers = workers
		h := open(t, cfg, host.Offline())
		m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "canonical"})
		require.NoError(t, err)
		require.NoError(t, h.Close())
		assert.Equal(t, want, m.ContentDigest)
		requireAdjoining(t, m, workers)
		cfg.Repository.Transfer.Workers = 9 - workers
		target := filepath.Join(t.TempDir(), "restored")
		r, err := host.OpenRepository(t.Context(), cfg)
		require.NoError(t, err)
		_, err = r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
		require.NoError(t, err)
		assert.Equal(t, want, dbtest.Digest(t, target))
	}
}

// requireAdjoining has the canonical files of a manifest hold about the same number
// of records each, and all keys without a gap.
func requireAdjoining(t *testing.T, m *host.Manifest, count int) {
	t.Helper()
	after := make(map[string]host.File) // by the key that they begin with
	var records uint64
	for _, f := range m.Contents {
		if f.Kind == abi.KindCanonical {
			after[string(f.SmallestKey)] = f
			records += f.Records
		}
	}
	require.Len(t, after, count)
	key := ""
	for range count {
		f, found := after[key]
		require.True(t, found, "no file begins with %q", key)
		assert.InEpsilon(t, records/uint64(count), f.Records, 0.5)
		key = string(f.LargestKey)
	}
	assert.Empty(t, key, "the last has no end")
}
