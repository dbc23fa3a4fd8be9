package blob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/mem"
)

// slow is a store that works for a second on each call, and on each Read of a
// body, and knows how many it works on.
type slow struct {
	blob.Store
	now, most atomic.Int64
}

func (s *slow) work() {
	now := s.now.Add(1)
	for most := s.most.Load(); now > most && !s.most.CompareAndSwap(most, now); most = s.most.Load() {
	}
	time.Sleep(time.Second)
	s.now.Add(-1)
}

func (s *slow) Create(ctx context.Context, name string, r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.work()
	return s.Store.Create(ctx, name, strings.NewReader(string(content)))
}

func (s *slow) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	s.work()
	r, err := s.Store.Open(ctx, name, offset, length)
	return slowBody{r, s}, err
}

func (s *slow) Stat(ctx context.Context, name string) (blob.Info, error) {
	s.work()
	return s.Store.Stat(ctx, name)
}

func (s *slow) Delete(ctx context.Context, names ...string) error {
	s.work()
	return s.Store.Delete(ctx, names...)
}

func (s *slow) Tidy(ctx context.Context, before time.Time) (blob.Tidied, error) {
	s.work()
	return s.Store.Tidy(ctx, before)
}

type slowBody struct {
	io.ReadCloser
	s *slow
}

func (b slowBody) Read(p []byte) (int, error) {
	b.s.work()
	return b.ReadCloser.Read(p)
}

// TestRequests: of six calls at once two run at a time.
func TestRequests(t *testing.T) {
	for _, test := range []struct {
		name string
		call func(ctx context.Context, s blob.Store, i int) error
		took time.Duration
	}{
		{"create", func(ctx context.Context, s blob.Store, i int) error {
			return s.Create(ctx, fmt.Sprint(i), strings.NewReader("x"))
		}, 3 * time.Second},
		{"open and read", func(ctx context.Context, s blob.Store, _ int) error {
			return read(ctx, s, "old", whole) // a second each for the call, a byte and the end
		}, 9 * time.Second},
		{"stat", func(ctx context.Context, s blob.Store, _ int) error {
			_, err := s.Stat(ctx, "old")
			return err
		}, 3 * time.Second},
		{"delete", func(ctx context.Context, s blob.Store, _ int) error {
			return s.Delete(ctx, "absent")
		}, 3 * time.Second},
		{"tidy", func(ctx context.Context, s blob.Store, _ int) error {
			_, err := s.Tidy(ctx, time.Now())
			return err
		}, 3 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := &slow{Store: mem.New()}
				require.NoError(t, put(inner.Store, "old", "x"))
				s := blob.Limit(inner, blob.Limits{Requests: 2})
				requireTook(t, test.took, func() {
					atOnce(t, 6, func(i int) error { return test.call(t.Context(), s, i) })
				})
				require.EqualValues(t, 2, inner.most.Load())
			})
		})
	}
}

// TestRequestsCancelled: who waits for room hears of the end of its context.
func TestRequestsCancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := blob.Limit(&slow{Store: mem.New()}, blob.Limits{Requests: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var first sync.WaitGroup
		first.Go(func() { assert.NoError(t, s.Delete(t.Context(), "a")) })
		synctest.Wait()
		requireTook(t, 500*time.Millisecond, func() { atOnce(t, 5, func(i int) error { return expectDeadline(ctx, s, i) }) })
		first.Wait()
		requireTook(t, time.Second, func() { require.NoError(t, s.Delete(t.Context(), "a")) })
	})
}

// TestRequestsAbandoned: who gives up waiting neither lets another in nor keeps a
// place.
func TestRequestsAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &slow{Store: mem.New()}
		s := blob.Limit(inner, blob.Limits{Requests: 1})
		var calls sync.WaitGroup
		begin := func(ctx context.Context, want error) {
			calls.Go(func() { assert.ErrorIs(t, s.Delete(ctx, "a"), want) })
			synctest.Wait()
		}
		soon, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		requireTook(t, 2*time.Second, func() {
			begin(t.Context(), nil)
			begin(t.Context(), nil)
			begin(soon, context.DeadlineExceeded)
			calls.Wait()
		})
		for range 50 { // its turn and its end have both come, and either may be seen
			_, err := s.Stat(soon, "a")
			require.Error(t, err)
		}
		requireTook(t, 3*time.Second, func() { atOnce(t, 3, func(int) error { return s.Delete(t.Context(), "a") }) })
		require.EqualValues(t, 1, inner.most.Load())
	})
}

// keeper is a store that keeps the reader of a Create.
type keeper struct {
	blob.Store
	kept io.Reader
}

func (s *keeper) Create(_ context.Context, _ string, r io.Reader) error {
	s.kept = r
	return nil
}

