package s3_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob/s3"
)

const (
	envChild = "ROCKSNAP_TEST_ENDPOINT" // makes TestKilledCreate the child that is killed
	parts    = 4
)

// object is the large object of these tests: four parts, the last one short.
func object() string { return random(9, parts*partSize-1000) }

// stuck yields some bytes, and then nothing until the context ends.
func stuck(ctx context.Context, content string) io.Reader {
	return io.MultiReader(strings.NewReader(content), readerFunc(func([]byte) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	}))
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestKilledCreate kills a process in the middle of a large Create. The next
// Create of the name sends what is missing, and no more.
func TestKilledCreate(t *testing.T) {
	if endpoint := os.Getenv(envChild); endpoint != "" {
		s := open(t, s3.Options{Bucket: os.Getenv("BUCKET"), Endpoint: endpoint, PartSize: partSize})
		t.Error(s.Create(t.Context(), "o/large", stuck(t.Context(), object()[:3*partSize+10]))) // is killed before
		return
	}
	s, p, _ := behind(t)
	exe, err := os.Executable()
	require.NoError(t, err)
	child := exec.Command(exe, "-test.run", "^TestKilledCreate$", "-test.timeout", "60s")
	child.Env = append(os.Environ(), envChild+"="+p.URL, "BUCKET=bucket-1")
	require.NoError(t, child.Start())
	killed := false
	t.Cleanup(func() {
		if !killed {
			_ = child.Process.Kill()
			_ = child.Wait()
		}
	})
	require.Eventually(t, func() bool { return p.done("part") == 3 }, 30*time.Second, 5*time.Millisecond)
	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait())
	killed = true

	require.Empty(t, names(t, s))
	p.do(func(string) fault { return pass })
	require.NoError(t, put(t.Context(), s, "o/large", object()))
	require.Equal(t, []string{"uploads", "parts", "part", "complete"}, p.ops())
	require.EqualValues(t, 3*partSize, s.Stats().Resumed)
	requireContent(t, s, "o/large", object())
	requireTidied(t, s, 0, 0)
}

// interrupt cancels a Create after three parts were stored.
func interrupt(t *testing.T, s *s3.Store, p *proxy, content string) {
	t.Helper()
	p.do(func(string) fault { return pass })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		assert.Eventually(t, func() bool { return p.done("part") == 3 }, 30*time.Second, 5*time.Millisecond)
		cancel()
	}()
	require.ErrorIs(t, s.Create(ctx, "large", stuck(ctx, content[:3*partSize+10])), context.Canceled)
	cancel()
	require.Empty(t, names(t, s))
	p.do(func(string) fault { return pass })
}

// TestCancelledCreateIsResumed, also when it was cancelled once more before it had
// sent anything.
func TestCancelledCreateIsResumed(t *testing.T) {
	s, p, _ := behind(t)
	interrupt(t, s, p, object())
	ctx, cancel := context.WithCancel(t.Context())
	p.do(func(op string) fault {
		if op == "parts" {
			time.AfterFunc(10*time.Millisecond, cancel)
		}
		return pass
	})
	require.ErrorIs(t, s.Create(ctx, "large", stuck(ctx, object()[:partSize+10])), context.Canceled)
	require.Zero(t, p.count("abort"))
	p.do(func(string) fault { return pass })
	require.NoError(t, put(t.Context(), s, "large", object()))
	require.Equal(t, 1, p.count("part"))
	requireContent(t, s, "large", object())
}

// TestOutageIsResumed: a server that goes away for longer than the retries last.
func TestOutageIsResumed(t *testing.T) {
	s, p, _ := behind(t)
	sent := 0
	p.do(func(op string) fault {
		if op == "part" {
			sent++
		}
		if op == "abort" || sent > 2 {
			return drop
		}
		return pass
	})
	require.Error(t, put(t.Context(), s, "large", object()))
	require.Zero(t, p.count("abort"))
	p.do(func(string) fault { return pass })
	require.NoError(t, put(t.Context(), s, "large", object()))
	require.LessOrEqual(t, p.count("part"), 2)
	requireContent(t, s, "large", object())
}

// TestOtherBytesAreNotResumed: of what is there, only equal parts are used, and an
// upload that begins otherwise is left alone.
func TestOtherBytesAreNotResumed(t *testing.T) {
	s, p, _ := behind(t)
	interrupt(t, s, p, object())
	middle := object()[:partSize] + "!" + object()[partSize+1:]
	require.NoError(t, put(t.Context(), s, "large", middle))
	require.Equal(t, 2, p.count("part"), "the second and the last")
	requireContent(t, s, "large", middle)
	require.NoError(t, s.Delete(t.Context(), "large"))

	interrupt(t, s, p, object())
	other := random(10, parts*partSize)
	require.NoError(t, put(t.Context(), s, "large", other))
	require.Equal(t, parts, p.count("part"))
	requireContent(t, s, "large", other)
	requireTidied(t, s, 1, 3*partSize)
}

// TestServerWithoutListing: a store that may not list uploads starts afresh.
func TestServerWithoutListing(t *testing.T) {
	s, p, _ := behind(t)
	interrupt(t, s, p, object())
	p.do(always(refuse(501, "NotImplemented"), "uploads"))
	require.NoError(t, put(t.Context(), s, "large", object()))
	require.Equal(t, parts, p.count("part"))
	requireContent(t, s, "large", object())
}

// TestCreatorsOfTheSame race with equal bytes, so that they may share an upload,
// and where the server stumbles over that, may both believe to have won. None may
// lose to nobody.
func TestCreatorsOfTheSame(t *testing.T) {
	s, _, direct := behind(t)
	for range 2 {
		errs := make(chan error, 2)
		for _, s := range []*s3.Store{s, direct} {
			go func() { errs <- put(t.Context(), s, "large", object()) }()
		}
		one, other := <-errs, <-errs
		require.True(t, one == nil || other == nil, "%v, %v", one, other)
		if err := errors.Join(one, other); err != nil {
			require.ErrorIs(t, err, fs.ErrExist)
		}
		requireContent(t, s, "large", object())
		require.NoError(t, s.Delete(t.Context(), "large"))
	}
}

// TestUploadIsGone: somebody tidied while the parts were sent.
func TestUploadIsGone(t *testing.T) {
	s, p, direct := behind(t)
	p.do(func(op string) fault {
		if op == "complete" {
			requireTidied(t, direct, 1, int64(len(object())))
		}
		return pass
	})
	err := put(t.Context(), s, "large", object())
	require.ErrorContains(t, err, "NoSuchUpload")
	require.Empty(t, names(t, s))
}

// TestTidy removes what nobody has written to, and only what is in the store.
func TestTidy(t *testing.T) {
	s, p, _ := behind(t)
	interrupt(t, s, p, object())
	tidied, err := s.Tidy(t.Context(), time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Zero(t, tidied)
	requireTidied(t, s, 1, 3*partSize)
	requireTidied(t, s, 0, 0)
}
