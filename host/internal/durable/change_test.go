package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

var errStopped = errors.New("stopped")

// observe returns the changes that fn makes, with paths below dir.
func observe(t *testing.T, dir string, fn func()) (ops []Op) {
	t.Helper()
	restore := Intercept(func(op Op, change func() error) error {
		name, err := filepath.Rel(dir, op.Path)
		require.NoError(t, err)
		ops = append(ops, Op{op.Verb, name})
		return change()
	})
	defer restore()
	fn()
	return ops
}

func TestIntercept(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	require.Equal(t, []Op{{"create", "a"}, {"write", "a"}, {"sync", "a"}}, observe(t, dir, func() {
		require.NoError(t, CreateFile(path, 0o644, write("content")))
	}))
	require.Equal(t, []Op{{"link", "b"}, {"remove", "a"}, {"sync", "."}}, observe(t, dir, func() {
		require.NoError(t, Publish(path, filepath.Join(dir, "b")))
	}))
	require.Equal(t, []Op{{"mkdir", "c"}, {"sync", "."}, {"mkdir", "c/d"}, {"sync", "c"}}, observe(t, dir, func() {
		require.NoError(t, MkdirAll(filepath.Join(dir, "c", "d"), 0o755))
	}))
	require.Equal(t, []Op{{"rename", "c/e"}, {"sync", "c"}, {"sync", "."}}, observe(t, dir, func() {
		require.NoError(t, Rename(filepath.Join(dir, "b"), filepath.Join(dir, "c", "e")))
	}))
	require.Equal(t, []Op{{"rename", "f"}, {"link", "g"}, {"mkdir", "h"}, {"remove", "h"}, {"remove", "c"}}, observe(t, dir, func() {
		require.NoError(t, Move(filepath.Join(dir, "c", "e"), filepath.Join(dir, "f")))
		require.NoError(t, Link(filepath.Join(dir, "f"), filepath.Join(dir, "g")))
		require.NoError(t, Mkdir(filepath.Join(dir, "h"), 0o755))
		require.NoError(t, Remove(filepath.Join(dir, "h")))
		require.NoError(t, RemoveAll(filepath.Join(dir, "c")))
	}))
	requireEntries(t, dir, "f", "g")
}

// TestStopped stops WriteFile before each of its changes, clean-up included: the
// name is there with all of the content, or not at all.
func TestStopped(t *testing.T) {
	whole := 0
	for at := 1; ; at++ {
		dir := t.TempDir()
		path := filepath.Join(dir, "a")
		count := 0
		restore := Intercept(func(_ Op, change func() error) error {
			if count++; count >= at {
				return errStopped
			}
			return change()
		})
		err := WriteFile(path, 0o644, write("content"))
		restore()
		if err == nil && count < at {
			require.Equal(t, 7, at, "create, write, sync, link, remove, sync")
			requireFile(t, path, "content")
			break
		}
		if _, missing := os.Lstat(path); missing == nil {
			whole++
			requireFile(t, path, "content")
			require.True(t, err == nil || errors.Is(err, ErrUnsynced), err)
		} else {
			require.ErrorIs(t, err, errStopped)
		}
	}
	require.Equal(t, 2, whole, "before the first name goes, and before the directory is synced")
}

// TestPublishLost: a link whose answer is an error is there all the same.
func TestPublishLost(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	require.NoError(t, CreateFile(from, 0o644, write("content")))
	defer Intercept(func(op Op, change func() error) error {
		err := change()
		if op.Verb == "link" {
			require.NoError(t, err)
			return errStopped
		}
		return err
	})()
	require.NoError(t, Publish(from, to))
	requireFile(t, to, "content")
	_, err := os.Lstat(from)
	require.ErrorIs(t, err, fs.ErrNotExist)
}
