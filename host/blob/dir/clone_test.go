package dir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

// TestClone copies a file without moving its bytes, or leaves no trace where the file
// system cannot do that, and does not ask it again.
func TestClone(t *testing.T) {
	s, ctx := newWith(t, "a/1"), context.Background()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("content"), 0o600))
	below := blob.Limit(blob.Prefix(s, "a/"), blob.Limits{Requests: 1})
	err := blob.Clone(ctx, below, "2", file)
	left, readErr := os.ReadDir(filepath.Join(s.path, tmpDir))
	require.NoError(t, readErr)
	require.Empty(t, left)
	if errors.Is(err, errors.ErrUnsupported) {
		requireNames(t, s, "a/1")
		require.ErrorIs(t, blob.Clone(ctx, below, "2", file+"-absent"), errors.ErrUnsupported)
		return
	}
	require.NoError(t, err)
	requireNames(t, s, "a/1", "a/2")
	require.ErrorIs(t, s.Clone(ctx, "a/1", file), fs.ErrExist)
	require.ErrorIs(t, s.Clone(ctx, "a/3", file+"-absent"), fs.ErrNotExist)
}
