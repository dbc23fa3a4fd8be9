package probe_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/blob/mem"
	"github.com/rocksnap/rocksnap/host/blob/probe"
)

// notPassed returns the checks that did not pass, with their results.
func notPassed(r probe.Report) map[string]probe.Result {
	results := make(map[string]probe.Result)
	for _, c := range r.Checks {
		if c.Result != probe.Pass {
			results[c.Name] = c.Result
		}
	}
	return results
}

// requireEmpty asserts that a probe has left nothing.
func requireEmpty(t *testing.T, s blob.Store) {
	t.Helper()
	for info, err := range s.List(context.Background(), "", "") {
		require.NoError(t, err)
		assert.Fail(t, "left behind", info.Name)
	}
}

func TestMem(t *testing.T) {
	t.Parallel()
	s := mem.New()
	report, err := probe.Run(t.Context(), s)
	require.NoError(t, err)
	require.Empty(t, notPassed(report), "%+v", report.Checks)
	require.Equal(t, probe.Pass, report.Result())
	require.Len(t, report.Checks, 12)
	require.True(t, report.Exclusive)
	require.True(t, report.Checksums)
	require.Zero(t, report.ClockSkew)
	requireEmpty(t, s)
}

func TestDir(t *testing.T) {
	t.Parallel()
	s, err := dir.Create(t.TempDir())
	require.NoError(t, err)
	report, err := probe.Run(t.Context(), s)
	require.NoError(t, err)
	require.Equal(t, map[string]probe.Result{"checksums": probe.Warn}, notPassed(report), "%+v", report.Checks)
	require.Equal(t, probe.Warn, report.Result())
	require.True(t, report.Exclusive)
	require.False(t, report.Checksums)
	requireEmpty(t, s)
}

// TestBroken probes stores that break one promise each.
func TestBroken(t *testing.T) {
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			report, err := probe.Run(t.Context(), b.wrap(mem.New()))
			require.NoError(t, err)
			want := make(map[string]probe.Result)
			for _, name := range b.fails {
				want[name] = probe.Fail
			}
			require.Equal(t, want, notPassed(report), "%+v", report.Checks)
			require.Equal(t, probe.Fail, report.Result())
			require.Equal(t, !strings.HasPrefix(b.fails[0], "conditional"), report.Exclusive)
			require.Equal(t, b.fails[0] != "checksums", report.Checksums)
		})
	}
}

func TestClockSkew(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-2 * time.Hour, 30 * time.Second, 3 * time.Hour} {
		s := mem.New(mem.WithClock(func() time.Time { return time.Now().Add(skew) }))
		report, err := probe.Run(t.Context(), s)
		require.NoError(t, err)
		require.InDelta(t, skew.Seconds(), report.ClockSkew.Seconds(), 2)
		want := map[string]probe.Result{}
		if skew.Abs() > time.Minute {
			want["clock"] = probe.Warn
		}
		require.Equal(t, want, notPassed(report))
		requireEmpty(t, s)
	}
}

// TestLostAnswers: a winner that does not know of it is one all the same.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	report, err := probe.Run(t.Context(), blob.Faulty(mem.New(), func(c blob.Call) blob.Fault {
		if strings.HasSuffix(c.Name, "race/3") && c.Verb == blob.VerbCreate {
			return blob.Fault{Mode: blob.Lose}
		}
		return blob.Fault{}
	}))
	require.NoError(t, err)
	require.Empty(t, notPassed(report), "%+v", report.Checks)
}

// TestErrors: what the store cannot do is told, with the check that it stopped.
func TestErrors(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused by policy")
	report, err := probe.Run(t.Context(), blob.Faulty(mem.New(), func(c blob.Call) blob.Fault {
		if c.Verb == blob.VerbDelete {
			return blob.Fault{Mode: blob.Fail, Err: refused}
		}
		return blob.Fault{}
	}))
	require.NoError(t, err)
	require.Equal(t, map[string]probe.Result{"delete many": probe.Fail, "list after delete": probe.Fail, "clean up": probe.Fail}, notPassed(report))
	for _, c := range report.Checks {
		if c.Name == "delete many" {
			require.Equal(t, "refused by policy", c.Detail)
		}
	}
}

func TestNotWritable(t *testing.T) {
	refused := errors.New("access denied")
	_, err := probe.Run(t.Context(), blob.Faulty(mem.New(), func(blob.Call) blob.Fault {
		return blob.Fault{Mode: blob.Fail, Err: refused}
	}))
	require.ErrorIs(t, err, refused)
	require.EqualError(t, err, "probe store: access denied")
}

// TestCancelled: what was created is deleted all the same.
func TestCancelled(t *testing.T) {
	t.Parallel()
	for _, call := range []int{2, 60, 250} {
		s := mem.New()
		ctx, cancel := context.WithCancel(t.Context())
		_, err := probe.Run(ctx, blob.Faulty(s, func(c blob.Call) blob.Fault {
			if c.Number == call {
				cancel()
			}
			return blob.Fault{}
		}))
		require.ErrorIs(t, err, context.Canceled)
		requireEmpty(t, s)
	}
}

// TestLeftovers: what killed probes have left goes when it is old, and nothing
// else does.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	age := 25 * time.Hour
	s := mem.New(mem.WithClock(func() time.Time { return time.Now().Add(-age) }))
	put := func(name string) {
		require.NoError(t, s.Create(t.Context(), name, bytes.NewReader(nil)))
	}
	put("probe/old/first")
	put("objects/old")
	age = 23 * time.Hour
	put("probe/young/first")
	age = 0
	_, err := probe.Run(t.Context(), s)
	require.NoError(t, err)
	var left []string
	for info, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		left = append(left, info.Name)
	}
	require.Equal(t, []string{"objects/old", "probe/young/first"}, left)
}
