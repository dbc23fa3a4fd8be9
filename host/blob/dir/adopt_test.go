package dir

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

// TestAdopt takes a file in, under a name that is free and under one that is not.
func TestAdopt(t *testing.T) {
	s, ctx := newWith(t, "a/1"), context.Background()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte("content"), 0o600))
	synced := watchSyncs(t, s, "nothing")
	below := blob.Limit(blob.Prefix(s, "a/"), blob.Limits{Requests: 1})
	require.NoError(t, blob.Adopt(ctx, below, "2", file))
	require.Equal(t, []string{"a"}, *synced)
	require.ErrorIs(t, blob.Adopt(ctx, s, "a/1", file), fs.ErrExist)
	require.ErrorIs(t, blob.Adopt(ctx, s, "a/3", file+"-absent"), fs.ErrNotExist)
	require.ErrorIs(t, blob.Adopt(ctx, s, "../a", file), blob.ErrName)
	requireNames(t, s, "a/1", "a/2")
	require.NoError(t, s.Delete(ctx, "a/2"))
	require.FileExists(t, file)
}

// TestAdoptUnsynced: whether the object outlives a power cut is unknown.
func TestAdoptUnsynced(t *testing.T) {
	s := newWith(t, "a/1")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	watchSyncs(t, s, "a")
	require.ErrorIs(t, s.Adopt(context.Background(), "a/2", file), blob.ErrUnknownOutcome)
}
