package blobtest

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

var readLaws = []law{
	{"open ranges", openRanges},
	{"open ranges of a large object", openLargeRanges},
	{"open what is absent", openAbsent},
	{"close without reading", openClose},
	{"concurrent readers", openConcurrently},
	{"stat", stat},
	{"stat tells the truth about checksums", statChecksum},
}

func openRanges(t *testing.T, s blob.Store) {
	put(t, s, "ten", "0123456789")
	put(t, s, "none", "")
	for _, test := range []struct {
		name           string
		offset, length int64
		want           string
		err            error
	}{
		{"ten", 0, -1, "0123456789", nil},
		{"ten", 0, 10, "0123456789", nil},
		{"ten", 0, 1, "0", nil},
		{"ten", 3, 4, "3456", nil},
		{"ten", 3, -1, "3456789", nil},
		{"ten", 9, 1, "9", nil},
		{"ten", 9, -1, "9", nil},
		{"ten", 0, 0, "", nil},
		{"ten", 5, 0, "", nil},
		{"ten", 10, 0, "", nil},
		{"ten", 10, -1, "", nil},
		{"ten", 0, 11, "0123456789", io.ErrUnexpectedEOF},
		{"ten", 8, 5, "89", io.ErrUnexpectedEOF},
		{"ten", 10, 1, "", io.ErrUnexpectedEOF},
		{"ten", 11, 1, "", io.ErrUnexpectedEOF},
		{"ten", 11, -1, "", io.ErrUnexpectedEOF},
		{"ten", 11, 0, "", io.ErrUnexpectedEOF},
		{"ten", 5, math.MaxInt64, "56789", io.ErrUnexpectedEOF},
		{"ten", math.MaxInt64, math.MaxInt64, "", io.ErrUnexpectedEOF},
		{"ten", -1, 1, "", fs.ErrInvalid},
		{"ten", 0, -2, "", fs.ErrInvalid},
		{"none", 0, -1, "", nil},
		{"none", 0, 0, "", nil},
		{"none", 0, 1, "", io.ErrUnexpectedEOF},
		{"none", 1, -1, "", io.ErrUnexpectedEOF},
	} {
		got, err := get(s, test.name, test.offset, test.length)
		what := fmt.Sprintf("%s from %d, length %d", test.name, test.offset, test.length)
		assert.Equal(t, test.want, got, what)
		if test.err == nil {
			assert.NoError(t, err, what)
			continue
		}
		assert.ErrorIs(t, err, test.err, what)
	}
}

// openLargeRanges reads across the borders of buffers.
func openLargeRanges(t *testing.T, s blob.Store) {
	random := make([]byte, 3_200_000)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(random) // never fails
	content := string(random)
	put(t, s, "large", content)
	for _, offset := range []int{0, 1, 1<<20 - 1, 1 << 20, 3_000_000} {
		for _, length := range []int{1, 100_000, 1<<20 + 3} {
			want := content[offset:min(offset+length, len(content))]
			got, err := get(s, "large", int64(offset), int64(length))
			require.True(t, got == want, "from %d, length %d: got %d bytes", offset, length, len(got))
			if len(want) == length {
				require.NoError(t, err)
				continue
			}
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	}
}

func openAbsent(t *testing.T, s blob.Store) {
	put(t, s, "a/b/c", "x")
	for _, name := range []string{"b", "a/c", "a/b/d", "x/y/z", "a", "a/b", "a/b/c/d"} {
		_, err := get(s, name, 0, -1)
		assert.ErrorIs(t, err, fs.ErrNotExist, name)
		_, err = get(s, name, 5, 0)
		assert.ErrorIs(t, err, fs.ErrNotExist, name)
	}
}

func openClose(t *testing.T, s blob.Store) {
	put(t, s, "a", strings.Repeat("x", 2<<20))
	for range 100 { // more than any pool of connections would forgive
		r, err := s.Open(context.Background(), "a", 0, -1)
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
}

func openConcurrently(t *testing.T, s blob.Store) {
	content := strings.Repeat("0123456789", 50_000)
	put(t, s, "shared", content)
	var done sync.WaitGroup
	for i := range 16 {
		done.Go(func() {
			offset := int64(i * 1000)
			got, err := get(s, "shared", offset, 300_000)
			assert.NoError(t, err)
			assert.True(t, got == content[offset:offset+300_000], "reader %d", i)
		})
	}
	done.Wait()
}

func stat(t *testing.T, s blob.Store) {
	ctx := context.Background()
	put(t, s, "a/b", "12345")
	info, err := s.Stat(ctx, "a/b")
	require.NoError(t, err)
	assert.Equal(t, "a/b", info.Name)
	assert.EqualValues(t, 5, info.Size)
	assert.False(t, info.Modified.IsZero())
	for listed, err := range s.List(ctx, "", "") {
		require.NoError(t, err)
		assert.Equal(t, info.Name, listed.Name)
		assert.Equal(t, info.Size, listed.Size)
		assert.WithinDuration(t, info.Modified, listed.Modified, 1e9) // headers tell whole seconds
	}
	for _, name := range []string{"a", "a/c", "a/b/c", "b/c"} {
		_, err = s.Stat(ctx, name)
		assert.ErrorIs(t, err, fs.ErrNotExist, name)
	}
}

func statChecksum(t *testing.T, s blob.Store) {
	for name, content := range map[string]string{
		"empty": "", "one": "\x00", "nine": "123456789", "many": strings.Repeat("many", 500_000),
	} {
		put(t, s, name, content)
		requireChecksum(t, s, name, crc32.Checksum([]byte(content), castagnoli))
	}
}
