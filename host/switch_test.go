package host_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// A database may change its strategy at any time: what one strategy took,
// another goes on from. Each chain of strategies starts with a database of its
// own and hands on what it restored.
func TestSwitchStrategies(t *testing.T) {
	unraced(t)
	var chains [][]string
	for _, a := range dbtest.Builtin {
		for _, b := range dbtest.Builtin {
			chains = append(chains, []string{a, b})
		}
	}
	chains = append(chains, []string{"incremental", "canonical", "incremental", "native-full"})
	for _, chain := range chains {
		t.Run(fmt.Sprint(chain), func(t *testing.T) {
			path := dbtest.New(t, rocks.Creation{Families: []string{"orders"}, BlobFiles: true, MinBlobBytes: 100})
			restored := filepath.Join(t.TempDir(), "restored")
			cfg := dbtest.Config(t, path)
			for step, strategy := range chain {
				dbtest.Fill(t, path, "default", uint64(step), 200)
				dbtest.Fill(t, path, "orders", uint64(step), 100)
				path = passOn(t, cfg, path, strategy, fmt.Sprint(restored, step))
				cfg.Database.Path = path
			}
		})
	}
}

// passOn takes a snapshot with a strategy, restores it, and returns the folder of
// the equal database.
func passOn(t *testing.T, cfg *config.Config, path, strategy, target string) string {
	h, err := host.Open(t.Context(), cfg, host.WithModuleCache(dbtest.Cache()))
	require.NoError(t, err)
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
	require.NoError(t, err)
	require.Equal(t, strategy, m.Strategy.Name)
	require.NotEmpty(t, m.Strategy.Module, "it ran as a module")
	_, err = h.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	require.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
	return target
}
