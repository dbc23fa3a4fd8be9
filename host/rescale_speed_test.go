package host_test

import (
	"cmp"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// envMerge is the size, in MiB, of the databases that TestMergeIsQuick merges. With
// 1024 it also demands how much quicker it is.
const envMerge = "ROCKSNAP_TEST_MERGE_MIB"

// TestMergeIsQuick merges the snapshots of four workers into one database by links,
// by copies and by records, in turn. Nothing needs to be rewritten, as no file lies
// across a border.
func TestMergeIsQuick(t *testing.T) {
	mib, err := strconv.Atoi(cmp.Or(os.Getenv(envMerge), "16"))
	require.NoError(t, err)
	const workers, count = 4, 128
	f := newFleet(t, workers, count, rocks.Creation{TableBytes: 16 << 20}, func(db *rocks.DB, worker uint32, groups keygroup.Range) {
		writeBulk(t, db, uint64(worker), mib<<20/workers, groups, count)
		require.NoError(t, db.CompactAll())
	})
	refs := f.snapshots(t, "native-full")
	want := f.sums(t)
	merge := func(o host.RestoreOptions) *host.Restored {
		o.Snapshots, o.Target = refs, filepath.Join(t.TempDir(), "merged")
		restored, err := repository(t, f.workers[0]).Restore(t.Context(), o)
		require.NoError(t, err)
		return restored
	}
	runs := 1
	if mib >= 1024 {
		runs = 5
	}
	times := make(map[string][]time.Duration)
	for run := range runs {
		for name, o := range map[string]host.RestoreOptions{"links": {Link: true, Method: host.ByFiles}, "copies": {Method: host.ByFiles}, "records": {Method: host.ByRecords}} {
			restored := merge(o)
			times[name] = append(times[name], restored.Duration)
			if name != "records" {
				assert.Zero(t, restored.Rewritten, name)
			}
			if run == 0 {
				all := make(map[string]canonical.Sum)
				addContent(t, all, restored.Target)
				assert.Equal(t, want, all, name)
			}
			require.NoError(t, os.RemoveAll(restored.Target))
		}
	}
	links, copies := ratio(times["records"], times["links"]), ratio(times["records"], times["copies"])
	t.Logf("%d MiB: by records %.0f times as long as by links, %.1f times as long as by copies %v", mib, links, copies, times)
	if mib >= 1024 {
		assert.GreaterOrEqual(t, links, 20.0)
		assert.GreaterOrEqual(t, copies, 4.0)
	}
}

// ratio returns the quotient of two medians.
func ratio(a, b []time.Duration) float64 {
	median := func(d []time.Duration) float64 {
		d = slices.Sorted(slices.Values(d))
		return d[len(d)/2].Seconds()
	}
	return median(a) / median(b)
}

// writeBulk writes records of about 200 bytes, each key once, of which half can be
// compressed. Larger ones are read and written quicker, one by one.
func writeBulk(t testing.TB, db *rocks.DB, seed uint64, bytes int, groups keygroup.Range, count uint32) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, 1))
	var block []byte
	for n := 0; bytes > 0; n++ {
		group := groups.First + random.Uint32N(groups.Last-groups.First+1)
		value := make([]byte, 200)
		for i := range value[:100] {
			value[i] = byte(random.Uint32())
		}
		key := strconv.AppendInt(keygroup.Prefix(group, count), int64(n)+1e9, 10)
		block = canonical.AppendRecord(block, key, value)
		bytes -= len(key) + len(value)
		if len(block) > 4<<20 || bytes <= 0 {
			require.NoError(t, db.PutBlock("default", block))
			block = block[:0]
		}
	}
}
