package host_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// TestMemoryOfRecords takes and restores canonical snapshots in processes of their
// own: what these have in memory at most, RocksDB's part included, is bounded, does
// not grow with the database, and grows by a few values where these are long.
func TestMemoryOfRecords(t *testing.T) {
	unraced(t)
	const mebibyte, bound = 1 << 20, 64
	long := 16*mebibyte - 100
	small := peaksOfRecords(t, valuesOf(t, 100, 16*mebibyte))
	for _, tt := range []struct {
		name  string
		size  int // of a value, bytes
		bytes int // of all
		more  int // mebibytes above the bound
	}{
		{"larger", 100, 64 * mebibyte, 0},
		{"values of 1 MiB", mebibyte, 64 * mebibyte, 4 * 3},
		{"values of 16 MiB", long, 4 * long, 8 * 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			peaks := peaksOfRecords(t, valuesOf(t, tt.size, tt.bytes))
			t.Logf("MiB above those at rest: %v, of the small database %v", peaks, small)
			for verb, peak := range peaks {
				assert.LessOrEqual(t, peak, bound+tt.more, verb)
				assert.LessOrEqual(t, peak, small[verb]*11/10+12+tt.more, verb)
			}
		})
	}
}

// valuesOf makes a database of values of a size, of about so many bytes, half of them
// random.
func valuesOf(t *testing.T, size, bytes int) string {
	path := filepath.Join(t.TempDir(), "db")
	random := rand.NewChaCha8([32]byte{1})
	dbtest.Edit(t, path, rocks.Creation{Compression: "none", TableBytes: 8 << 20, WriteBufferBytes: 8 << 20}, func(db *rocks.DB) {
		value, n := make([]byte, size), 0
		for bytes > 0 {
			var block []byte
			for len(block) < 1<<20 {
				random.Read(value[:size/2])
				block = canonical.AppendRecord(block, fmt.Appendf(nil, "%09d", n), value)
				n++
			}
			require.NoError(t, db.PutBlock("default", block))
			bytes -= len(block)
		}
		require.NoError(t, db.Flush())
		require.NoError(t, db.CompactAll())
	})
	return path
}

// peaksOfRecords returns the mebibytes that a snapshot and its restore take.
func peaksOfRecords(t *testing.T, db string) map[string]int {
	cfg := dbtest.Config(t, db)
	peaks := make(map[string]int)
	for _, verb := range []string{"snapshot", "restore"} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envVictim+"="+strings.Join([]string{cfg.Path, dbtest.Cache(), "peak", verb}, " "))
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		require.NoError(t, err)
		var kibibytes int
		_, err = fmt.Sscan(string(out), &kibibytes)
		require.NoError(t, err)
		peaks[verb] = kibibytes >> 10
	}
	return peaks
}

// peakOfRecords prints how many KiB more than at rest this process has in memory
// during a snapshot or its restore.
func peakOfRecords(ctx context.Context, cfg *config.Config, cache, verb string) error {
	h, err := host.Open(ctx, cfg, host.Offline(), host.WithModuleCache(cache))
	if err != nil {
		return err
	}
	defer h.Close()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("5"), 0); err != nil { // so that the peak is forgotten
		return err
	}
	rest, err := statusOf("VmRSS:")
	if err != nil {
		return err
	}
	if verb == "snapshot" {
		_, err = h.Snapshot(ctx, host.SnapshotOptions{Strategy: "canonical"})
	} else {
		target := filepath.Join(filepath.Dir(cfg.Path), "restored")
		_, err = h.Restore(ctx, host.RestoreOptions{Snapshots: []string{"latest"}, Target: target})
	}
	if err != nil {
		return err
	}
	peak, err := statusOf("VmHWM:")
	fmt.Println(peak - rest)
	return err
}

// statusOf returns a line of the kernel's account of this process, in KiB.
func statusOf(line string) (kibibytes int, err error) {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		_, after, _ := strings.Cut(string(status), line)
		_, err = fmt.Sscan(after, &kibibytes)
	}
	return kibibytes, err
}
