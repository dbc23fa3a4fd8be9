package host_test

import (
	"fmt"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// TestRecreatedDatabase destroys a restored database and makes another in its
// place. RocksDB leaves the note of the restore behind, hands out the same file
// numbers again, and here also writes blob files of the same size that end alike.
func TestRecreatedDatabase(t *testing.T) {
	values := rocks.Creation{BlobFiles: true, MinBlobBytes: 64}
	write := func(path, first string) {
		dbtest.Edit(t, path, values, func(db *rocks.DB) {
			var block []byte
			for i := range 100 {
				value := fmt.Appendf(nil, "%s %01500d", "same", i)
				if i == 0 {
					value = fmt.Appendf(nil, "%s %01500d", first, i)
				}
				block = canonical.AppendRecord(block, fmt.Appendf(nil, "key%03d", i), value)
			}
			require.NoError(t, db.PutBlock("default", block))
			require.NoError(t, db.Flush())
		})
	}
	path := dbtest.New(t, values)
	write(path, "here")
	cfg := dbtest.Config(t, path)
	restored := restore(t, cfg, snapshot(t, cfg, "incremental").ID)

	options := grocksdb.NewDefaultOptions()
	defer options.Destroy()
	require.NoError(t, grocksdb.DestroyDb(restored, options))
	options.SetCreateIfMissing(true)
	options.EnableBlobFiles(true)
	options.SetMinBlobSize(64)
	anew, err := grocksdb.OpenDb(options, restored)
	require.NoError(t, err)
	anew.Close()
	write(restored, "anew")
	again := snapshot(t, at(cfg, restored), "incremental")
	assert.Zero(t, again.BytesReused)
	assert.Empty(t, again.Base, "another database has another history")
	assert.Equal(t, dbtest.Digest(t, restored), dbtest.Digest(t, restore(t, cfg, again.ID)))
}

// TestFullBetweenIncrements takes a native-full snapshot, which shares nothing,
// between increments: the next one goes on from the one before.
func TestFullBetweenIncrements(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	taken := snapshots(t, cfg, "incremental", "native-full", "incremental", "canonical", "incremental")
	assert.Equal(t, taken[0].ID, taken[2].Base)
	assert.Equal(t, taken[2].ID, taken[4].Base)
	assert.NotZero(t, taken[4].BytesReused)
}