// TestRequestsReadOn: a store that reads on after a Create needs no room.
func TestRequestsReadOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &keeper{Store: mem.New()}
		s := blob.Limit(inner, blob.Limits{Requests: 1})
		require.NoError(t, put(s, "a", "content"))
		content, err := io.ReadAll(inner.kept)
		require.NoError(t, err)
		require.Equal(t, "content", string(content))
		require.NoError(t, s.Delete(t.Context(), "a"))
	})
}

// expectDeadline makes one of several calls, and fails unless it is too late.
func expectDeadline(ctx context.Context, s blob.Store, i int) (err error) {
	switch i {
	case 0:
		err = s.Create(ctx, "new", strings.NewReader("x"))
	case 1:
		_, err = s.Open(ctx, "a", 0, -1)
	case 2:
		_, err = s.Stat(ctx, "a")
	case 3:
		for _, failed := range s.List(ctx, "", "") {
			err = failed
		}
	case 4:
		_, err = s.Tidy(ctx, time.Now())
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("call %d: %w", i, errors.Join(err, errors.New("not the deadline")))
	}
	return nil
}

// TestRequestsNeverWaitForThemselves: with room for a single request, callers who
// need another one to go on. A deadlock ends the bubble.
func TestRequestsNeverWaitForThemselves(t *testing.T) {
	for name, test := range map[string]func(t *testing.T, s blob.Store){
		"open within a list": func(t *testing.T, s blob.Store) {
			for info, err := range s.List(t.Context(), "", "") {
				require.NoError(t, err)
				_, err = get(s, info.Name)
				require.NoError(t, err)
			}
		},
		"many open bodies": func(t *testing.T, s blob.Store) {
			for range 5 {
				r, err := s.Open(t.Context(), "a", 0, -1)
				require.NoError(t, err)
				defer r.Close()
			}
		},
		"create from an open body": func(t *testing.T, s blob.Store) {
			r, err := s.Open(t.Context(), "a", 0, -1)
			require.NoError(t, err)
			defer r.Close()
			require.NoError(t, s.Create(t.Context(), "copy", r))
		},
		"create from what is opened late": func(t *testing.T, s blob.Store) {
			require.NoError(t, s.Create(t.Context(), "copy", &late{t.Context(), s, nil}))
		},
		"streams that are written in turn": func(t *testing.T, s blob.Store) {
			writeInTurn(t, s, 5)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := mem.New()
				for _, name := range []string{"a", "b", "c"} {
					require.NoError(t, put(inner, name, "content"))
				}
				test(t, blob.Limit(inner, blob.Limits{Requests: 1}))
			})
		})
	}
}

// late opens object a of a store when it is first read.
type late struct {
	ctx  context.Context
	s    blob.Store
	body io.ReadCloser
}

func (l *late) Read(p []byte) (n int, err error) {
	if l.body == nil {
		if l.body, err = l.s.Open(l.ctx, "a", 0, -1); err != nil {
			return 0, err
		}
	}
	return l.body.Read(p)
}

// writeInTurn writes several objects at the same time, piece by piece.
func writeInTurn(t *testing.T, s blob.Store, streams int) {
	t.Helper()
	var creators sync.WaitGroup
	writers := make([]*io.PipeWriter, streams)
	for i := range writers {
		r, w := io.Pipe()
		writers[i] = w
		creators.Go(func() { assert.NoError(t, s.Create(t.Context(), fmt.Sprint("stream", i), r)) })
	}
	for range 3 {
		for _, w := range writers {
			_, err := io.WriteString(w, "piece")
			require.NoError(t, err)
		}
	}
	for _, w := range writers {
		require.NoError(t, w.Close())
	}
	creators.Wait()
}

// TestRequestsComeBack: what gave its room up goes on at once, and new calls wait
// until the limit is kept again.
func TestRequestsComeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inner := &slow{Store: mem.New()}
		require.NoError(t, put(inner.Store, "a", "x"))
		s := blob.Limit(inner, blob.Limits{Requests: 1})
		r, err := s.Open(t.Context(), "a", 0, -1)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		var others sync.WaitGroup
		others.Go(func() { assert.NoError(t, s.Delete(t.Context(), "b")) })
		synctest.Wait()
		requireTook(t, time.Second, func() { _, err = r.Read(make([]byte, 1)) })
		require.NoError(t, err)
		others.Wait()
		require.EqualValues(t, 2, inner.most.Load())
		requireTook(t, 2010*time.Millisecond, func() {
			others.Go(func() {
				_, err := r.Read(make([]byte, 1))
				assert.ErrorIs(t, err, io.EOF)
			})
			synctest.Wait()
			require.NoError(t, s.Delete(t.Context(), "b"))
		})
		others.Wait()
		require.NoError(t, r.Close())
		requireTook(t, time.Second, func() { require.NoError(t, s.Delete(t.Context(), "b")) })
	})
}
