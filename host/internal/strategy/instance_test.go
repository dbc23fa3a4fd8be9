package strategy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/strategy/testdata/tour"
)

// whole takes a strategy through its whole life.
func whole(ctx context.Context, s abi.Strategy, d *double) error {
	for _, phase := range []func(context.Context, abi.Session) error{
		s.Init, s.Prepare, s.Snapshot, s.(abi.Restorer).Restore,
		func(ctx context.Context, d abi.Session) error {
			return s.(abi.Notifier).Notify(ctx, d, abi.Notification{Event: abi.EventComplete, Slot: 1 << 33})
		},
	} {
		if err := phase(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func tourDouble() *double {
	// The note makes the configuration longer than the SDK's first buffer.
	return &double{
		config:    fmt.Sprintf(`{"note": %q}`, strings.Repeat("n", 2000)),
		files:     5,
		failReuse: map[uint32]abi.Errno{3: abi.ENOENT},
	}
}

func TestSameCallsNativeAndSandboxed(t *testing.T) {
	native, sandboxed := tourDouble(), tourDouble()
	require.NoError(t, whole(t.Context(), &tour.Strategy{}, native))
	require.NoError(t, whole(t.Context(), newInstanceOf(t, loadTour(t, Limits{})), sandboxed))
	assert.Equal(t, native.trace, sandboxed.trace)

	seen := make(map[string]bool)
	for _, line := range sandboxed.trace {
		call, _, _ := strings.Cut(line, " ")
		seen[call] = true
	}
	for _, f := range abi.Imports {
		switch f.Name {
		case "error_get", "error_set", "cancelled", "scan_close": // end in the adapter
		default:
			assert.True(t, seen[f.Name], "the tour does not visit %s", f.Name)
		}
	}
}

func TestTwoInstancesAtOnce(t *testing.T) {
	m := loadTour(t, Limits{})
	var runs [2]*double
	var group sync.WaitGroup
	for n := range runs {
		runs[n] = tourDouble()
		group.Go(func() { assert.NoError(t, whole(t.Context(), newInstanceOf(t, m), runs[n])) })
	}
	group.Wait()
	assert.NotEmpty(t, runs[0].trace)
	assert.Equal(t, runs[0].trace, runs[1].trace)
}

// TestTenThousandFiles takes the best of several runs, since other work on the
// machine only ever adds to the time.
func TestTenThousandFiles(t *testing.T) {
	wasm, err := fullWasm()
	require.NoError(t, err)
	m := load(t, wasm, Limits{})
	best := time.Hour
	for range 5 {
		i, d := newInstanceOf(t, m), &double{config: "{}", files: 10_000, quiet: true}
		require.NoError(t, i.Init(t.Context(), d))
		require.NoError(t, i.Prepare(t.Context(), d))
		d.calls = 0
		start := time.Now()
		require.NoError(t, i.Snapshot(t.Context(), d))
		best = min(best, time.Since(start))
		assert.Less(t, d.calls, 200)
		assert.Equal(t, 10_000, d.uploads)
	}
	t.Logf("10,000 files: %s", best)
	assert.Less(t, best, 150*time.Millisecond)
}

func TestErrorsCrossBothWays(t *testing.T) {
	m := loadTour(t, Limits{})
	t.Run("host's error keeps its identity and its secrets", func(t *testing.T) {
		i, d := newInstanceOf(t, m), tourDouble()
		d.failCheckpoint = func() error { return fmt.Errorf("link /secret/db: %w", syscall.ENOSPC) }
		require.NoError(t, i.Init(t.Context(), d))
		err := i.Prepare(t.Context(), d)
		require.ErrorIs(t, err, syscall.ENOSPC)
		require.ErrorIs(t, err, abi.EIO)
		assert.EqualError(t, err, `strategy "tour": prepare: prepare the tour: link /secret/db: no space left on device`)
		assert.Contains(t, d.logs, "told: checkpoint: input/output error")
	})
	t.Run("host's error about the guest's own mistake is told in full", func(t *testing.T) {
		i, d := newInstanceOf(t, m), tourDouble()
		d.failCheckpoint = func() error { return fmt.Errorf("a view is open: %w", abi.ECONFLICT) }
		require.NoError(t, i.Init(t.Context(), d))
		assert.EqualError(t, i.Prepare(t.Context(), d), `strategy "tour": prepare: prepare the tour: checkpoint: a view is open: conflict`)
		assert.Contains(t, d.logs, "told: checkpoint: a view is open: conflict")
	})
	t.Run("a file system's error is no mistake of the guest", func(t *testing.T) {
		i, d := newInstanceOf(t, m), tourDouble()
		d.failCheckpoint = func() error { return &fs.PathError{Op: "mkdir", Path: "/secret", Err: syscall.EACCES} }
		require.NoError(t, i.Init(t.Context(), d))
		assert.ErrorIs(t, i.Prepare(t.Context(), d), fs.ErrPermission)
		assert.Contains(t, d.logs, "told: checkpoint: capability not granted")
	})
	t.Run("guest's error has its text, made harmless", func(t *testing.T) {
		i, d := newInstanceOf(t, m), &double{config: `{"mode":"refuse"}`}
		require.NoError(t, i.Init(t.Context(), d))
		err := i.Snapshot(t.Context(), d)
		require.ErrorIs(t, err, abi.ECONFLICT)
		assert.EqualError(t, err, `strategy "tour": snapshot: no tour\u001b[31m today: conflict`)
		d.trace = nil
		require.NoError(t, i.Notify(t.Context(), d, abi.Notification{Event: abi.EventAborted}))
		assert.Equal(t, []string{"log 1 aborted 0"}, d.trace, "an error poisons nothing")
	})
	t.Run("unknown option", func(t *testing.T) {
		err := newInstanceOf(t, m).Init(t.Context(), &double{config: `{"mdoe":"x"}`})
		require.ErrorIs(t, err, abi.EINVAL)
		assert.ErrorContains(t, err, `unknown key "mdoe"`)
	})
}

// TestErrorsOfGuestsThatSayNothing is about guests that return a number alone.
func TestErrorsOfGuestsThatSayNothing(t *testing.T) {
	checkpoint, _ := lookup("checkpoint")
	full := func() error { return fmt.Errorf("link /secret/db: %w", syscall.ENOSPC) }
	for _, tt := range []struct {
		guest wat
		phase abi.Phase
		want  string
	}{
		{calling(checkpoint), abi.PhaseInit, "init: checkpoint: in init: not allowed in this phase"},
		{calling(checkpoint), abi.PhasePrepare, "prepare: checkpoint: link /secret/db: no space left on device"},
		{wat{body: returning(-77)}, abi.PhaseInit, "init: unknown error number 77"},
		{wat{body: returning(-int32(abi.EIO))}, abi.PhaseInit, "init: input/output error"},
	} {
		i := newInstanceOf(t, load(t, tt.guest.assemble(), Limits{}))
		assert.EqualError(t, enter(t.Context(), i, tt.phase, &double{failCheckpoint: full}), `strategy "tour": `+tt.want)
	}
}

func TestExplain(t *testing.T) {
	e := tell("upload", abi.EIO, errors.New("disk on fire"))
	for text, want := range map[string]string{
		"":                                    "upload: disk on fire",
		"no luck":                             "no luck: upload: disk on fire",
		"no luck: upload: input/output error": "no luck: disk on fire",
		"no luck: disk on fire":               "no luck: disk on fire",
	} {
		assert.Equal(t, want, e.explain(text))
	}
}

func TestCrashPoisons(t *testing.T) {
	m := loadTour(t, Limits{Memory: 32 << 20})
	for mode, want := range map[string]string{
		"panic":  "the tour bus broke down",
		"exit":   "exited with status 7",
		"hungry": "out of memory",
	} {
		t.Run(mode, func(t *testing.T) {
			i, d := newInstanceOf(t, m), &double{config: fmt.Sprintf(`{"mode":%q}`, mode)}
			require.NoError(t, i.Init(t.Context(), d))
			err := i.Snapshot(t.Context(), d)
			require.ErrorIs(t, err, ErrCrashed)
			require.ErrorContains(t, err, want)
			d.trace = nil
			assert.ErrorContains(t, i.Init(t.Context(), d), "given up")
			assert.ErrorIs(t, i.Notify(t.Context(), d, abi.Notification{Event: abi.EventAborted}), ErrGone)
			assert.Empty(t, d.trace)
		})
	}
}

func TestHostPanicIsTheHostsFault(t *testing.T) {
	f, _ := lookup("checkpoint")
	i := newInstanceOf(t, load(t, calling(f).assemble(), Limits{}))
	err := i.Prepare(t.Context(), &double{failCheckpoint: func() error { panic("nil map") }})
	require.ErrorIs(t, err, abi.EINTERNAL)
	assert.NotErrorIs(t, err, ErrCrashed)
	assert.ErrorContains(t, err, "the host panicked in checkpoint: nil map")
	assert.ErrorContains(t, err, "TestHostPanicIsTheHostsFault") // the stack
	assert.ErrorContains(t, i.Init(t.Context(), &double{}), "given up")
}

func TestDeadline(t *testing.T) {
	short := Limits{Prepare: 50 * time.Millisecond, Snapshot: 50 * time.Millisecond, Grace: 50 * time.Millisecond}
	t.Run("endless loop is killed", func(t *testing.T) {
		i := newInstanceOf(t, load(t, wat{body: loopForEver}.assemble(), short))
		start := time.Now()
		err := i.Prepare(t.Context(), &double{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, abi.ETIMEDOUT)
		assert.EqualError(t, err, `strategy "tour": prepare: prepare exceeded 50ms`)
		assert.Less(t, time.Since(start), 5*time.Second)
	})
	t.Run("endless host calls are killed", func(t *testing.T) {
		i, d := newInstanceOf(t, loadTour(t, short)), &double{config: `{"mode":"loop"}`}
		require.NoError(t, i.Init(t.Context(), d))
		assert.ErrorIs(t, i.Snapshot(t.Context(), d), context.DeadlineExceeded)
	})
	t.Run("cancelled guest notices", func(t *testing.T) {
		i, d := newInstanceOf(t, loadTour(t, Limits{Grace: time.Hour})), &double{config: `{"mode":"patient"}`}
		require.NoError(t, i.Init(t.Context(), d))
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(20*time.Millisecond, cancel)
		assert.ErrorIs(t, i.Snapshot(ctx, d), context.Canceled)
	})
	t.Run("wait gives up", func(t *testing.T) {
		f, _ := lookup("wait")
		i := newInstanceOf(t, load(t, calling(f, 0, 64, 32).assemble(), Limits{Snapshot: 50 * time.Millisecond, Grace: time.Hour}))
		never := make(chan struct{})
		defer close(never)
		assert.ErrorIs(t, i.Snapshot(t.Context(), &double{blockWait: never}), context.DeadlineExceeded)
	})
	t.Run("crash afterwards is a consequence", func(t *testing.T) {
		log, _ := lookup("log")
		for name, then := range map[string]wat{"trap": {body: trap}, "bad pointer": calling(log, 0, 1<<30, 8)} {
			i := newInstanceOf(t, load(t, reporting(then).assemble(), Limits{}))
			ctx, cancel := context.WithCancel(t.Context())
			err := i.Snapshot(ctx, &double{trip: cancel})
			require.ErrorIs(t, err, context.Canceled, name)
			assert.NotErrorIs(t, err, ErrCrashed, name)
			assert.ErrorIs(t, i.Init(t.Context(), &double{}), ErrGone, name)
		}
	})
	t.Run("cancelled before it starts", func(t *testing.T) {
		i, d := newInstanceOf(t, load(t, wat{body: loopForEver}.assemble(), Limits{})), &double{}
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("operator pressed a key")
		cancel(stop)
		assert.ErrorIs(t, i.Snapshot(ctx, d), stop)
	})
}

func TestRestoreMayBeLeftToTheHost(t *testing.T) {
	for name, w := range map[string]wat{
		"missing exports": {body: returnZero, without: "rocksnap_restore"},
		"stub exports":    {body: returning(-int32(abi.ENOSYS))},
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstanceOf(t, load(t, w.assemble(), Limits{}))
			assert.ErrorIs(t, i.Restore(t.Context(), &double{}), abi.ENOSYS)
			err := i.Notify(t.Context(), &double{}, abi.Notification{Event: abi.EventAborted})
			assert.Equal(t, name == "stub exports", errors.Is(err, abi.ENOSYS), err)
		})
	}
}

func TestLogIsBounded(t *testing.T) {
	i, d := newInstanceOf(t, loadTour(t, Limits{LogBytes: 1000})), &double{config: `{"mode":"chatty"}`}
	require.NoError(t, i.Init(t.Context(), d))
	d.logs = nil
	require.NoError(t, i.Snapshot(t.Context(), d))
	assert.Equal(t, `line 0\u000aforged line`, d.logs[0])
	n := len(d.logs)
	assert.Less(t, n, 60)
	assert.Equal(t, "log limit of 1000 bytes reached, further lines are dropped", d.logs[n-2])
	assert.Equal(t, fmt.Sprintf("%d lines were dropped in snapshot", 10_000-n+2), d.logs[n-1])
}

func TestLogCountsWhatReachesIt(t *testing.T) {
	log, _ := lookup("log")
	line := func(limits Limits, memory []byte, times int) []string {
		i, d := newInstanceOf(t, load(t, calling(log, 1, 0, uint32(len(memory))).assemble(), limits)), &double{}
		_, ok := i.guest.Memory().Grow(8)
		require.True(t, ok)
		i.guest.Memory().Write(0, memory)
		for range times {
			require.NoError(t, i.Init(t.Context(), d))
		}
		return d.logs
	}
	long := line(Limits{}, bytes.Repeat([]byte("x"), 300<<10), 3)
	assert.Equal(t, slices.Repeat([]string{strings.Repeat("x", abi.MaxLogLine)}, 3), long, "cut, not fatal")

	escaped := line(Limits{LogBytes: 1300}, bytes.Repeat([]byte{0x1b}, 100), 5) // 600 bytes each
	assert.Equal(t, strings.Repeat(`\u001b`, 100), escaped[1])
	dropped := "1 lines were dropped in init"
	assert.Equal(t, []string{"log limit of 1300 bytes reached, further lines are dropped", dropped, dropped, dropped}, escaped[2:])
}

func TestLogLevelIsHeardOnly(t *testing.T) {
	log, _ := lookup("log")
	m, err := Load(t.Context(), "x", calling(log, uint32(abi.LevelInfo), 0, 10).assemble(), Options{LogLevel: abi.LevelWarn, Limits: Limits{LogBytes: 1}})
	require.NoError(t, err)
	defer m.Close(t.Context())
	d := &double{}
	require.NoError(t, newInstanceOf(t, m).Init(t.Context(), d))
	assert.Empty(t, d.logs, "nor does it count")
}

func TestTrapNamesItself(t *testing.T) {
	i := newInstanceOf(t, load(t, wat{body: trap}.assemble(), Limits{}))
	err := i.Init(t.Context(), &double{})
	require.ErrorIs(t, err, ErrCrashed)
	assert.EqualError(t, err, `strategy "tour": init: wasm error: unreachable`)
}

func TestOtherABIIsRefused(t *testing.T) {
	m := load(t, wat{body: returnZero, version: 2 << 16}.assemble(), Limits{})
	_, err := m.New(t.Context())
	assert.EqualError(t, err, `strategy "tour": built for ABI 2, this host speaks 1.0`)
}
