package dir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/blobtest"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

func TestLaws(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return newStore(t, t.TempDir()) })
}

func newStore(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Create(root)
	require.NoError(t, err)
	return s
}

func put(s *Store, name, content string) error {
	return s.Create(context.Background(), name, strings.NewReader(content))
}

func requireNames(t *testing.T, s *Store, want ...string) {
	t.Helper()
	var names []string
	for info, err := range s.List(context.Background(), "", "") {
		require.NoError(t, err)
		names = append(names, info.Name)
	}
	require.Equal(t, want, names)
}

// requireNoTmp asserts that no temporary file was left.
func requireNoTmp(t *testing.T, s *Store) {
	t.Helper()
	entries, err := os.ReadDir(s.local(tmpDir))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	require.Empty(t, entries)
}

func TestOpenNeedsDirectory(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "b")
	_, err := Open(root)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.EqualError(t, err, "open store "+root+": no such file or directory")
	require.NoError(t, put(newStore(t, root), "x", "content"))
	s, err := Open(root)
	require.NoError(t, err)
	requireNames(t, s, "x")
	_, err = Open(filepath.Join(root, "x"))
	require.ErrorContains(t, err, "not a directory")
	_, err = Create(filepath.Join(root, "x"))
	require.ErrorIs(t, err, unix.ENOTDIR)
}

func TestOpenWritesNothing(t *testing.T) {
	root := t.TempDir()
	_, err := Open(root)
	require.NoError(t, err)
	entries, err := os.ReadDir(root)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestStoreOutlivesChdir(t *testing.T) {
	t.Chdir(t.TempDir())
	s := newStore(t, "repo")
	t.Chdir(t.TempDir())
	require.NoError(t, put(s, "a", "x"))
	requireNames(t, s, "a")
}

func TestLayout(t *testing.T) {
	root := t.TempDir()
	s := newStore(t, root)
	require.NoError(t, put(s, "a/b/c", "content"))
	content, err := os.ReadFile(filepath.Join(root, "a", "b", "c"))
	require.NoError(t, err)
	require.Equal(t, "content", string(content))
	requireNoTmp(t, s)
}

// TestOpenSweeps removes what was last written long ago, and only that.
func TestOpenSweeps(t *testing.T) {
	root := t.TempDir()
	s := newStore(t, root)
	require.NoError(t, put(s, "object", "x"))
	old, young := s.local(".tmp/old"), s.local(".tmp/young")
	require.NoError(t, os.WriteFile(old, nil, 0o600))
	require.NoError(t, os.WriteFile(young, nil, 0o600))
	long := time.Now().Add(-25 * time.Hour)
	require.NoError(t, os.Chtimes(old, long, long))
	require.NoError(t, os.Chtimes(s.local("object"), long, long))
	s, err := Open(root)
	require.NoError(t, err)
	require.NoFileExists(t, old)
	require.FileExists(t, young)
	requireNames(t, s, "object")
}

// TestForeign puts things into the directory that are no objects.
func TestForeign(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644))
	s := newStore(t, root)
	require.NoError(t, put(s, "object", "x"))
	require.NoError(t, os.Symlink(outside, s.local("away")))
	require.NoError(t, os.Symlink(filepath.Join(outside, "secret"), s.local("link")))
	require.NoError(t, unix.Mkfifo(s.local("pipe"), 0o644))
	require.NoError(t, os.WriteFile(s.local("not a name"), nil, 0o644))
	require.NoError(t, os.WriteFile(s.local(".hidden"), nil, 0o644))
	requireNames(t, s, "object")

	ctx := context.Background()
	for _, name := range []string{"away/secret", "link", "pipe"} {
		_, err := s.Open(ctx, name, 0, -1)
		assert.Error(t, err, name)
		_, err = s.Stat(ctx, name)
		assert.Error(t, err, name)
		assert.Error(t, s.Delete(ctx, name), name)
	}
	assert.Error(t, put(s, "away/new", "x"))
	assert.ErrorIs(t, put(s, "link", "x"), fs.ErrExist)
	for _, err := range s.List(ctx, "away/", "") {
		assert.Error(t, err)
	}
	entries, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing was written or removed outside")
	requireNoTmp(t, s)
}

