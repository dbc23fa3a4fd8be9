package bench

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

func TestMakeTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	start := time.Now()
	require.NoError(t, MakeTables(path, 300))
	t.Log(time.Since(start))
	db, err := rocks.Open(path, rocks.Options{})
	require.NoError(t, err)
	files, err := db.Live()
	assert.NoError(t, err)
	assert.Len(t, files, 300)
	assert.NoError(t, db.Close())
	assert.Error(t, MakeTables(path, 1), "there is something in the way")
}
