package host_test

import (
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// footprint is all that can be seen of a file from outside.
type footprint struct {
	mode     fs.FileMode
	modified time.Time
	content  [sha256.Size]byte
}

func footprints(t *testing.T, dir string) map[string]footprint {
	t.Helper()
	seen := make(map[string]footprint)
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		f := footprint{mode: info.Mode(), modified: info.ModTime()}
		if d.Type().IsRegular() {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			f.content = sha256.Sum256(text)
		}
		seen[path] = f
		return nil
	}))
	return seen
}

// TestOfflineChangesNothing looks at every file of a database around everything
// that a host does with one at rest.
func TestOfflineChangesNothing(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			path := shape.make(t)
			cfg := dbtest.Config(t, path)
			before := footprints(t, path)
			h := open(t, cfg, host.Offline())
			_, err := h.Digest(t.Context())
			require.NoError(t, err)
			for _, strategy := range dbtest.Builtin {
				_, err := h.Plan(t.Context(), host.SnapshotOptions{Strategy: strategy})
				require.NoError(t, err)
				require.Equal(t, before, footprints(t, path), "plan "+strategy)
				_, err = h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
				require.NoError(t, err)
				require.Equal(t, before, footprints(t, path), strategy)
				requireClean(t, path)
				requireAlone(t, filepath.Dir(path), "db")
			}
			require.NoError(t, h.Close())
			require.Equal(t, before, footprints(t, path))
			requireAlone(t, filepath.Dir(path), "db")
		})
	}
}
