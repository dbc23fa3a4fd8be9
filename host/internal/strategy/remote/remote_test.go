package remote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/child"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

type instance interface {
	abi.Strategy
	abi.Notifier
	abi.Restorer
}

// whole takes a strategy through its whole life, and goes on after errors.
func whole(ctx context.Context, s instance, d *double) (list []error) {
	for _, phase := range []func(context.Context, abi.Session) error{
		s.Init, s.Prepare, s.Snapshot, s.Restore,
		func(ctx context.Context, d abi.Session) error {
			return s.Notify(ctx, d, abi.Notification{Event: abi.EventComplete, Slot: 1 << 33})
		},
	} {
		list = append(list, phase(ctx, d))
	}
	return list
}

func TestSameCallsInBothPlaces(t *testing.T) {
	for pkg, config := range map[string]string{
		"host/internal/strategy/testdata/tour/module": fmt.Sprintf(`{"note": %q}`, strings.Repeat("n", 2000)),
		"plugins/native-full":                         "{}",
		"plugins/incremental":                         "{}",
		"plugins/canonical":                           "{}",
	} {
		t.Run(pkg, func(t *testing.T) {
			file := build(t, pkg)
			near, far := &double{config: config, files: 1500}, &double{config: config, files: 1500}
			want := whole(t.Context(), here(t, file, strategy.Limits{}), near)
			got := whole(t.Context(), there(t, file, strategy.Limits{}), far)
			require.Len(t, got, len(want))
			for n := range want {
				sameError(t, want[n], got[n])
			}
			assert.Equal(t, near.trace, far.trace)
			assert.Greater(t, len(far.trace), 5)
		})
	}
}

// sameError compares what the caller of a strategy can see of an error.
func sameError(t *testing.T, want, got error) {
	t.Helper()
	if want == nil {
		require.NoError(t, got)
		return
	}
	require.EqualError(t, got, want.Error())
	for _, target := range []error{strategy.ErrCrashed, context.Canceled, context.DeadlineExceeded, syscall.ENOSPC, fs.ErrPermission,
		abi.EINVAL, abi.ECONFLICT, abi.EIO, abi.EPHASE, abi.EPERM, abi.EBADH, abi.ENOSYS, abi.EINTERNAL} {
		assert.Equal(t, errors.Is(want, target), errors.Is(got, target), "is %v", target)
	}
	var w, g *strategy.Error
	if errors.As(want, &w) && assert.True(t, errors.As(got, &g)) {
		assert.Equal(t, [...]any{w.Strategy, w.Phase, w.Text, w.Output, w.Errno}, [...]any{g.Strategy, g.Phase, g.Text, g.Output, g.Errno})
	}
}

func TestSameErrorsInBothPlaces(t *testing.T) {
	for name, tt := range map[string]struct {
		config string
		module func(testing.TB) []byte
		fail   func() error
	}{
		"the disk is full":      {config: "{}", fail: func() error { return fmt.Errorf("link /secret/db: %w", syscall.ENOSPC) }},
		"the guest's mistake":   {config: "{}", fail: func() error { return fmt.Errorf("a view is open: %w", abi.ECONFLICT) }},
		"the file system's":     {config: "{}", fail: func() error { return &fs.PathError{Op: "mkdir", Path: "/secret", Err: syscall.EACCES} }},
		"refusal of the guest":  {config: `{"mode":"refuse"}`},
		"unknown option":        {config: `{"mdoe":"x"}`},
		"panic":                 {config: `{"mode":"panic"}`},
		"exit":                  {config: `{"mode":"exit"}`},
		"out of its own memory": {config: `{"mode":"hungry"}`},
		"many lines":            {config: `{"mode":"chatty"}`},
		"trap":                  {module: func(testing.TB) []byte { return tiny{body: trap}.assemble() }},
		"wrong phase":           {module: func(testing.TB) []byte { return tiny{call: "checkpoint"}.assemble() }},
		"no such handle":        {module: func(testing.TB) []byte { return tiny{call: "stream_close", args: []byte{7}}.assemble() }},
		"bad record size":       {module: func(testing.TB) []byte { return tiny{call: "upload", args: []byte{0, 1, 1}}.assemble() }},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.module == nil {
				tt.module = tour
			}
			file, limits := tt.module(t), strategy.Limits{Memory: 32 << 20}
			near, far := &double{config: tt.config, files: 5, failCheckpoint: tt.fail}, &double{config: tt.config, files: 5, failCheckpoint: tt.fail}
			want, got := whole(t.Context(), here(t, file, limits), near), whole(t.Context(), there(t, file, limits), far)
			for n := range want {
				sameError(t, want[n], got[n])
			}
			assert.Equal(t, near.trace, far.trace)
			assert.Error(t, errors.Join(append(got, map[bool]error{true: errors.New("says nothing")}[name == "many lines"])...))
		})
	}
}

func TestWhatCannotBeStarted(t *testing.T) {
	for name, tt := range map[string]struct {
		file []byte
		o    strategy.Options
		is   error
		text string
	}{
		"other ABI":    {tiny{version: 2 << 16}.assemble(), options(strategy.Limits{}), nil, `strategy "x": built for ABI 2, this host speaks 1.0`},
		"not granted":  {tiny{call: "upload"}.assemble(), strategy.Options{}, abi.EPERM, `add "upload" to allow`},
		"no module":    {[]byte("hello"), strategy.Options{}, nil, `load strategy "x": `},
		"memory limit": {tiny{}.assemble(), options(strategy.Limits{Memory: 1}), abi.EQUOTA, "limits.memory"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(t.Context(), "x", tt.file, tt.o)
			require.ErrorContains(t, err, tt.text)
			if tt.is != nil {
				assert.ErrorIs(t, err, tt.is)
			}
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := New(ctx, "x", tiny{}.assemble(), options(strategy.Limits{}))
		assert.ErrorIs(t, err, context.Canceled)
	})
}

