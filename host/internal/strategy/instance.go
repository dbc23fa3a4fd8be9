package strategy

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/sys"

	"github.com/rocksnap/rocksnap/abi"
)

// Instance is one running module. It serves one snapshot and is then closed. Its
// methods are those of the strategy; each wants a session for its own duration.
// One that returns an error leaves the instance as it is. After a crash or a kill
// the instance is closed and refuses the rest, since nothing is known about the
// state that the guest is in.
type Instance struct {
	module *Module
	guest  api.Module
	memory api.Memory
	linear *linear // what memory is made of
	output ring

	mu     sync.Mutex // held during a call
	broken error      // why the guest is gone

	// The call that is under way.
	ctx     context.Context
	alive   context.Context // ends when the guest is killed
	phase   abi.Phase       // 0 between calls
	session abi.Session
	current string // the host function that runs
	fault   error  // why a host function ended the guest
	text    []byte // given by error_set
	latest  string // what error_get tells
	errors  map[abi.Errno]callError
	unread  unread
	handles handles
	pace    pace
	logged  int // bytes, over all calls
	dropped int // log lines, in this call
}

var (
	_ abi.Strategy = (*Instance)(nil)
	_ abi.Notifier = (*Instance)(nil)
	_ abi.Restorer = (*Instance)(nil)
)

func newInstance(m *Module) *Instance {
	i := &Instance{module: m, handles: handles{limit: m.limits.Handles}}
	m.remember(i)
	return i
}

// ErrGone says that there is no guest left to call: it crashed or was killed before.
var ErrGone = errors.New("instance was given up")

// instanceKey finds the instance in the context of a host function.
type instanceKey struct{}

// start creates the guest, lets its runtime initialise itself, and asks for the
// ABI that it was built for.
func (i *Instance) start(ctx context.Context, budget *Budget) (err error) {
	if i.linear, err = reserve(budget, i.module.initial, i.module.limits.Memory); err != nil {
		return fmt.Errorf("strategy %q: start: %w", i.module.name, err)
	}
	version, err := i.call(ctx, 0, nil, func(ctx context.Context) ([]uint64, error) {
		guest, err := i.module.instantiate(ctx, i.linear, &i.output)
		if err != nil {
			return nil, err
		}
		i.guest, i.memory = guest, guest.Memory()
		return guest.ExportedFunction("rocksnap_abi").Call(ctx)
	})
	if err != nil {
		return err
	}
	if major := uint32(version) >> 16; major != abi.Major {
		return fmt.Errorf("strategy %q: built for ABI %d, this host speaks %d.%d", i.module.name, major, abi.Major, abi.Minor)
	}
	return nil
}

// Init implements [abi.Strategy].
func (i *Instance) Init(ctx context.Context, s abi.Session) error {
	return i.run(ctx, abi.PhaseInit, s, "rocksnap_init")
}

// Prepare implements [abi.Strategy]. Beyond its limit it fails with
// [context.DeadlineExceeded].
func (i *Instance) Prepare(ctx context.Context, s abi.Session) error {
	return i.run(ctx, abi.PhasePrepare, s, "rocksnap_prepare")
}

// Snapshot implements [abi.Strategy]. Beyond its limit it fails with
// [context.DeadlineExceeded].
func (i *Instance) Snapshot(ctx context.Context, s abi.Session) error {
	return i.run(ctx, abi.PhaseSnapshot, s, "rocksnap_snapshot")
}

// Notify implements [abi.Notifier]. It fails with [abi.ENOSYS] when the module does
// not want to be notified, and with [ErrGone] when the instance can hear nothing.
func (i *Instance) Notify(ctx context.Context, s abi.Session, n abi.Notification) error {
	return i.run(ctx, abi.PhaseNotify, s, "rocksnap_notify", uint64(n.Event), n.Slot)
}

// Restore implements [abi.Restorer]. It fails with [abi.ENOSYS] when the module
// leaves restoring to the host. Only the module itself can tell: one made with the
// SDK exports the function in any case.
func (i *Instance) Restore(ctx context.Context, s abi.Session) error {
	return i.run(ctx, abi.PhaseRestore, s, "rocksnap_restore")
}

// Close frees the guest. It waits for a call that is under way.
func (i *Instance) Close(ctx context.Context) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.broken == nil {
		i.broken = errors.New("instance is closed")
	}
	return i.closeGuest(ctx)
}

// closeGuest is called while the guest does not run, so nobody looks at the memory
// that it frees.
func (i *Instance) closeGuest(ctx context.Context) error {
	defer i.module.forget(i)
	defer i.linear.release()
	if i.guest == nil {
		return nil
	}
	return i.guest.Close(context.WithoutCancel(ctx))
}

