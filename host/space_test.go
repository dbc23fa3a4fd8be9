package host_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// small mounts a file system of 48 MiB.
func small(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	err := unix.Mount("tmpfs", folder, "tmpfs", 0, "size=48m,mode=0700")
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skip("mounting a small file system takes root")
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Unmount(folder, unix.MNT_DETACH)) })
	return folder
}

// occupy fills a file system but for about free bytes and returns what frees it.
func occupy(t *testing.T, folder string, free int64) (release func()) {
	t.Helper()
	var stat unix.Statfs_t
	require.NoError(t, unix.Statfs(folder, &stat))
	path := filepath.Join(folder, "ballast")
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, unix.Fallocate(int(f.Fd()), 0, 0, int64(stat.Bavail)*stat.Bsize-free))
	require.NoError(t, f.Close())
	return func() { require.NoError(t, os.Remove(path)) }
}

// bulky makes a database of values of 32 KiB. What the canonical format makes of
// it is as large, or tiny where it can be compressed.
func bulky(t *testing.T, values int, compressible bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	random := rand.NewChaCha8([32]byte{})
	dbtest.Edit(t, path, rocks.Creation{Compression: "none"}, func(db *rocks.DB) {
		value := make([]byte, 32<<10)
		for i := range values {
			if !compressible {
				random.Read(value)
			}
			require.NoError(t, db.PutBlock("default", record(fmt.Sprint(i), string(value))))
		}
		require.NoError(t, db.Flush())
	})
	return path
}

func requireFull(t *testing.T, err error, what string) {
	t.Helper()
	require.Error(t, err, what)
	assert.Contains(t, strings.ToLower(err.Error()), "no space left on device")
	assert.Equal(t, host.CodeFailed, host.CodeOf(err), what)
}

// TestFullRepository runs out of space in the middle of a snapshot, earlier and
// later.
func TestFullRepository(t *testing.T) {
	folder := small(t)
	path := bulky(t, 64, false)
	file := filepath.Join(folder, "rocksnap.toml")
	text, err := os.ReadFile(dbtest.Config(t, path).Path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	cfg, err := config.Load(file)
	require.NoError(t, err)
	_, err = host.Init(t.Context(), cfg, host.InitOptions{SkipProbe: true})
	require.NoError(t, err)
	want := dbtest.Digest(t, path)
	for _, strategy := range dbtest.Builtin {
		before := listed(t, cfg)
		h := open(t, cfg, host.Offline())
		for _, free := range []int64{8 << 10, 64 << 10, 1 << 20} {
			release := occupy(t, folder, free)
			_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
			requireFull(t, err, strategy)
			assert.Equal(t, before, listed(t, cfg))
			requireClean(t, path)
			release()
		}
		m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
		require.NoError(t, err)
		require.NoError(t, h.Close())
		assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, m.ID)))
		freeObjects(t, cfg, m)
	}
}

// freeObjects makes room for the next strategy.
func freeObjects(t *testing.T, cfg *config.Config, m *host.Manifest) {
	t.Helper()
	for _, f := range m.Contents {
		if err := os.Remove(filepath.Join(cfg.Repository.Dir(), f.Object)); !errors.Is(err, fs.ErrNotExist) {
			require.NoError(t, err)
		}
	}
}

// TestFullTarget wants to restore where there is no room, which is found before
// anything is written.
func TestFullTarget(t *testing.T) {
	folder := small(t)
	path := bulky(t, 64, false)
	cfg := dbtest.Config(t, path)
	target := filepath.Join(folder, "target")
	for _, strategy := range dbtest.Builtin {
		m := snapshot(t, cfg, strategy)
		for _, free := range []int64{8 << 10, 1 << 20, 9 << 20} {
			release := occupy(t, folder, free)
			_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
			requireFull(t, err, strategy)
			assert.NotEmpty(t, host.HintOf(err))
			requireAlone(t, folder, "ballast")
			release()
		}
		release := occupy(t, folder, 11<<20)
		_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
		require.NoError(t, err)
		release()
		assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
		requireAlone(t, folder, "target")
		require.NoError(t, os.RemoveAll(target))
	}
}

// TestTargetFillsUp runs out of space in the middle of a restore, once because
// somebody else takes it, and once because records need more than their canonical
// files.
func TestTargetFillsUp(t *testing.T) {
	folder := small(t)
	path := bulky(t, 400, true)
	cfg := dbtest.Config(t, path)
	target := filepath.Join(folder, "target")
	native, records := snapshot(t, cfg, "native-full"), snapshot(t, cfg, "canonical")
	require.Greater(t, native.BytesFull, records.BytesFull+10<<20)

	release := occupy(t, folder, 9<<20)
	_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{records.ID}, Target: target})
	requireFull(t, err, "canonical")
	requireAlone(t, folder, "ballast")
	release()

	var once sync.Once
	r, err := host.OpenRepository(t.Context(), cfg, host.WithStore(blob.Faulty(store(t, cfg), func(c blob.Call) blob.Fault {
		if c.Verb == blob.VerbOpen && strings.HasPrefix(c.Name, "objects/") {
			once.Do(func() { release = occupy(t, folder, 5<<20) })
		}
		return blob.Fault{}
	})))
	require.NoError(t, err)
	_, err = r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{native.ID}, Target: target})
	requireFull(t, err, "native-full")
	requireAlone(t, folder, "ballast")
	release()

	for _, m := range []*host.Manifest{native, records} {
		_, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
		require.NoError(t, err)
		assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
		require.NoError(t, os.RemoveAll(target))
	}
}
