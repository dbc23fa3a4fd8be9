package durable

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func write(content string) func(io.Writer) error {
	return func(w io.Writer) error { _, err := io.WriteString(w, content); return err }
}

func requireFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

// requireEntries asserts what is in a directory, hidden files included.
func requireEntries(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	require.Equal(t, want, got)
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	require.NoError(t, WriteFile(path, 0o640, write("first")))
	require.ErrorIs(t, WriteFile(path, 0o640, write("second")), fs.ErrExist)
	requireFile(t, path, "first")
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0o640), info.Mode())
	requireEntries(t, dir, "a")
}

func TestWriteFileFailing(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("broken")
	err := WriteFile(filepath.Join(dir, "a"), 0o644, func(w io.Writer) error {
		_, _ = io.WriteString(w, "half")
		requireHidden(t, dir)
		return broken
	})
	require.ErrorIs(t, err, broken)
	requireEntries(t, dir)
	require.ErrorIs(t, WriteFile(filepath.Join(dir, "x", "a"), 0o644, write("")), fs.ErrNotExist)
}

// requireHidden asserts that a file being written does not have its name yet.
func requireHidden(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, byte('.'), entries[0].Name()[0])
}

func TestWriteFileRace(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	var won, winner atomic.Int32
	var done sync.WaitGroup
	for i := range 16 {
		done.Go(func() {
			err := WriteFile(path, 0o644, write(string(rune('a'+i))))
			if err == nil {
				won.Add(1)
				winner.Store(int32(i))
				return
			}
			assert.ErrorIs(t, err, fs.ErrExist)
		})
	}
	done.Wait()
	require.EqualValues(t, 1, won.Load())
	requireFile(t, path, string(rune('a'+winner.Load())))
	requireEntries(t, dir, "a")
}

func TestCreateFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	require.NoError(t, CreateFile(path, 0o644, write("first")))
	require.ErrorIs(t, CreateFile(path, 0o644, write("second")), fs.ErrExist)
	requireFile(t, path, "first")
	broken := errors.New("broken")
	require.ErrorIs(t, CreateFile(filepath.Join(dir, "b"), 0o644, func(io.Writer) error { return broken }), broken)
	requireEntries(t, dir, "a")
	require.NoError(t, SyncDir(dir))
}

func TestPublish(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	require.NoError(t, CreateFile(from, 0o644, write("first")))
	require.NoError(t, Publish(from, to))
	requireEntries(t, dir, "to")

	require.NoError(t, CreateFile(from, 0o644, write("second")))
	require.ErrorIs(t, Publish(from, to), fs.ErrExist)
	requireFile(t, from, "second")
	requireFile(t, to, "first")

	require.ErrorIs(t, Publish(from, filepath.Join(dir, "x", "to")), fs.ErrNotExist)
	require.ErrorIs(t, Publish(filepath.Join(dir, "gone"), filepath.Join(dir, "new")), fs.ErrNotExist)
}

// TestPublishRepeated: the link was made, and then the answer or the process was
// lost.
func TestPublishRepeated(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	require.NoError(t, CreateFile(from, 0o644, write("content")))
	require.NoError(t, os.Link(from, to))
	require.NoError(t, Publish(from, to))
	requireEntries(t, dir, "to")
}

type failingDir struct{ syncs int }

func (*failingDir) Name() string  { return "failing" }
func (d *failingDir) Sync() error { d.syncs++; return unix.EIO }

// TestPublishUnsynced: an fsync that fails is told and not tried again.
func TestPublishUnsynced(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	require.NoError(t, CreateFile(from, 0o644, write("content")))
	var failing failingDir
	err := publish(&failing, from, to)
	require.ErrorIs(t, err, ErrUnsynced)
	require.ErrorIs(t, err, unix.EIO)
	require.Equal(t, 1, failing.syncs)
	requireFile(t, to, "content")
}

func TestRenameExclusive(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	require.NoError(t, os.WriteFile(from, []byte("first"), 0o644))
	require.NoError(t, renameExclusive(from, to))
	requireEntries(t, dir, "to")
	require.NoError(t, os.WriteFile(from, []byte("second"), 0o644))
	require.ErrorIs(t, renameExclusive(from, to), fs.ErrExist)
	requireFile(t, to, "first")
}

func TestRename(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "a", "from"), filepath.Join(dir, "b", "to")
	require.NoError(t, MkdirAll(from, 0o755))
	require.NoError(t, MkdirAll(to, 0o755))
	require.NoError(t, CreateFile(filepath.Join(from, "f"), 0o644, write("content")))
	require.NoError(t, Rename(from, to), "an empty directory is replaced")
	requireFile(t, filepath.Join(to, "f"), "content")
	requireEntries(t, filepath.Join(dir, "a"))

	require.NoError(t, MkdirAll(from, 0o755))
	require.Error(t, Rename(from, to), "a full one is not")
	requireFile(t, filepath.Join(to, "f"), "content")
	require.ErrorIs(t, Rename(from, filepath.Join(dir, "x", "to")), fs.ErrNotExist)
}

func TestMkdirAll(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b", "c")
	require.NoError(t, MkdirAll(deep, 0o755))
	require.NoError(t, MkdirAll(deep, 0o755))
	require.DirExists(t, deep)
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o644))
	require.ErrorIs(t, MkdirAll(file, 0o755), unix.ENOTDIR)
	require.ErrorIs(t, MkdirAll(filepath.Join(file, "a"), 0o755), unix.ENOTDIR)
}

func TestSyncDirAbsent(t *testing.T) {
	require.ErrorIs(t, SyncDir(filepath.Join(t.TempDir(), "absent")), fs.ErrNotExist)
}
