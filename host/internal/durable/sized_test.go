package durable_test

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// TestCreateSized: a file has the bytes that came, however many were announced.
func TestCreateSized(t *testing.T) {
	content := make([]byte, 5<<19+7)
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	for _, size := range []int{0, 100, 1 << 20, len(content)} {
		for _, announced := range []int64{0, int64(size), 4 << 20} {
			t.Run(fmt.Sprintf("%d of %d", size, announced), func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "file")
				require.NoError(t, durable.CreateSized(path, 0o640, announced, bytes.NewReader(content[:size])))
				found, err := os.ReadFile(path)
				require.NoError(t, err)
				assert.True(t, bytes.Equal(content[:size], found))
				require.ErrorIs(t, durable.CreateSized(path, 0o640, announced, bytes.NewReader(content)), fs.ErrExist)
				found, err = os.ReadFile(path)
				require.NoError(t, err)
				assert.Len(t, found, size)
			})
		}
	}
}

// TestCreateSizedFails and leaves nothing, be it at the reader or for want of room.
func TestCreateSizedFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	cut := io.MultiReader(bytes.NewReader(make([]byte, 3<<20)), iotest.ErrReader(io.ErrNoProgress))
	require.ErrorIs(t, durable.CreateSized(path, 0o640, 4<<20, cut), io.ErrNoProgress)
	assert.NoFileExists(t, path)
	var disk unix.Statfs_t
	require.NoError(t, unix.Statfs(filepath.Dir(path), &disk))
	err := durable.CreateSized(path, 0o640, int64(disk.Blocks)*disk.Bsize, bytes.NewReader(nil))
	if err != nil { // a file system that can reserve
		require.ErrorIs(t, err, unix.ENOSPC)
		assert.NoFileExists(t, path)
	}
}
