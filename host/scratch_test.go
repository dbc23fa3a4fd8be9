package host_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// TestScratch drills and compares beside what killed processes have left, which
// goes, and what is in use or no folder of ours, which stays.
func TestScratch(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	list := snapshots(t, cfg, "native-full", "canonical")
	for prefix, work := range map[string]func(blob.Store) error{
		"rocksnap-drill-": func(s blob.Store) error {
			_, err := openRepository(t, cfg, host.WithStore(s)).DigestSnapshot(t.Context(), list[0].ID)
			return err
		},
		"rocksnap-diff-": func(s blob.Store) error {
			for _, err := range openRepository(t, cfg, host.WithStore(s)).DiffRecords(t.Context(), list[0].ID, list[1].ID) {
				return err
			}
			return nil
		},
	} {
		folder, elsewhere := t.TempDir(), t.TempDir()
		t.Setenv("TMPDIR", folder)
		for _, name := range []string{"left", "used"} {
			require.NoError(t, os.MkdirAll(filepath.Join(folder, prefix+name, "db"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(folder, prefix+name, "db", "1.sst"), []byte("plain"), 0o600))
		}
		used := lockFolder(t, filepath.Join(folder, prefix+"used"))
		require.NoError(t, os.Symlink(elsewhere, filepath.Join(folder, prefix+"link")))
		require.NoError(t, os.WriteFile(filepath.Join(folder, prefix+"file"), nil, 0o600))
		stay := []string{prefix + "file", prefix + "link", prefix + "used"}

		var looked atomic.Bool
		require.NoError(t, work(watching{store(t, cfg), func() {
			looked.Store(true)
			requireLocked(t, folder, prefix, stay)
		}}))
		assert.True(t, looked.Load(), prefix)
		requireAlone(t, folder, stay...)
		assert.DirExists(t, elsewhere)

		require.NoError(t, used.Close()) // as when its process is killed
		require.NoError(t, work(store(t, cfg)))
		requireAlone(t, folder, prefix+"file", prefix+"link")
	}
}

// lockFolder locks a folder as long as the file is open.
func lockFolder(t testing.TB, dir string) *os.File {
	t.Helper()
	f, err := os.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	require.NoError(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	return f
}

// requireLocked demands that all that is there beside what stays is one folder,
// in use, of which a kill leaves what the next process recognises.
func requireLocked(t testing.TB, folder, prefix string, stay []string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	assert.NoError(t, err)
	assert.Len(t, entries, len(stay)+1)
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		assert.True(t, strings.HasPrefix(e.Name(), prefix), e.Name())
		f, err := os.Open(filepath.Join(folder, e.Name()))
		if assert.NoError(t, err) {
			assert.ErrorIs(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK, e.Name())
			assert.NoError(t, f.Close())
		}
	}
}

// watching is a store that tells of every read of an object.
type watching struct {
	blob.Store
	tell func()
}

func (w watching) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if strings.HasPrefix(name, "objects/") {
		w.tell()
	}
	return w.Store.Open(ctx, name, offset, length)
}
