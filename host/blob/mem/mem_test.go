package mem_test

import (
	"bytes"
	"context"
	"hash/crc32"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/blobtest"
	"github.com/rocksnap/rocksnap/host/blob/mem"
)

func TestLaws(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store { return mem.New() })
}

func TestLawsBehindFaulty(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store {
		return blob.Faulty(mem.New(), func(blob.Call) blob.Fault { return blob.Fault{} })
	})
}

func TestClock(t *testing.T) {
	now := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	s := mem.New(mem.WithClock(func() time.Time { return now }))
	for _, name := range []string{"first", "second"} {
		require.NoError(t, s.Create(t.Context(), name, strings.NewReader("x")))
		info, err := s.Stat(t.Context(), name)
		require.NoError(t, err)
		require.Equal(t, now, info.Modified)
		now = now.Add(-time.Hour)
	}
}

func TestTellsChecksums(t *testing.T) {
	s := mem.New()
	for name, content := range map[string]string{"empty": "", "nine": "123456789"} {
		require.NoError(t, s.Create(t.Context(), name, strings.NewReader(content)))
		info, err := s.Stat(t.Context(), name)
		require.NoError(t, err)
		require.NotNil(t, info.CRC32C)
		require.Equal(t, crc32.Checksum([]byte(content), crc32.MakeTable(crc32.Castagnoli)), *info.CRC32C)
	}
	for info, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		require.Nil(t, info.CRC32C, "no list tells it, in any store")
	}
}

// TestContentIsItsOwn: neither who wrote the bytes nor who reads them can change
// the object by its buffer.
func TestContentIsItsOwn(t *testing.T) {
	s := mem.New()
	sent := []byte("content")
	require.NoError(t, s.Create(t.Context(), "a", bytes.NewReader(sent)))
	clear(sent)
	for range 2 {
		r, err := s.Open(t.Context(), "a", 0, -1)
		require.NoError(t, err)
		_, err = io.Copy(spoiler{t}, r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
	}
}

// spoiler overwrites what it is given.
type spoiler struct{ t *testing.T }

func (s spoiler) Write(p []byte) (int, error) {
	assert.Equal(s.t, "content", string(p))
	clear(p)
	return len(p), nil
}

// TestReaderOutlivesObject: what was opened can be read to its end.
func TestReaderOutlivesObject(t *testing.T) {
	s := mem.New()
	require.NoError(t, s.Create(t.Context(), "a", strings.NewReader("content")))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Open(ctx, "a", 0, -1)
	require.NoError(t, err)
	require.NoError(t, s.Delete(t.Context(), "a"))
	first := make([]byte, 3)
	_, err = io.ReadFull(r, first)
	require.NoError(t, err)
	require.Equal(t, "con", string(first))
	cancel()
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, context.Canceled)
}

// TestInBubble: creators that are slow by a fake clock, of whom one wins.
func TestInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, s := time.Now(), mem.New()
		errs := make([]error, 3)
		var done sync.WaitGroup
		for i := range errs {
			done.Go(func() { errs[i] = s.Create(t.Context(), "a", slow(time.Duration(i+1)*time.Hour)) })
		}
		done.Wait()
		require.NoError(t, errs[0])
		require.ErrorIs(t, errs[1], fs.ErrExist)
		require.ErrorIs(t, errs[2], fs.ErrExist)
		info, err := s.Stat(t.Context(), "a")
		require.NoError(t, err)
		require.Equal(t, begin.Add(time.Hour), info.Modified)
	})
}

// slow is a body that ends after a time.
type slow time.Duration

func (s slow) Read([]byte) (int, error) {
	time.Sleep(time.Duration(s))
	return 0, io.EOF
}
