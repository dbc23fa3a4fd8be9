package bench

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

func TestShape(t *testing.T) {
	s := Shape{Bytes: 4 << 20, ValueBytes: 100, Compressible: 0.5, TableBytes: 1 << 20, Families: 1, Seed: 7}
	one, again := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "db")
	require.NoError(t, s.Make(one))
	require.NoError(t, s.Make(again))
	content := digest(t, one)
	assert.Equal(t, content.Digest, digest(t, again).Digest, "it follows from the seed")
	assert.Len(t, tables(t, one), 5)
	entries, err := os.ReadDir(filepath.Dir(one))
	require.NoError(t, err)
	assert.Len(t, entries, 1, "nothing is left beside the database")

	require.NoError(t, s.Rewrite(one, 0.25, 8))
	assert.NotEqual(t, content.Digest, digest(t, one).Digest)
	before := tables(t, again)
	var fresh int64
	for name, size := range tables(t, one) {
		if _, old := before[name]; !old {
			fresh += size
		}
	}
	assert.InEpsilon(t, 1<<20, fresh, 0.2, "a quarter of the database")
}

func digest(t *testing.T, db string) *host.Content {
	content, err := host.DigestDatabase(t.Context(), db, 2, nil)
	require.NoError(t, err)
	return content
}

// tables returns the sizes of the live SSTs of a database.
func tables(t *testing.T, path string) map[string]int64 {
	db, err := rocks.Open(path, rocks.Options{})
	require.NoError(t, err)
	live, err := db.Live()
	require.NoError(t, err)
	require.NoError(t, db.Close())
	sizes := map[string]int64{}
	for _, f := range live {
		info, err := os.Stat(filepath.Join(path, f.Name))
		require.NoError(t, err)
		sizes[f.Name] = info.Size()
	}
	return sizes
}

func TestOneCore(t *testing.T) {
	cores := func() int {
		var set unix.CPUSet
		require.NoError(t, unix.SchedGetaffinity(0, &set))
		return set.Count()
	}
	before, most := cores(), runtime.GOMAXPROCS(0)
	require.NoError(t, onOneCore(func() error {
		assert.Equal(t, 1, cores())
		return nil
	}))
	assert.Equal(t, before, cores())
	assert.Equal(t, most, runtime.GOMAXPROCS(0))
}
