package host

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// What is the strategy's fault and what is not, as the host finds out from the
// error of a phase.
func TestFallible(t *testing.T) {
	storeFailed := errors.New("the store is gone")
	refusal := func(errno abi.Errno, cause error) error {
		return &strategy.Error{Strategy: "mine", Phase: abi.PhaseSnapshot, Text: "x", Errno: errno, Cause: cause}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	late, stop := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer stop()
	for _, c := range []struct {
		name string
		err  error
		told error           // what the session has failed with before
		ctx  context.Context // nil for one that goes on
		want bool
	}{
		{name: "crash", err: refusal(0, nil), want: true},
		{name: "crash after a failure of the store", err: refusal(0, nil), told: storeFailed, want: true},
		{name: "killed at its deadline", err: refusal(abi.ETIMEDOUT, &abi.Error{Errno: abi.ETIMEDOUT, Text: "prepare exceeded 1s"}), want: true},
		{name: "its own refusal", err: refusal(abi.EINVAL, nil), want: true},
		{name: "its own input/output error", err: refusal(abi.EIO, nil), want: true},
		{name: "misuse of the session", err: refusal(abi.ECONFLICT, fmt.Errorf("twice: %w", abi.ECONFLICT)), told: fmt.Errorf("twice: %w", abi.ECONFLICT), want: true},
		{name: "limit", err: refusal(abi.EQUOTA, fmt.Errorf("state: %w", abi.EQUOTA)), want: true},
		{name: "its own internal error", err: refusal(abi.EINTERNAL, nil), want: true},
		{name: "natively", err: errors.New("no"), want: true},
		{name: "panic of the host", err: refusal(abi.EINTERNAL, errors.New("the host panicked"))},
		{name: "failure of the store", err: refusal(abi.EIO, storeFailed), told: storeFailed},
		{name: "damage", err: refusal(abi.ECORRUPT, abi.ECORRUPT), told: fmt.Errorf("object: %w", abi.ECORRUPT)},
		{name: "checkpoint", err: refusal(abi.EIO, nil), told: &Problem{Code: CodeFailed, Err: storeFailed}},
		{name: "what the operator has to do", err: refusal(abi.EIO, &Problem{Code: CodeUsage, Err: storeFailed})},
		{name: "cancel", err: refusal(abi.ECANCELED, context.Canceled), ctx: cancelled},
		{name: "crash after a cancel", err: refusal(0, nil), ctx: cancelled},
		{name: "deadline of the caller", err: refusal(abi.ETIMEDOUT, context.DeadlineExceeded), ctx: late},
		{name: "fenced", err: refusal(abi.EIO, &Problem{Code: CodeFenced, Err: catalog.ErrFenced})},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &session{strategy: "mine", phase: abi.PhaseSnapshot, ctx: c.ctx}
			if c.ctx == nil {
				s.ctx = t.Context()
			}
			if c.told != nil {
				s.ledger.fail(c.told)
			}
			err := s.blame(c.err, "")
			require.Error(t, err)
			assert.Equal(t, c.want, fallible(err), "%v", err)
		})
	}
	assert.False(t, fallible(nil))
	assert.False(t, fallible(fenced(catalog.ErrFenced)))
	assert.True(t, fallible((&session{ctx: t.Context()}).refuse(abi.EINCOMPLETE)), "the seal refuses what it did")
	assert.False(t, fallible((&session{ctx: cancelled}).refuse(abi.EINCOMPLETE)))
}

var onError = config.OnError{
	Mode: config.Retry, Attempts: 100, TripAfter: 3,
	Backoff: config.Duration(time.Second), BackoffLimit: config.Duration(time.Minute), CoolDown: config.Duration(10 * time.Minute),
}

// Pauses double up to the limit, and are never the same for all.
func TestBackoff(t *testing.T) {
	for attempt, want := range map[int]time.Duration{1: 1, 2: 2, 3: 4, 6: 32, 7: 60, 100: 60, math.MaxInt: 60} {
		seen := make(map[time.Duration]bool)
		for range 100 {
			pause := backoff(onError, attempt)
			assert.LessOrEqual(t, pause, want*time.Second)
			assert.GreaterOrEqual(t, pause, want*time.Second/2)
			seen[pause] = true
		}
		assert.Greater(t, len(seen), 10)
	}
	none := onError
	none.Backoff, none.BackoffLimit = 0, 0
	assert.Zero(t, backoff(none, 5))
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		begin := time.Now()
		require.NoError(t, sleep(ctx, time.Hour))
		assert.Equal(t, time.Hour, time.Since(begin))
		time.AfterFunc(time.Minute, cancel)
		require.ErrorIs(t, sleep(ctx, time.Hour), context.Canceled)
		assert.Equal(t, time.Hour+time.Minute, time.Since(begin))
	})
}

