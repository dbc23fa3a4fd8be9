package strategy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
)

// Outside is the host's half of an instance whose guest runs in another process.
// What that guest may do, and how its end is told, is decided by the very code
// that decides it for a guest of this process: the other one is not believed.
type Outside struct {
	instance *Instance
	guest    Guest
	limits   Limits
	held     int64 // bytes of the budget
}

// Guest reaches a guest that runs elsewhere.
type Guest interface {
	// Enter runs a phase, 0 for the start, and returns how it ended. The guest
	// is to know at once when ctx ends. When alive ends it must be killed. An
	// error says that it is gone, and how.
	Enter(ctx, alive context.Context, p abi.Phase, n abi.Notification) (Ending, error)
}

// Ending is how a phase ended on the guest's side.
type Ending struct {
	Errno  abi.Errno // what the module returned; 0 for a success
	Gone   bool      // it did not return, and cannot be entered again
	Text   string    // what it said, or what happened to it
	Output string    // the last of what a crashed module wrote to its standard error
	Call   string    // the function that refused on the guest's side; "" when the session did
	Cause  string    // why it refused
}

// notices are the bytes of log lines that the other half writes of its own, above
// those of the guest.
const notices = 64 << 10

// NewOutside returns the half of an instance that stays with the host. The name
// is the strategy's, for errors. The guest's memory grows out of sight, so all
// that it may have is taken from the budget: [abi.EQUOTA] when that has too little.
func NewOutside(name string, file []byte, o Options, g Guest) (*Outside, error) {
	l := o.Limits.orDefaults()
	if !o.Budget.take(l.Memory) {
		return nil, fmt.Errorf("strategy %q: start: a process may use %d KiB of memory, and %d of the %d KiB that [plugins] memory allows to all instances are in use: %w",
			name, l.Memory>>10, o.Budget.Used()>>10, o.Budget.limit>>10, abi.EQUOTA)
	}
	m := &Module{name: name, sha256: digest(file), limits: l, grants: o.Grants, level: o.LogLevel,
		budget: o.Budget, instances: make(map[*Instance]bool)}
	m.limits.LogBytes += notices
	i := newInstance(m)
	i.linear = &linear{} // no memory of this process
	return &Outside{instance: i, guest: g, limits: l, held: l.Memory}, nil
}

// SHA256 returns the digest of the module's file, in hex.
func (o *Outside) SHA256() string { return o.instance.module.sha256 }

// Limits returns the limits that hold, without zero fields.
func (o *Outside) Limits() Limits { return o.limits }

// Start enters the guest for the first time. It fails when the module was built
// for another major version of the ABI.
func (o *Outside) Start(ctx context.Context) error {
	var refused error
	_, err := o.instance.call(ctx, 0, nil, func(alive context.Context) ([]uint64, error) {
		e, err := o.enter(alive, 0, abi.Notification{})
		if err == nil {
			refused = e.Refusal()
		}
		return []uint64{0}, err
	})
	if err != nil {
		return err
	}
	return refused
}

// Run enters the guest for one phase, and fails as the method of an [Instance].
func (o *Outside) Run(ctx context.Context, p abi.Phase, s abi.Session, n abi.Notification) error {
	i := o.instance
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.broken != nil {
		return fmt.Errorf("strategy %q: %s: %w after: %w", i.module.name, p, ErrGone, i.broken)
	}
	_, err := i.call(ctx, p, s, func(alive context.Context) ([]uint64, error) {
		e, err := o.enter(alive, p, n)
		return []uint64{uint64(uint32(-e.Errno))}, err
	})
	return err
}

// Notify enters the guest to tell it, as [Instance.Notify] does.
func (o *Outside) Notify(ctx context.Context, s abi.Session, n abi.Notification) error {
	return o.Run(ctx, abi.PhaseNotify, s, n)
}

// Close refuses every further call, and gives the memory back to the budget. It
// waits for a call that is under way.
func (o *Outside) Close() {
	o.instance.mu.Lock()
	defer o.instance.mu.Unlock()
	if o.instance.broken == nil {
		o.instance.broken = errors.New("instance is closed")
	}
	o.instance.module.budget.give(o.held)
	o.held = 0
}

