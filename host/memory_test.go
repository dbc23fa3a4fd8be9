package host_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// TestMemoryDoesNotGrow takes and restores snapshots of a small database and of
// one eight times as large (I11): the peak of the heap must be about the same.
func TestMemoryDoesNotGrow(t *testing.T) {
	unraced(t)
	const mebibyte = 1 << 20
	small, large := filled(t, 16*mebibyte), filled(t, 128*mebibyte)
	for _, strategy := range dbtest.Builtin {
		t.Run(strategy, func(t *testing.T) {
			least := peakOf(t, small, strategy)
			most := peakOf(t, large, strategy)
			t.Logf("peak of the heap: %d MiB for 16 MiB, %d MiB for 128 MiB", least/mebibyte, most/mebibyte)
			assert.Less(t, most, least+32*mebibyte)
		})
	}
}

// filled makes a database of about the given size that does not compress.
func filled(t *testing.T, bytes int) string {
	path := filepath.Join(t.TempDir(), "db")
	random := rand.NewChaCha8([32]byte{1})
	dbtest.Edit(t, path, rocks.Creation{Compression: "none", TableBytes: 4 << 20, WriteBufferBytes: 4 << 20}, func(db *rocks.DB) {
		value, n := make([]byte, 4<<10), 0
		for bytes > 0 {
			var block []byte
			for len(block) < 1<<20 {
				random.Read(value)
				block = canonical.AppendRecord(block, fmt.Appendf(nil, "%09d", n), value)
				n++
			}
			require.NoError(t, db.PutBlock("default", block))
			bytes -= len(block)
		}
		require.NoError(t, db.Flush())
	})
	return path
}

// peakOf snapshots and restores a database, and returns the largest heap seen.
func peakOf(t *testing.T, db, strategy string) uint64 {
	h, err := host.Open(t.Context(), dbtest.Config(t, db), host.Offline(), host.WithModuleCache(dbtest.Cache()))
	require.NoError(t, err)
	defer h.Close()
	peak := watchHeap(t)
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
	require.NoError(t, err)
	_, err = h.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: filepath.Join(t.TempDir(), "restored")})
	require.NoError(t, err)
	return peak()
}

// watchHeap samples the live heap until the function that it returns is called.
func watchHeap(t *testing.T) (peak func() uint64) {
	debug.SetGCPercent(20) // so that the heap is close to what is in use
	t.Cleanup(func() { debug.SetGCPercent(100) })
	debug.FreeOSMemory()
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	stop, highest := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			select {
			case <-stop:
				highest <- most
				return
			case <-time.After(2 * time.Millisecond):
				metrics.Read(sample)
				most = max(most, sample[0].Value.Uint64())
			}
		}
	}()
	return func() uint64 { close(stop); return <-highest }
}