// TestDirectoryInTheWay: a name cannot be an object and a directory, and says so
// rather than that the object exists.
func TestDirectoryInTheWay(t *testing.T) {
	s := newStore(t, t.TempDir())
	require.NoError(t, put(s, "a/b", "x"))
	err := put(s, "a", "y")
	require.EqualError(t, err, "create a: objects are stored below it: is a directory")
	require.NotErrorIs(t, err, fs.ErrExist)
	err = put(s, "a/b/c", "y")
	require.ErrorIs(t, err, unix.ENOTDIR)
	require.NotErrorIs(t, err, fs.ErrExist)
	requireNames(t, s, "a/b")
}

// TestEmptyDirectoryStays: deleting the name of a directory must not remove it,
// or a creator who relies on it fails.
func TestEmptyDirectoryStays(t *testing.T) {
	ctx := context.Background()
	s := newStore(t, t.TempDir())
	require.NoError(t, put(s, "a/b", "x"))
	require.NoError(t, s.Delete(ctx, "a/b"))
	require.NoError(t, s.Delete(ctx, "a"))
	require.DirExists(t, s.local("a"))
}

func TestCreateAfterDirectoryWasRemoved(t *testing.T) {
	s := newStore(t, t.TempDir())
	require.NoError(t, put(s, "a/b", "x"))
	require.NoError(t, os.RemoveAll(s.local("a")))
	require.Error(t, put(s, "a/b", "x"))
	require.NoError(t, put(s, "a/b", "x"))
	requireNoTmp(t, s)
}

// TestTwoStores races creators that do not share memory, as processes do not.
func TestTwoStores(t *testing.T) {
	root := t.TempDir()
	stores := []*Store{newStore(t, root), newStore(t, root)}
	for range 20 {
		errs := make([]error, len(stores))
		var done sync.WaitGroup
		for i, s := range stores {
			done.Go(func() { errs[i] = put(s, "deep/er/name", "x") })
		}
		done.Wait()
		require.NotEqual(t, errs[0] == nil, errs[1] == nil, "one wins: %v", errs)
		require.ErrorIs(t, errors.Join(errs...), fs.ErrExist)
		require.NoError(t, os.RemoveAll(filepath.Join(root, "deep")))
		stores = []*Store{newStore(t, root), newStore(t, root)}
	}
}

// TestReadCancelled: a reader ends with its context.
func TestReadCancelled(t *testing.T) {
	s := newStore(t, t.TempDir())
	require.NoError(t, put(s, "a", "content"))
	ctx, cancel := context.WithCancel(context.Background())
	r, err := s.Open(ctx, "a", 0, -1)
	require.NoError(t, err)
	defer r.Close()
	_, err = io.ReadFull(r, make([]byte, 3))
	require.NoError(t, err)
	cancel()
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, context.Canceled)
}

// TestReadTruncated: a file that shrinks under a reader does not end well.
func TestReadTruncated(t *testing.T) {
	s := newStore(t, t.TempDir())
	require.NoError(t, put(s, "a", "content"))
	r, err := s.Open(context.Background(), "a", 0, -1)
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, os.Truncate(s.local("a"), 3))
	content, err := io.ReadAll(r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.Equal(t, "con", string(content))
}

// TestExplain: what the operating system says becomes what the contract and the
// operator need.
func TestExplain(t *testing.T) {
	s := newStore(t, t.TempDir())
	unsynced := errors.Join(durable.ErrUnsynced, unix.ENOSPC)
	require.ErrorIs(t, s.explain(unsynced), blob.ErrUnknownOutcome)
	for errno, want := range map[unix.Errno]string{
		unix.ENOSPC: " is full: no space left on device",
		unix.EDQUOT: " is full: disk quota exceeded",
		unix.EROFS:  " is read-only: read-only file system",
		unix.EACCES: " may not be written: permission denied",
		unix.EPERM:  " may not be written: operation not permitted",
	} {
		err := s.explain(&fs.PathError{Op: "open", Path: "p", Err: errno})
		require.EqualError(t, err, "store "+s.path+want)
		require.ErrorIs(t, err, errno)
	}
	require.NoError(t, s.explain(nil))
}
