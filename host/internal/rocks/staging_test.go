package rocks

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStaging(t *testing.T) {
	assert.Equal(t, "/data/.orders.rocksnap", Staging("/data/orders/"))
	assert.Equal(t, ".orders.rocksnap", Staging("orders"))
}

func TestSweep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	removed, err := Sweep(path)
	require.NoError(t, err)
	assert.Zero(t, removed, "no staging directory")

	db := open(t, path, Creation{})
	staging := Staging(path)
	require.NoError(t, os.Mkdir(staging, 0o755))
	require.NoError(t, db.Checkpoint(filepath.Join(staging, CheckpointName()), FlushNever))
	require.NoError(t, os.Mkdir(filepath.Join(staging, CheckpointName()+unfinished), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(staging, CheckpointName()+probed), nil, 0o600))
	stay := []string{"checkpoint-", "checkpoint-mine", "notes", "x" + CheckpointName()}
	for _, name := range stay {
		require.NoError(t, os.Mkdir(filepath.Join(staging, name), 0o755))
	}
	removed, err = Sweep(path)
	require.NoError(t, err)
	assert.Equal(t, 3, removed)
	assert.ElementsMatch(t, stay, names(t, staging))
}
