package host_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// requireExplained demands that causes make up the new bytes and files of a snapshot,
// to the byte, and returns the bytes by column family and cause.
func requireExplained(t testing.TB, causes []host.Cause, m *host.Manifest) map[string]int64 {
	t.Helper()
	var bytes int64
	files := 0
	told := make(map[string]int64)
	for _, c := range causes {
		bytes += c.Bytes
		files += c.Files
		told[c.Family+": "+c.Name] += c.Bytes
	}
	for i := range m.Contents {
		if m.Contents[i].Reused {
			files++
			require.Empty(t, m.Contents[i].Cause, "a file that is not new")
		}
	}
	require.Equal(t, m.BytesNew, bytes, "%v", causes)
	require.Equal(t, len(m.Contents), files, "%v", causes)
	return told
}

// planned returns what a plan says of the snapshot that is about to be taken.
func planned(t testing.TB, cfg *config.Config) *host.Plan {
	t.Helper()
	own := *cfg
	own.Snapshot.Strategy = "incremental"
	h := open(t, &own, append(dbtest.Native(), host.Offline())...)
	p, err := h.Plan(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	return p
}

// change does something to a database that is open, at random.
func change(t *testing.T, r *rand.Rand, db *rocks.DB) {
	family := []string{"default", "orders", "users"}[r.IntN(3)]
	switch r.IntN(5) {
	case 0, 1:
		put(t, db, family, r.Uint64(), 1+r.IntN(300))
		require.NoError(t, db.Flush())
	case 2:
		require.NoError(t, db.CompactAll())
	case 3:
		ingest(t, db, family, fmt.Sprintf("key-%07d", r.IntN(500)), fmt.Sprintf("key-%07d", 500+r.IntN(500)))
	case 4:
		put(t, db, family, r.Uint64(), 1+r.IntN(50)) // stays in the WAL
	}
}

// TestExplain takes increments of a database that lives at random. Every new byte has
// a cause, in the plan as in the snapshot, and none is unknown while the database was
// opened but once since the snapshot before.
func TestExplain(t *testing.T) {
	seen := make(map[string]bool)
	for seed := range uint64(2) {
		r := rand.New(rand.NewPCG(seed, 8))
		path := filepath.Join(t.TempDir(), "db")
		c := rocks.Creation{Families: []string{"orders", "users"}, BlobFiles: seed == 1, MinBlobBytes: 100}
		dbtest.Edit(t, path, c, func(db *rocks.DB) { put(t, db, "orders", seed, 200) })
		cfg := dbtest.Config(t, path)
		for round := range 8 {
			opened := 1 + r.IntN(2)
			for range opened {
				dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
					for range 1 + r.IntN(6) {
						change(t, r, db)
					}
				})
			}
			p := planned(t, cfg)
			m := snapshots(t, cfg, "incremental")[0]
			told := requireExplained(t, p.Causes, m)
			require.Equal(t, told, requireExplained(t, host.Explain(m), m), "plan and snapshot")
			for cause, bytes := range told {
				seen[cause[strings.Index(cause, ": ")+2:]] = true
				require.True(t, opened > 1 || round == 0 || !strings.Contains(cause, "unknown"), "%d bytes by %s", bytes, cause)
			}
			var sum int64
			for _, bytes := range p.ByCause {
				sum += bytes
			}
			require.Equal(t, p.BytesNew, sum)
		}
	}
	for _, cause := range []string{"flush", "ingest", "wal", "metadata"} {
		assert.True(t, seen[cause], "%s among %v", cause, seen)
	}
	assert.Contains(t, fmt.Sprint(seen), "compaction L0->", "one from level 0")
	assert.Contains(t, fmt.Sprint(seen), "unknown L", "what is older than the MANIFEST")
}

// What is exported record by record has one cause.
func TestExplainRecords(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	m := snapshots(t, cfg, "canonical")[0]
	told := requireExplained(t, host.Explain(m), m)
	assert.Len(t, told, 3)
	for cause := range told {
		assert.Regexp(t, "^(default|orders|users): records$", cause)
	}
}
