package rocks

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestStaging(t *testing.T) {
	assert.Equal(t, "/data/.orders.rocksnap", Staging("/data/orders/"))
	assert.Equal(t, ".orders.rocksnap", Staging("orders"))
	link := filepath.Join(t.TempDir(), "link")
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.Symlink(dir, link))
	assert.Equal(t, filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".rocksnap"), Staging(link))
}

func TestSweep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	removed, err := Sweep(path)
	require.NoError(t, err)
	assert.Zero(t, removed, "no staging directory")

	db := open(t, path, Creation{})
	used, err := NewCheckpoint(db, FlushNever)
	require.NoError(t, err)
	died, err := NewCheckpoint(db, FlushNever)
	require.NoError(t, err)
	require.NoError(t, died.lock.Close(), "as when a process ends")
	require.NoError(t, os.MkdirAll(filepath.Join(innerStaging(path), CheckpointName(), "files.tmp"), 0o755))
	staging := Staging(path)
	stay := []string{"checkpoint-", "checkpoint-mine", "notes", "x" + CheckpointName()}
	for _, name := range stay {
		require.NoError(t, os.Mkdir(filepath.Join(staging, name), 0o755))
	}
	removed, err = Sweep(path)
	require.NoError(t, err)
	assert.Equal(t, 2, removed)
	assert.ElementsMatch(t, append(stay, filepath.Base(used.folder)), names(t, staging))
	assert.NoDirExists(t, innerStaging(path))
	checkFiles(t, used.Path())
	require.NoError(t, used.Remove())
	assert.ElementsMatch(t, stay, names(t, staging))
}

// Sessions make and remove the folder of checkpoints under each other's feet, and
// somebody sweeps.
func TestNewCheckpointBesideOthers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Creation{})
	put(t, db, "default", record{"k", "v"})
	var sessions sync.WaitGroup
	for range 4 {
		sessions.Go(func() {
			for range 25 {
				c, err := NewCheckpoint(db, FlushNever)
				if !assert.NoError(t, err) {
					return
				}
				assert.FileExists(t, filepath.Join(c.Path(), "CURRENT"))
				_, err = Sweep(path)
				assert.NoError(t, err)
				assert.FileExists(t, filepath.Join(c.Path(), "CURRENT"))
				assert.NoError(t, c.Remove())
			}
		})
	}
	sessions.Wait()
	assert.NoDirExists(t, Staging(path))
}

func TestNewCheckpointLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	build(t, path)
	_, err := NewCheckpoint(hold(t, path), FlushAlways)
	require.ErrorIs(t, err, ErrNeedsWrite)
	assert.Equal(t, []string{"db"}, names(t, filepath.Dir(path)))
}

func TestNewCheckpointThroughSymlink(t *testing.T) {
	path, link := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(path, link))
	want := build(t, path)
	c, err := NewCheckpoint(hold(t, link), FlushNever)
	require.NoError(t, err)
	assert.Equal(t, want, content(t, hold(t, c.Path())))
	assert.DirExists(t, Staging(path))
	assert.Equal(t, []string{"link"}, names(t, filepath.Dir(link)))
	require.NoError(t, c.Remove())
	assert.NoDirExists(t, Staging(path))
}

// mount binds the database at path to a place of its own, or skips the test.
func mount(t *testing.T, path string, flags uintptr) string {
	t.Helper()
	at := filepath.Join(t.TempDir(), "mounted")
	require.NoError(t, os.Mkdir(at, 0o755))
	err := unix.Mount(path, at, "", unix.MS_BIND, "")
	if errors.Is(err, unix.EPERM) {
		t.Skipf("no mount point: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(at, unix.MNT_DETACH)) })
	if flags != 0 {
		require.NoError(t, unix.Mount("none", at, "", unix.MS_BIND|unix.MS_REMOUNT|flags, ""))
	}
	return at
}

func TestNewCheckpointInMountPoint(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	want := build(t, path)
	at := mount(t, path, 0)
	before := names(t, at)
	o := hold(t, at)
	c, err := NewCheckpoint(o, FlushNever)
	require.NoError(t, err)
	assert.Equal(t, innerStaging(at), filepath.Dir(c.folder))
	assert.Equal(t, want, content(t, hold(t, c.Path())))
	require.NoError(t, c.Remove())
	assert.ElementsMatch(t, before, names(t, at))
	assert.Equal(t, []string{"mounted"}, names(t, filepath.Dir(at)))
	require.NoError(t, o.Close())

	db := open(t, at, Creation{})
	c, err = NewCheckpoint(db, FlushAlways)
	require.NoError(t, err)
	require.NoError(t, db.CompactAll(), "RocksDB must not mind the folder")
	require.NoError(t, db.Close())
	assert.Equal(t, want, content(t, hold(t, at)))
	assert.Equal(t, want, content(t, hold(t, c.Path())))
	require.NoError(t, c.Remove())
	assert.NotContains(t, names(t, at), ".rocksnap")
}

func TestReadOnlyMedium(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	want := build(t, path)
	at := mount(t, path, unix.MS_RDONLY)
	o := hold(t, at)
	assert.Equal(t, want, content(t, o))
	_, err := NewCheckpoint(o, FlushNever)
	require.ErrorIs(t, err, unix.EROFS)
	assert.Equal(t, []string{"mounted"}, names(t, filepath.Dir(at)))
	_, err = OpenOffline(path)
	assert.ErrorIs(t, err, ErrLocked, "a shared lock keeps writers out")
	require.NoError(t, o.Close())

	db := open(t, path, Creation{})
	_, err = OpenOffline(at)
	assert.ErrorIs(t, err, ErrLocked, "and is kept out by one")
	require.NoError(t, db.Close())
	require.NoError(t, os.Remove(filepath.Join(path, "LOCK")))
	assert.Equal(t, want, content(t, hold(t, at)), "what was never opened has no LOCK")
	assert.NoFileExists(t, filepath.Join(path, "LOCK"))
}
