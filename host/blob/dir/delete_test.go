package dir

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// newWith makes a store with some objects.
func newWith(t *testing.T, names ...string) *Store {
	t.Helper()
	s := newStore(t, t.TempDir())
	for _, name := range names {
		require.NoError(t, put(s, name, "x"))
	}
	return s
}

// watchSyncs returns the directories that are synced from now on, as they are
// named in the store. The sync of broken fails.
func watchSyncs(t *testing.T, s *Store, broken string) *[]string {
	t.Helper()
	synced := new([]string)
	t.Cleanup(durable.Intercept(func(op durable.Op, change func() error) error {
		if op.Verb != "sync" {
			return change()
		}
		if op.Path == s.local(broken) {
			return unix.EIO
		}
		dir, err := filepath.Rel(s.path, op.Path)
		*synced = append(*synced, dir)
		return errors.Join(err, change())
	}))
	return synced
}

func TestDeleteSyncsEachDirectoryOnce(t *testing.T) {
	s := newWith(t, "a/1", "a/2", "a/3", "a/b/1", "a/b/2", "keep", "top")
	synced := watchSyncs(t, s, "nothing")
	err := s.Delete(context.Background(), "a/1", "a/b/1", "a/2", "a/b/2", "top", "a/absent", "no/directory", "a/3")
	require.NoError(t, err)
	require.Equal(t, []string{".", "a", "a/b"}, *synced)
	requireNames(t, s, "keep")
}

// TestDeleteSyncsWhatIsGone: whoever removed it may have died before its sync.
func TestDeleteSyncsWhatIsGone(t *testing.T) {
	s := newWith(t, "a/1")
	require.NoError(t, os.Remove(s.local("a/1")))
	synced := watchSyncs(t, s, "nothing")
	require.NoError(t, s.Delete(context.Background(), "a/1"))
	require.Equal(t, []string{"a"}, *synced)
}

// TestDeleteSyncsBeforeItFails: what was removed before the failure is durable.
func TestDeleteSyncsBeforeItFails(t *testing.T) {
	s := newWith(t, "a/1", "b/1")
	require.NoError(t, unix.Mkfifo(s.local("pipe"), 0o644))
	synced := watchSyncs(t, s, "nothing")
	err := s.Delete(context.Background(), "a/1", "pipe", "b/1")
	require.ErrorContains(t, err, "delete pipe: not a regular file")
	require.Equal(t, []string{"a"}, *synced)
	requireNames(t, s, "b/1")
}

// TestDeleteUnsynced: a directory that cannot be synced does not keep the call
// from the others.
func TestDeleteUnsynced(t *testing.T) {
	s := newWith(t, "a/1", "b/1")
	synced := watchSyncs(t, s, "a")
	err := s.Delete(context.Background(), "a/1", "b/1")
	require.ErrorIs(t, err, unix.EIO)
	require.EqualError(t, err, "delete in a: input/output error")
	require.Equal(t, []string{"b"}, *synced)
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
