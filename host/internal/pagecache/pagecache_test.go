package pagecache

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// newFile writes a random file of size bytes.
func newFile(t *testing.T, size int) (path string, content []byte) {
	t.Helper()
	path, content = filepath.Join(t.TempDir(), "file"), make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path, content
}

// evict takes a file out of the page cache, or skips the test.
func evict(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.Sync())
	require.NoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
	if len(coldOf(t, path)) != 1 {
		t.Skip("this file system keeps its files in the page cache")
	}
}

// coldOf returns what of a file is not in the page cache.
func coldOf(t *testing.T, path string) []span {
	t.Helper()
	f, err := Open(path)
	require.NoError(t, err)
	cold := f.cold
	f.cold = nil
	require.NoError(t, f.Close())
	return cold
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	f, err := Open(path)
	require.NoError(t, err)
	content, err := io.ReadAll(f)
	require.NoError(t, err)
	require.EqualValues(t, len(content), f.Length())
	require.NoError(t, f.Close())
	return content
}

// TestLeftAsItWas reads a file some pages of which are cached.
func TestLeftAsItWas(t *testing.T) {
	path, content := newFile(t, 2*window+window/2+5)
	evict(t, path)
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_RANDOM)) // nothing is read ahead
	for _, at := range []int64{3 << 20, window - 4096, 2*window + 100} {
		_, err := f.ReadAt(make([]byte, 10), at)
		require.NoError(t, err)
	}
	before := coldOf(t, path)
	require.Len(t, before, 4)
	require.True(t, bytes.Equal(content, read(t, path)))
	require.Equal(t, before, coldOf(t, path))
}

// TestCachedStays reads files that are cached as a whole.
func TestCachedStays(t *testing.T) {
	for _, size := range []int{0, 1, 4096, window, window + 1} {
		path, content := newFile(t, size)
		require.True(t, bytes.Equal(content, read(t, path)))
		require.Empty(t, coldOf(t, path))
	}
}

// TestBrokenOff closes a file in the middle of a window.
func TestBrokenOff(t *testing.T) {
	path, _ := newFile(t, window)
	evict(t, path)
	f, err := Open(path)
	require.NoError(t, err)
	_, err = io.CopyN(io.Discard, f, window/2)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	require.Equal(t, []span{{0, window}}, coldOf(t, path))
}

func TestOpenAbsent(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
