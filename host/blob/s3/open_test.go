package s3_test

import (
	"context"
	"io"
	"io/fs"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob/s3"
)

// TestReadsAreFew: a small object takes one request, a large one a few, which run
// at the same time.
func TestReadsAreFew(t *testing.T) {
	s, p, _ := behind(t)
	small, large := random(1, 1<<20), random(2, 1<<20+3*s3.ChunkSize)
	require.NoError(t, put(t.Context(), s, "small", small))
	require.NoError(t, put(t.Context(), s, "large", large))
	p.do(func(string) fault { return pass })
	requireBytes(t, small, get(t, s, "small"))
	require.Equal(t, []string{"get"}, p.ops())
	requireBytes(t, large, get(t, s, "large"))
	require.Equal(t, []string{"get", "get", "get", "get", "get"}, p.ops())
	r, err := s.Open(t.Context(), "large", 3, 100)
	require.NoError(t, err)
	defer r.Close()
	require.Equal(t, "bytes=3-102", p.seen[5].header.Get("Range"))
}

// TestReadersGiveBack the memory that they had, wherever they end.
func TestReadersGiveBack(t *testing.T) {
	s, p, _ := behind(t)
	large := random(2, 1<<20+3*s3.ChunkSize)
	require.NoError(t, put(t.Context(), s, "large", large))
	for range 20 {
		r, err := s.Open(t.Context(), "large", 0, -1)
		require.NoError(t, err)
		_, err = io.CopyN(io.Discard, r, 3<<20)
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
	p.do(func(string) fault { return pass })
	requireBytes(t, large, get(t, s, "large"))
	require.Equal(t, 4, p.count("get"), "a reader without memory asks for 1 MiB at a time")
}

func requireBytes(t *testing.T, want, got string) {
	t.Helper()
	require.True(t, want == got, "got %d bytes, want %d", len(got), len(want))
}

// TestCutBodies cuts bodies again and again; no byte is asked for twice.
func TestCutBodies(t *testing.T) {
	s, p, _ := behind(t)
	large := random(2, 3*partSize)
	require.NoError(t, put(t.Context(), s, "large", large))
	p.do(first("get", cut, cut, cut, drop, cut, refuse(500, "InternalError"), pass, cut))
	requireBytes(t, large, get(t, s, "large"))
	require.Equal(t, "bytes=524288-1048575", p.seen[1].header.Get("Range"))
	require.NotEmpty(t, p.seen[1].header.Get("If-Match"))
}

func TestReadGivesUp(t *testing.T) {
	s, p, _ := behind(t)
	require.NoError(t, put(t.Context(), s, "large", random(2, 3*partSize)))
	r, err := s.Open(t.Context(), "large", 0, -1)
	require.NoError(t, err)
	defer r.Close()
	p.do(always(drop, "get"))
	_, err = io.ReadAll(r)
	require.ErrorContains(t, err, "read large: endpoint "+p.URL+" cannot be reached: EOF")
	_, again := r.Read(make([]byte, 1))
	require.Error(t, again)
	require.GreaterOrEqual(t, p.count("get"), 10)
}

// TestReadAnotherObject: what was deleted and created again is not mixed.
func TestReadAnotherObject(t *testing.T) {
	s, _, _ := behind(t)
	require.NoError(t, put(t.Context(), s, "large", random(1, 3*partSize)))
	r, err := s.Open(t.Context(), "large", 0, -1)
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, s.Delete(t.Context(), "large"))
	require.NoError(t, put(t.Context(), s, "large", random(2, 3*partSize)))
	_, err = io.ReadAll(r)
	require.ErrorContains(t, err, "412")
	r, err = s.Open(t.Context(), "large", 0, -1)
	require.NoError(t, err)
	defer r.Close()
	require.NoError(t, s.Delete(t.Context(), "large"))
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestReadCancelled(t *testing.T) {
	s, p, _ := behind(t)
	require.NoError(t, put(t.Context(), s, "large", random(1, 3*partSize)))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Open(ctx, "large", 0, -1)
	require.NoError(t, err)
	p.do(func(op string) fault {
		cancel()
		return stall
	})
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	_, err = r.Read(make([]byte, 1))
	require.Error(t, err)
}

// TestDamagedRead: a whole object whose bytes do not match the server's checksum
// is asked for again.
func TestDamagedRead(t *testing.T) {
	s, p, _ := behind(t)
	require.NoError(t, put(t.Context(), s, "a", "content"))
	lies := 1
	p.change(func(r *http.Response) {
		if lies--; lies == 0 && assert.NotEmpty(t, r.Header.Get("X-Amz-Checksum-Crc32c")) {
			r.Header.Set("X-Amz-Checksum-Crc32c", "AAAAAA==")
		}
	})
	p.do(func(string) fault { return pass })
	require.Equal(t, "content", get(t, s, "a"))
	require.Equal(t, []string{"get", "get"}, p.ops())
}

// TestServerWithoutRanges is refused where it matters, and at once.
func TestServerWithoutRanges(t *testing.T) {
	s, p, _ := behind(t)
	require.NoError(t, put(t.Context(), s, "a", "content"))
	p.change(func(r *http.Response) {
		r.StatusCode = http.StatusOK
		r.Header.Del("Content-Range")
	})
	require.Equal(t, "content", get(t, s, "a"))
	p.do(func(string) fault { return pass })
	_, err := s.Open(t.Context(), "a", 3, -1)
	require.ErrorContains(t, err, "the server does not honour ranges")
	require.Equal(t, 1, p.count("get"))
}
