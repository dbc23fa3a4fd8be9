package catalogtest

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// rot flips a bit in the head of an entry, as a disk does: size and date stay.
func rot(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	require.NoError(t, err)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[100] ^= 1
	require.NoError(t, os.WriteFile(path, data, 0o644))
	require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
}

// An entry that was listed before, and has rotted since, is damaged for a prune as well:
// it removes nothing, least of all the sound snapshots in favour of that one.
func TestPruneBelievesNoMemory(t *testing.T) {
	for _, remembers := range []bool{false, true} {
		folder := t.TempDir()
		store, err := dir.Create(folder)
		require.NoError(t, err)
		require.NoError(t, Fill(t.Context(), store, "orders", Shape{Snapshots: 3, Files: 2, New: 1}))
		c := open(t, store, &shelf{})
		all := list(t, c)
		var newest string
		for info, err := range store.List(t.Context(), "db/orders/entries/", "") {
			require.NoError(t, err)
			newest = info.Name
		}
		rot(t, filepath.Join(folder, newest))
		if !remembers {
			c = open(t, store, &shelf{})
		}
		_, err = c.Prune(t.Context(), catalog.PruneOptions{Policy: catalog.Policy{Last: 1}})
		require.NoError(t, err)

		var left []string
		for s, err := range open(t, store, &shelf{}).Snapshots(t.Context()) {
			if err != nil {
				require.ErrorIs(t, err, catalog.ErrDamaged)
				continue
			}
			left = append(left, s.ID)
		}
		assert.Equal(t, []string{all[0].ID, all[1].ID}, left, "remembers: %v", remembers)
	}
}
