package dir

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// newSynced makes a store with objects that counts how often it syncs each
// directory from then on.
func newSynced(t *testing.T, names ...string) (*Store, map[string]int) {
	t.Helper()
	s, synced := newStore(t, t.TempDir()), make(map[string]int)
	for _, name := range names {
		require.NoError(t, put(s, name, "x"))
	}
	s.sync = func(dir string) error {
		synced[dir]++
		return durable.SyncDir(dir)
	}
	return s, synced
}

func TestDeleteSyncsEachDirectoryOnce(t *testing.T) {
	s, synced := newSynced(t, "a/1", "a/2", "a/3", "a/b/1", "a/b/2", "keep", "top")
	err := s.Delete(context.Background(), "a/1", "a/b/1", "a/2", "a/b/2", "top", "a/absent", "no/directory", "a/3")
	require.NoError(t, err)
	require.Equal(t, map[string]int{s.local("a"): 1, s.local("a/b"): 1, s.local("."): 1, s.local("no"): 1}, synced)
	requireNames(t, s, "keep")
}

// TestDeleteSyncsWhatIsGone: whoever removed it may have died before its sync.
func TestDeleteSyncsWhatIsGone(t *testing.T) {
	s, synced := newSynced(t, "a/1")
	require.NoError(t, os.Remove(s.local("a/1")))
	require.NoError(t, s.Delete(context.Background(), "a/1"))
	require.Equal(t, map[string]int{s.local("a"): 1}, synced)
}

// TestDeleteSyncsBeforeItFails: what was removed before the failure is durable.
func TestDeleteSyncsBeforeItFails(t *testing.T) {
	s, synced := newSynced(t, "a/1", "b/1")
	require.NoError(t, unix.Mkfifo(s.local("pipe"), 0o644))
	err := s.Delete(context.Background(), "a/1", "pipe", "b/1")
	require.ErrorContains(t, err, "delete pipe: not a regular file")
	require.Equal(t, map[string]int{s.local("a"): 1}, synced)
	requireNames(t, s, "b/1")
}

func TestDeleteUnsynced(t *testing.T) {
	s, _ := newSynced(t, "a/1", "b/1")
	s.sync = func(dir string) error {
		if dir == s.local("a") {
			return unix.EIO
		}
		return durable.SyncDir(dir)
	}
	err := s.Delete(context.Background(), "a/1", "b/1")
	require.ErrorIs(t, err, unix.EIO)
	require.ErrorContains(t, err, "delete in a: ")
	s.sync = durable.SyncDir
	require.NoError(t, s.Delete(context.Background(), "a/1", "b/1"), "to repeat it is harmless")
}

// TestTidy removes what was last written before a time, and only that.
func TestTidy(t *testing.T) {
	s := newStore(t, t.TempDir())
	require.NoError(t, put(s, "object", "x"))
	now := time.Now()
	for name, age := range map[string]time.Duration{"old": 3 * time.Hour, "older": 4 * time.Hour, "young": time.Hour} {
		file := s.local(".tmp/" + name)
		require.NoError(t, os.WriteFile(file, []byte(name), 0o600))
		require.NoError(t, os.Chtimes(file, now.Add(-age), now.Add(-age)))
	}
	require.NoError(t, os.Chtimes(s.local("object"), now.Add(-9*time.Hour), now.Add(-9*time.Hour)))
	tidied, err := s.Tidy(context.Background(), now.Add(-2*time.Hour))
	require.NoError(t, err)
	require.Equal(t, blob.Tidied{Uploads: 2, Bytes: int64(len("old" + "older"))}, tidied)
	require.FileExists(t, s.local(".tmp/young"))
	require.NoFileExists(t, s.local(".tmp/old"))
	requireNames(t, s, "object")
	tidied, err = s.Tidy(context.Background(), now.Add(-2*time.Hour))
	require.NoError(t, err)
	require.Zero(t, tidied)
}

func TestTidyNothing(t *testing.T) {
	tidied, err := newStore(t, t.TempDir()).Tidy(context.Background(), time.Now())
	require.NoError(t, err, "nobody has created an object yet")
	require.Zero(t, tidied)
}

// TestTidyReadOnly: what cannot be removed is told, in the operator's words.
func TestTidyReadOnly(t *testing.T) {
	root := mountTmp(t)
	s := newStore(t, root)
	require.NoError(t, put(s, "a", "x"))
	require.NoError(t, os.WriteFile(s.local(".tmp/left"), nil, 0o600))
	require.NoError(t, unix.Mount("none", root, "tmpfs", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	tidied, err := s.Tidy(context.Background(), time.Now().Add(time.Hour))
	require.EqualError(t, err, "tidy: store "+root+" is read-only: read-only file system")
	require.Zero(t, tidied)
	_, err = Open(root)
	require.NoError(t, err, "opening does not mind")
}
