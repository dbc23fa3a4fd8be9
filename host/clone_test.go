package host_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// sharing mounts a file system that shares blocks between files.
func sharing(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("mkfs.xfs")
	if err != nil || os.Geteuid() != 0 {
		t.Skip("a file system that shares blocks takes mkfs.xfs, which .ci/setup installs, and root")
	}
	image, folder := filepath.Join(t.TempDir(), "image"), t.TempDir()
	require.NoError(t, os.WriteFile(image, nil, 0o600))
	require.NoError(t, os.Truncate(image, 400<<20))
	out, err := exec.Command(program, "-q", image).CombinedOutput()
	require.NoError(t, err, "%s", out)
	if out, err := exec.Command("mount", "-o", "loop", image, folder).CombinedOutput(); err != nil {
		t.Skipf("no loop device: %s", out)
	}
	t.Cleanup(func() { require.NoError(t, unix.Unmount(folder, unix.MNT_DETACH)) })
	return folder
}

// free is what a file system has left, in bytes.
func free(t *testing.T, folder string) int64 {
	t.Helper()
	unix.Sync()
	var stat unix.Statfs_t
	require.NoError(t, unix.Statfs(folder, &stat))
	return int64(stat.Bavail) * stat.Bsize
}

// TestClone takes a snapshot on a file system that shares blocks: it takes hardly any
// room there, and outlives the database. Beside another one it is a copy as ever.
func TestClone(t *testing.T) {
	folder := sharing(t)
	path := filepath.Join(folder, "db")
	require.NoError(t, os.CopyFS(path, os.DirFS(bulky(t, 1000, false))))
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	elsewhere := snapshot(t, cfg, "native-full")

	cfg.Repository.URL = "file:" + filepath.Join(folder, "repository")
	_, err := host.Init(t.Context(), cfg, host.InitOptions{SkipProbe: true})
	require.NoError(t, err)
	before := free(t, folder)
	m := snapshot(t, cfg, "incremental")
	assert.Less(t, before-free(t, folder), m.BytesNew/4)
	assert.Equal(t, elsewhere.BytesFull, m.BytesFull)
	require.NoError(t, os.RemoveAll(path))
	seen, err := repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	assert.Empty(t, seen.Problems)
	assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, m.ID)))
}
