package durable

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func randomBytes(n int) []byte {
	content := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	return content
}

// requireBody asserts that a file holds content.
func requireBody(t *testing.T, path string, content []byte) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(content, got), "%d bytes instead of %d", len(got), len(content))
}

// TestCreateFrom creates files that end everywhere about pieces and blocks, of
// readers that end in either way.
func TestCreateFrom(t *testing.T) {
	content := randomBytes(3*pieceSize + 1)
	for _, size := range []int{
		0, 1, alignment, pieceSize - 1, pieceSize, pieceSize + 1, pieceSize + alignment, 2*pieceSize - 1, 2 * pieceSize, 3*pieceSize + 1,
	} {
		for _, wrap := range []func(io.Reader) io.Reader{iotest.HalfReader, iotest.DataErrReader} {
			path := filepath.Join(t.TempDir(), "a")
			require.NoError(t, CreateFrom(path, 0o640, wrap(bytes.NewReader(content[:size]))))
			requireBody(t, path, content[:size])
			require.ErrorIs(t, CreateFrom(path, 0o640, bytes.NewReader(content)), fs.ErrExist)
		}
	}
}

// TestCreateFromBroken: no reader whose body is broken, wherever, leaves a file.
// One that ends unexpectedly is not taken for one that ends.
func TestCreateFromBroken(t *testing.T) {
	dir := t.TempDir()
	for _, size := range []int{0, 1, pieceSize, pieceSize + 1, 5 * pieceSize} {
		for _, broken := range []error{errors.New("broken"), io.ErrUnexpectedEOF} {
			r := io.MultiReader(bytes.NewReader(randomBytes(size)), iotest.ErrReader(broken))
			require.ErrorIs(t, CreateFrom(filepath.Join(dir, "a"), 0o644, r), broken)
			requireEntries(t, dir)
		}
	}
}

// countingReader counts its reads, without a lock.
type countingReader struct {
	io.Reader
	reads int
}

func (r *countingReader) Read(p []byte) (int, error) {
	r.reads++
	return r.Reader.Read(p)
}

// TestCreateFromFull runs out of space in the middle of a body. Nobody reads on.
func TestCreateFromFull(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=3m"); err != nil {
		t.Skipf("no small file system to fill: mount tmpfs: %v", err)
	}
	defer func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) }()
	endless := &countingReader{Reader: rand.NewChaCha8([32]byte{})}
	require.ErrorIs(t, CreateFrom(filepath.Join(dir, "a"), 0o644, endless), unix.ENOSPC)
	require.LessOrEqual(t, endless.reads, 3+2, "the piece that failed, and the one that was read ahead")
	requireEntries(t, dir)
}

// TestMisaligned: memory, or a file system, with which direct writes do not go.
func TestMisaligned(t *testing.T) {
	path, content := filepath.Join(t.TempDir(), "a"), randomBytes(2*alignment+7)
	f, err := os.Create(path)
	require.NoError(t, err)
	b := &body{file: f, direct: setDirect(f, true) == nil}
	require.NoError(t, b.append(content[:alignment]))
	odd := append(make([]byte, 1, 3*alignment), content[alignment:]...)[1:]
	require.NoError(t, b.append(odd))
	require.False(t, b.direct)
	require.NoError(t, f.Close())
	requireBody(t, path, content)
}

// TestPastTheCache asks the kernel what of a file it holds in its page cache: no
// more than the last block, where that may be asked.
func TestPastTheCache(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	require.NoError(t, CreateFrom(path, 0o644, bytes.NewReader(randomBytes(8*pieceSize+5))))
	f, err := os.Open(path)
	require.NoError(t, err)
	defer f.Close()
	var found unix.Cachestat_t
	var at unix.Statfs_t
	require.NoError(t, unix.Fstatfs(int(f.Fd()), &at))
	err = unix.Cachestat(uint(f.Fd()), &unix.CachestatRange{Len: 9 * pieceSize}, &found, 0)
	if err != nil || at.Type == unix.TMPFS_MAGIC || setDirect(f, true) != nil {
		t.Skip("this kernel does not tell, or the file system lives in the page cache")
	}
	require.LessOrEqual(t, found.Cache, uint64(1))
}