// run calls one of the strategy's exports.
func (i *Instance) run(ctx context.Context, p abi.Phase, s abi.Session, export string, args ...uint64) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.broken != nil {
		return fmt.Errorf("strategy %q: %s: %w after: %w", i.module.name, p, ErrGone, i.broken)
	}
	f := i.guest.ExportedFunction(export)
	if f == nil {
		return &Error{Strategy: i.module.name, Phase: p, Text: abi.ENOSYS.Error(), Errno: abi.ENOSYS}
	}
	_, err := i.call(ctx, p, s, func(ctx context.Context) ([]uint64, error) { return f.Call(ctx, args...) })
	return err
}

// call runs the guest for one phase, within the phase's limit. The guest gets to
// know at once when ctx ends; wazero does so only after the grace, and then kills
// the guest wherever it is.
func (i *Instance) call(ctx context.Context, p abi.Phase, s abi.Session, enter func(context.Context) ([]uint64, error)) (result int32, err error) {
	ctx, done := i.deadline(ctx, p)
	defer done()
	alive, kill := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), instanceKey{}, i))
	defer kill()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(i.module.limits.Grace):
			kill()
		case <-alive.Done():
		}
	})()
	i.begin(ctx, p, s)
	i.alive = alive
	defer func() {
		if fault := i.end(); fault != nil && i.broken == nil {
			result, err = 0, i.giveUp(ctx, fault)
		}
	}()
	if ctx.Err() != nil {
		return 0, i.refusal(abi.ECANCELED)
	}
	results, err := enter(alive)
	if err != nil {
		return 0, i.giveUp(ctx, i.crash(err))
	}
	result = api.DecodeI32(results[0])
	if result < 0 && p != 0 {
		return 0, i.refusal(abi.Errno(-result))
	}
	return result, nil
}

// giveUp closes the guest for good: whatever happened, nothing is known about it.
func (i *Instance) giveUp(ctx context.Context, why error) error {
	i.broken = why
	i.closeGuest(ctx) // why says what matters
	return why
}

func (i *Instance) deadline(ctx context.Context, p abi.Phase) (context.Context, context.CancelFunc) {
	limit := i.module.limits.of(p)
	name := "start"
	if p != 0 {
		name = p.String()
	}
	return context.WithTimeoutCause(ctx, limit, &abi.Error{Errno: abi.ETIMEDOUT, Text: fmt.Sprintf("%s exceeded %s", name, limit)})
}

func (i *Instance) begin(ctx context.Context, p abi.Phase, s abi.Session) {
	i.ctx, i.phase, i.session = ctx, p, s
	i.text, i.latest, i.fault = nil, "", nil
	i.errors = make(map[abi.Errno]callError)
	i.unread = unread{}
}

// end returns the host's own fault, if it makes one while it tidies up.
func (i *Instance) end() (fault error) {
	defer func() {
		if value := recover(); value != nil {
			host := &hostFault{call: "the end of the call", value: value, stack: debug.Stack()}
			fault = &Error{Strategy: i.module.name, Phase: i.phase, Text: host.Error(), Errno: abi.EINTERNAL, Cause: host}
		}
		i.phase, i.session = 0, nil
	}()
	i.handles.release()
	i.tellDropped()
	return nil
}

// refusal is the error of a guest that returned one.
func (i *Instance) refusal(errno abi.Errno) error {
	e := &Error{Strategy: i.module.name, Phase: i.phase, Errno: errno, Text: printable(i.text, false)}
	if i.ctx.Err() != nil { // whatever it says, this is why
		e.end(context.Cause(i.ctx))
		return e
	}
	if known, ok := i.errors[errno]; ok {
		e.Cause, e.Text = known.cause, known.explain(e.Text)
	}
	if e.Text == "" {
		e.Text = errno.Error()
	}
	return e
}

// end makes it the error of a run that was cancelled or took too long.
func (e *Error) end(cause error) {
	e.Errno, e.Cause, e.Text = abi.ErrnoOf(cause), cause, cause.Error()
}

// crash is the error of a guest that did not return. wazero tells the trap, and
// below it the stack; what a Go guest says of its panic is only in its output. A
// guest that falls over after a cancel or deadline is reported as that.
func (i *Instance) crash(err error) error {
	e := &Error{Strategy: i.module.name, Phase: i.phase, Cause: i.fault}
	var exit *sys.ExitError
	var fault *hostFault
	switch {
	case errors.As(i.fault, &fault):
		e.Text, e.Errno = fault.Error(), abi.EINTERNAL
		return e
	case i.ctx.Err() != nil:
		e.end(context.Cause(i.ctx))
		return e
	case i.fault != nil:
		e.Text = i.fault.Error()
	case errors.As(err, &exit):
		e.Text = fmt.Sprintf("exited with status %d", exit.ExitCode())
	default:
		first, _, _ := strings.Cut(err.Error(), "\n")
		e.Text = printable([]byte(first[:min(len(first), maxErrorText)]), false)
	}
	if i.linear.refused {
		e.Text += " (the memory that [plugins] memory allows to all instances was in use)"
	}
	e.Output = i.output.String()
	return e
}