// TestWithoutCache has the process compile the module itself, within its limits.
func TestWithoutCache(t *testing.T) {
	i, err := New(t.Context(), "x", tour(t), strategy.Options{Grants: abi.Grants})
	require.NoError(t, err)
	assert.NoError(t, i.Init(t.Context(), &double{config: "{}"}))
	require.NoError(t, i.Close(t.Context()))
}

func TestProcessesShareTheBudget(t *testing.T) {
	o := options(strategy.Limits{Memory: 1 << 20})
	o.Budget = strategy.NewBudget(1 << 20)
	first, err := New(t.Context(), "x", tiny{}.assemble(), o)
	require.NoError(t, err)
	_, err = New(t.Context(), "x", tiny{}.assemble(), o)
	require.ErrorIs(t, err, abi.EQUOTA)
	assert.ErrorContains(t, err, "[plugins] memory")
	require.NoError(t, first.Close(t.Context()))
	require.NoError(t, first.Close(t.Context()))
	assert.Zero(t, o.Budget.Used())
	_, err = New(t.Context(), "x", []byte("hello"), o)
	require.Error(t, err)
	assert.Zero(t, o.Budget.Used())
}

// TestUnavailable runs itself in a program whose main function does not call
// child.Main.
func TestUnavailable(t *testing.T) {
	if os.Getenv("REMOTE_TEST_NO_CHILDREN") != "" {
		_, err := New(t.Context(), "x", nil, strategy.Options{})
		require.ErrorIs(t, err, child.ErrUnavailable)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestUnavailable$")
	cmd.Env = append(os.Environ(), "REMOTE_TEST_NO_CHILDREN=1")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, string(text))
}

func TestHostPanicIsTheHostsFault(t *testing.T) {
	waiter := there(t, tiny{call: "wait", args: []byte{0, 32, 32}}.assemble(), strategy.Limits{})
	require.ErrorIs(t, waiter.Snapshot(t.Context(), nil), abi.EINTERNAL, "a panic on another goroutine")
	i := there(t, tiny{call: "checkpoint"}.assemble(), strategy.Limits{})
	err := i.Prepare(t.Context(), &double{failCheckpoint: func() error { panic("nil map") }})
	require.ErrorIs(t, err, abi.EINTERNAL)
	assert.NotErrorIs(t, err, strategy.ErrCrashed)
	assert.ErrorContains(t, err, "the host panicked in checkpoint: nil map")
	assert.ErrorContains(t, i.Init(t.Context(), &double{}), "given up")
}

var short = strategy.Limits{Prepare: 100 * time.Millisecond, Snapshot: 100 * time.Millisecond, Grace: 100 * time.Millisecond}

func TestDeadline(t *testing.T) {
	t.Run("endless loop", func(t *testing.T) {
		i := there(t, tiny{body: loopForEver}.assemble(), short)
		start := time.Now()
		err := i.Prepare(t.Context(), &double{})
		assert.Less(t, time.Since(start), short.Prepare+short.Grace+300*time.Millisecond)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.EqualError(t, err, `strategy "x": prepare: prepare exceeded 100ms`)
		assert.ErrorContains(t, i.Init(t.Context(), &double{}), "given up")
		assert.ErrorIs(t, i.Notify(t.Context(), &double{}, abi.Notification{Event: abi.EventAborted}), strategy.ErrGone)
	})
	t.Run("process that does not listen", func(t *testing.T) {
		i, err := launchAs(t.Context(), "deaf", "x", tiny{}.assemble(), options(short))
		require.NoError(t, err)
		defer i.Close(t.Context())
		start := time.Now()
		require.ErrorIs(t, i.Prepare(t.Context(), &double{}), context.DeadlineExceeded)
		assert.Less(t, time.Since(start), short.Prepare+short.Grace+300*time.Millisecond)
		<-i.guest.process.dead
	})
	t.Run("cancelled guest notices", func(t *testing.T) {
		i, d := there(t, tour(t), strategy.Limits{Grace: time.Hour}), &double{config: `{"mode":"patient"}`}
		require.NoError(t, i.Init(t.Context(), d))
		ctx, cancel := context.WithCancelCause(t.Context())
		stop := errors.New("operator pressed a key")
		time.AfterFunc(20*time.Millisecond, func() { cancel(stop) })
		assert.ErrorIs(t, i.Snapshot(ctx, d), stop)
		d.config = "{}"
		assert.NoError(t, i.Init(t.Context(), d), "it ended by itself, and lives on")
	})
	t.Run("wait gives up", func(t *testing.T) {
		i := there(t, tiny{call: "wait", args: []byte{0, 32, 32}}.assemble(), strategy.Limits{Snapshot: 50 * time.Millisecond, Grace: time.Hour})
		never := make(chan struct{})
		defer close(never)
		assert.ErrorIs(t, i.Snapshot(t.Context(), &double{blockWait: never}), context.DeadlineExceeded)
		assert.NoError(t, i.Restore(t.Context(), &double{}), "the next phase is none the worse")
	})
	t.Run("cancelled before it starts", func(t *testing.T) {
		i := there(t, tiny{body: loopForEver}.assemble(), strategy.Limits{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		assert.ErrorIs(t, i.Snapshot(ctx, &double{}), context.Canceled)
	})
}
