package blob_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/blobtest"
	"github.com/rocksnap/rocksnap/host/blob/mem"
)

func TestLimitLaws(t *testing.T) {
	for name, limits := range map[string]blob.Limits{
		"none": {},
		"all":  {Upload: 1 << 32, Download: 1 << 32, Requests: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			blobtest.Run(t, func(*testing.T) blob.Store { return blob.Limit(mem.New(), limits) })
		})
	}
}

// requireTook asserts how long f takes by the clock of a bubble, but for the
// nanoseconds to which rates are rounded.
func requireTook(t *testing.T, want time.Duration, f func()) {
	t.Helper()
	start := time.Now()
	f()
	require.InDelta(t, want.Seconds(), time.Since(start).Seconds(), 1e-5)
}

// atOnce makes n calls at the same time, which all succeed.
func atOnce(t *testing.T, n int, call func(i int) error) {
	t.Helper()
	var done sync.WaitGroup
	for i := range n {
		done.Go(func() { assert.NoError(t, call(i)) })
	}
	done.Wait()
}

// TestBandwidth: the first tenth of a second's bytes are free and all others take
// their time, whatever the size of the reads and however many share it.
func TestBandwidth(t *testing.T) {
	for name, reader := range map[string]func(io.Reader) io.Reader{
		"small reads": iotest.OneByteReader,
		"large reads": whole,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := blob.Limit(mem.New(), blob.Limits{Upload: 1000, Download: 2000})
				body := strings.Repeat("x", 5000)
				requireTook(t, 9900*time.Millisecond, func() {
					atOnce(t, 2, func(i int) error {
						return s.Create(t.Context(), fmt.Sprint(i), reader(strings.NewReader(body)))
					})
				})
				requireTook(t, 4900*time.Millisecond, func() {
					atOnce(t, 2, func(i int) error { return read(t.Context(), s, fmt.Sprint(i), reader) })
				})
			})
		})
	}
}

// whole reads as it is asked to.
func whole(r io.Reader) io.Reader { return r }

// read reads an object to its end, as reader does.
func read(ctx context.Context, s blob.Store, name string, reader func(io.Reader) io.Reader) error {
	r, err := s.Open(ctx, name, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, reader(r))
	return err
}

// TestBandwidthIsSmooth: no second sees more than its bytes, but for the first
// tenth.
func TestBandwidthIsSmooth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		require.NoError(t, put(inner, "a", strings.Repeat("x", 100_000)))
		r, err := blob.Limit(inner, blob.Limits{Download: 10_000}).Open(t.Context(), "a", 0, -1)
		require.NoError(t, err)
		start, buf, got := time.Now(), make([]byte, 1<<20), 0
		for got < 100_000 {
			n, err := r.Read(buf)
			require.NoError(t, err)
			got += n
			require.LessOrEqual(t, n, 1000)
			require.LessOrEqual(t, float64(got), 1001+10_000*time.Since(start).Seconds())
		}
	})
}

func TestBandwidthCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := mem.New()
		require.NoError(t, put(inner, "old", strings.Repeat("x", 1000)))
		s := blob.Limit(inner, blob.Limits{Upload: 1, Download: 1})
		requireTook(t, 10500*time.Millisecond, func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10500*time.Millisecond)
			defer cancel()
			var done sync.WaitGroup
			done.Go(func() {
				assert.ErrorIs(t, s.Create(ctx, "new", strings.NewReader(strings.Repeat("x", 1000))), context.DeadlineExceeded)
			})
			assert.ErrorIs(t, read(ctx, s, "old", whole), context.DeadlineExceeded)
			done.Wait()
		})
		left, err := names(inner)
		require.NoError(t, err)
		require.Equal(t, []string{"old"}, left)
	})
}
