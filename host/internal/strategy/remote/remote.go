// Package remote runs a strategy's module in a process of its own, with the
// runtime around it. Whoever breaks out of the WebAssembly sandbox is then in a
// process that has nothing: no environment, no files, no network, and two pipes,
// at whose other end [New]'s half of the instance checks every call again.
//
// The process is this program, started again by package child. It loads the module
// with package strategy, as the host itself would, and gives it a session whose
// methods are frames on the pipes.
package remote

import (
	"context"
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// task is the name under which package child knows this package's process.
const task = "strategy"

// Instance is a module that runs in a process of its own. It is to its caller as
// a [strategy.Instance]: same methods, same limits, same errors. It is killed
// with its process when it does not end within the grace after a cancel or
// deadline.
type Instance struct {
	outside *strategy.Outside
	guest   *guest
}

var (
	_ abi.Strategy = (*Instance)(nil)
	_ abi.Notifier = (*Instance)(nil)
	_ abi.Restorer = (*Instance)(nil)
)

// New starts a process, has it load a module, and starts an instance there. Load
// the module with [strategy.Load] beforehand: that compiles it into o.CacheDir,
// whence the process takes it; otherwise each one compiles it anew. Fails with
// child.ErrUnavailable in a program that cannot start itself.
func New(ctx context.Context, name string, file []byte, o strategy.Options) (*Instance, error) {
	return launchAs(ctx, task, name, file, o)
}

func launchAs(ctx context.Context, task, name string, file []byte, o strategy.Options) (*Instance, error) {
	g := &guest{}
	outside, err := strategy.NewOutside(name, file, o, g)
	if err != nil {
		return nil, err
	}
	if g.process, err = launch(task); err != nil {
		outside.Close()
		return nil, fmt.Errorf("strategy %q: %w", name, err)
	}
	limits := outside.Limits()
	g.wire = newWire(g.process.out, g.process.in, limits.Memory+2*maxFields)
	g.server = server{outside: outside, memory: uint64(limits.Memory), open: make(map[uint64]any)}
	i := &Instance{outside, g}
	err = g.load(ctx, limits.Compile, setup{name, limits, o.Grants, o.CacheDir, o.LogLevel}, file)
	if err == nil {
		err = outside.Start(ctx)
	}
	if err != nil {
		i.Close(ctx)
		return nil, err
	}
	return i, nil
}

// SHA256 returns the digest of the module's file, in hex.
func (i *Instance) SHA256() string { return i.outside.SHA256() }

// Init implements [abi.Strategy].
func (i *Instance) Init(ctx context.Context, s abi.Session) error {
	return i.outside.Run(ctx, abi.PhaseInit, s, abi.Notification{})
}

// Prepare implements [abi.Strategy]. Beyond its limit it fails with
// [context.DeadlineExceeded].
func (i *Instance) Prepare(ctx context.Context, s abi.Session) error {
	return i.outside.Run(ctx, abi.PhasePrepare, s, abi.Notification{})
}

// Snapshot implements [abi.Strategy]. Beyond its limit it fails with
// [context.DeadlineExceeded].
func (i *Instance) Snapshot(ctx context.Context, s abi.Session) error {
	return i.outside.Run(ctx, abi.PhaseSnapshot, s, abi.Notification{})
}

// Notify implements [abi.Notifier], and fails as an instance of package strategy.
func (i *Instance) Notify(ctx context.Context, s abi.Session, n abi.Notification) error {
	return i.outside.Notify(ctx, s, n)
}

// Restore implements [abi.Restorer]. It fails with [abi.ENOSYS] when the module
// leaves restoring to the host.
func (i *Instance) Restore(ctx context.Context, s abi.Session) error {
	return i.outside.Run(ctx, abi.PhaseRestore, s, abi.Notification{})
}

// Close kills the process and waits until it is gone. It waits for a call that is
// under way.
func (i *Instance) Close(context.Context) error {
	i.outside.Close()
	i.guest.process.close()
	return nil
}