// bench is a strategy with a circuit, whose time is made up.
type bench struct {
	*circuits
	t       *testing.T
	suspect suspect
}

func newBench(t *testing.T, folder string) *bench {
	return &bench{&circuits{folder: folder, log: discard, open: make(map[string]*circuit)}, t, suspect{"one", "as given"}}
}

func (b *bench) begin() *trial {
	b.t.Helper()
	trial, err := b.admit("mine", b.suspect, onError)
	require.NoError(b.t, err)
	return trial
}

func (b *bench) fail(times int) {
	b.t.Helper()
	for range times {
		b.begin().end(problem(CodePlugin, errors.New("it broke\nbadly"), ""))
	}
}

func (b *bench) requireRests() {
	b.t.Helper()
	_, err := b.admit("mine", b.suspect, onError)
	require.ErrorIs(b.t, err, errResting)
	assert.True(b.t, fallible(err), "a fallback takes over")
	assert.Contains(b.t, err.Error(), "the latest: it broke")
	assert.NotContains(b.t, err.Error(), "badly")
}

func TestCircuit(t *testing.T) {
	for name, test := range map[string]func(*bench){
		"failures in a row": func(b *bench) {
			b.fail(2)
			b.begin().end(nil)
			b.fail(2)
			b.begin().end(context.Canceled) // says nothing
			b.fail(1)
			b.requireRests()
		},
		"one attempt decides": func(b *bench) {
			b.fail(3)
			time.Sleep(10*time.Minute - time.Second)
			b.requireRests()
			time.Sleep(time.Second)
			first := b.begin()
			b.requireRests()
			first.end(problem(CodePlugin, errors.New("it broke again"), ""))
			time.Sleep(9 * time.Minute)
			b.requireRests()
			time.Sleep(time.Minute)
			b.begin().end(nil)
			b.fail(2)
			b.begin()
		},
		"a cancelled attempt decides nothing": func(b *bench) {
			b.fail(3)
			time.Sleep(10 * time.Minute)
			b.begin().end(context.Canceled)
			b.begin().end(nil)
			b.fail(2)
		},
		"another module starts anew": func(b *bench) {
			b.fail(3)
			b.requireRests()
			b.suspect.Module = "two"
			b.fail(2)
			b.begin()
		},
		"other settings start anew": func(b *bench) {
			b.fail(3)
			b.requireRests()
			b.suspect.Settings = "corrected"
			b.fail(2)
			b.begin()
		},
		"the former module's end": func(b *bench) {
			former := b.begin()
			b.suspect.Module = "two"
			b.fail(3)
			former.end(nil)
			b.requireRests()
		},
		"another strategy": func(b *bench) {
			b.fail(3)
			_, err := b.admit("other", b.suspect, onError)
			require.NoError(b.t, err)
		},
		"nobody counts": func(b *bench) {
			for range 10 {
				trial, err := b.admit("mine", suspect{}, config.OnError{Mode: config.Fail})
				require.NoError(b.t, err)
				trial.end(problem(CodePlugin, errors.New("no"), ""))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test(newBench(t, ""))
				test(newBench(t, filepath.Join(t.TempDir(), "state")))
			})
		})
	}
}

// The next process goes on from what the one before knew.
func TestCircuitOutlivesProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder := filepath.Join(t.TempDir(), "state")
		file := filepath.Join(folder, "mine.json")
		for range 3 {
			newBench(t, folder).fail(1)
		}
		newBench(t, folder).requireRests()
		time.Sleep(10 * time.Minute)
		newBench(t, folder).begin().end(nil)
		require.NoFileExists(t, file)
		newBench(t, folder).fail(3)

		text, err := os.ReadFile(file)
		require.NoError(t, err)
		future := strings.ReplaceAll(string(text), time.Now().UTC().Format("2006"), "2999")
		require.NotEqual(t, string(text), future)
		require.NoError(t, os.WriteFile(file, []byte(future), 0o600))
		newBench(t, folder).requireRests()
		b := newBench(t, folder)
		b.requireRests()
		time.Sleep(10 * time.Minute) // no longer, although the clock was put back
		b.begin()

		require.NoError(t, os.WriteFile(file, []byte("{torn"), 0o600))
		newBench(t, folder).fail(2)
		require.NoError(t, os.RemoveAll(folder))
		require.NoError(t, os.WriteFile(folder, nil, 0o600)) // no folder can be made
		newBench(t, folder).fail(3)
	})
}