// enter takes over what the guest's side tells of the end, made harmless.
func (o *Outside) enter(alive context.Context, p abi.Phase, n abi.Notification) (Ending, error) {
	i := o.instance
	e, err := o.guest.Enter(i.ctx, alive, p, n)
	if err != nil {
		return e, err
	}
	e.Text, e.Cause, e.Call = harmless(e.Text), harmless(e.Cause), harmless(e.Call)
	if e.Gone {
		i.output.Write([]byte(e.Output))
		return e, errors.New(e.Text)
	}
	i.text = []byte(e.Text)
	if e.Call != "" && e.Errno > 0 {
		i.remember(e.Call, &abi.Error{Errno: e.Errno, Text: e.Cause})
	}
	return e, nil
}

func harmless(text string) string {
	return printable([]byte(text[:min(len(text), maxErrorText)]), false)
}

// Refusal returns the end as an error of its own, or nil for a success.
func (e Ending) Refusal() error {
	switch {
	case e.Errno != 0:
		return &abi.Error{Errno: e.Errno, Text: e.Text}
	case e.Gone || e.Text != "":
		return errors.New(e.Text)
	}
	return nil
}

// Answer is what a guest learns of a call.
type Answer struct {
	Result int
	Errno  abi.Errno // 0 for a success
	Told   string    // how much of the error the guest may see
}

// Call lets a call of the guest through to the session, or not. An error is a
// panic of the host's own code, and ends the guest.
func (o *Outside) Call(f *abi.Func, do func(context.Context, abi.Session) (int, error)) (a Answer, err error) {
	i := o.instance
	defer func() {
		if value := recover(); value != nil {
			err = cmp.Or(i.fault, fmt.Errorf("the host panicked: %v", value))
		}
	}()
	a.Result, err = i.serve(f, func(i *Instance, _ args) (int, error) { return do(i.ctx, i.session) }, nil)
	if err != nil {
		a = Answer{Errno: i.remember(f.Name, err)}
		a.Told = strings.TrimPrefix(i.latest, f.Name+": ")
	}
	return a, nil
}

// Wait waits as the call of a guest of this process does: it leaves the session
// behind when the run ends, on a goroutine that owns the records, and takes a
// panic over from there. It is for use in [Outside.Call].
func (o *Outside) Wait(ctx context.Context, s abi.Session, records []abi.Completion) (int, error) {
	type outcome struct {
		n     int
		err   error
		fault *hostFault
	}
	ended := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if value := recover(); value != nil {
				o.fault = &hostFault{call: "wait", value: value, stack: debug.Stack()}
			}
			ended <- o
		}()
		o.n, o.err = s.Wait(records)
	}()
	select {
	case o := <-ended:
		if o.fault != nil {
			panic(o.fault)
		}
		return o.n, o.err
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// Log writes a line of the guest to the session's log, within the limit.
func (o *Outside) Log(level abi.Level, line []byte) { o.instance.writeLog(level, line) }

// Note keeps what the other process printed, for the error of a crash.
func (o *Outside) Note(output []byte) { o.instance.output.Write(output) }

// Output returns what was noted, safe to print.
func (o *Outside) Output() string { return o.instance.output.String() }

// EndingOf tells, for the host's half, how a method of an instance ended: the one
// that just returned err. Without an instance, err is that of a start.
func EndingOf(i *Instance, err error) Ending {
	var failed *Error
	switch {
	case err == nil:
		return Ending{}
	case !errors.As(err, &failed):
		return Ending{Errno: abi.ErrnoOf(err), Text: err.Error()}
	case i == nil || i.broken != nil:
		return Ending{Gone: true, Text: failed.Text, Output: failed.Output}
	}
	e := Ending{Errno: failed.Errno, Text: string(i.text)}
	known, ok := i.errors[e.Errno]
	// What the session refused is known to the host: it came over as an abi.Error.
	if _, relayed := known.cause.(*abi.Error); ok && !relayed {
		e.Call, e.Cause = known.call, known.cause.Error()
	}
	return e
}
