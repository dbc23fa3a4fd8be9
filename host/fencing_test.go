package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// TestFencing has a second host take over a repository while the first is in the
// middle of a snapshot.
func TestFencing(t *testing.T) {
	unraced(t)
	for _, strategy := range dbtest.Builtin {
		t.Run(strategy, func(t *testing.T) {
			path := shapes[0].make(t)
			failover := filepath.Join(t.TempDir(), "db")
			require.NoError(t, os.CopyFS(failover, os.DirFS(path)))
			cfg := dbtest.Config(t, path)
			before := snapshot(t, cfg, strategy)

			gate := newGate(store(t, cfg))
			older := open(t, cfg, host.WithStore(gate))
			op, err := older.Begin(t.Context(), host.SnapshotOptions{Strategy: strategy})
			require.NoError(t, err)
			dbtest.Fill(t, failover, "users", 99, 50)
			after := snapshot(t, at(cfg, failover), strategy)
			gate.open()
			_, err = op.Wait()
			requireFenced(t, err)
			_, err = older.Begin(t.Context(), host.SnapshotOptions{Strategy: strategy})
			requireFenced(t, err)

			assert.Equal(t, []string{before.ID, after.ID}, listed(t, cfg))
			assert.Equal(t, dbtest.Digest(t, failover), dbtest.Digest(t, restore(t, cfg, after.ID)))
			stay := 0
			for _, err := range store(t, cfg).List(t.Context(), "objects/", "") {
				require.NoError(t, err)
				stay++
			}
			assert.Greater(t, stay, stored(before)+stored(after), "a stale writer must not remove anything, not even its own")
			requireClean(t, path)
		})
	}
}

// stored counts the objects that a snapshot brought.
func stored(m *host.Manifest) int {
	n := 0
	for _, f := range m.Contents {
		if !f.Reused {
			n++
		}
	}
	return n
}

func requireFenced(t *testing.T, err error) {
	t.Helper()
	require.ErrorIs(t, err, catalog.ErrFenced)
	require.Equal(t, host.CodeFenced, host.CodeOf(err))
	require.NotEmpty(t, host.HintOf(err))
}
