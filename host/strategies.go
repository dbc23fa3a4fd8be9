package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
)

// instance is a strategy that serves one snapshot.
type instance interface {
	abi.Strategy
	abi.Notifier
	abi.Restorer
	Close(ctx context.Context) error
}

// strategies hands out the current generation. Whoever takes one keeps it whole,
// however often the configuration is reloaded meanwhile, until it is released.
type strategies struct {
	native  map[string]func() abi.Strategy
	wrap    func(abi.Session) abi.Session // nil for none
	cache   string
	log     *slog.Logger
	modules *modules

	mu      sync.Mutex  // guards current and the uses of every generation
	current *generation // the last one, once closed
	closed  bool
}

// errClosed is the error of those who come after Close.
var errClosed = errors.New("the host is closed")

func newStrategies(cfg *config.Config, s settings) *strategies {
	all := &strategies{native: s.native, wrap: s.wrap, cache: s.cache, log: s.log, modules: newModules()}
	all.current = all.generation(cfg)
	return all
}

// generation makes one that nobody else knows, with one use: the caller's.
func (s *strategies) generation(cfg *config.Config) *generation {
	return &generation{cfg: cfg, strategies: s, uses: 1, files: make(map[string]*moduleFile), loaded: make(map[string]*module)}
}

// config returns the current configuration.
func (s *strategies) config() *config.Config { return s.latest().cfg }

// latest returns the current generation, for those who need only what it has read.
func (s *strategies) latest() *generation {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

// take returns a generation that the caller has already, or else the current one,
// to be released once more.
func (s *strategies) take(had *generation) (*generation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	if had == nil {
		had = s.current
	}
	had.uses++
	return had, nil
}

// replace makes the next generation the current one, and returns the one before,
// to be released in place of next.
func (s *strategies) replace(next *generation) (before *generation, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	before, s.current = s.current, next
	return before, nil
}

// start returns a fresh instance of the named strategy, for those who close
// everything after it.
func (s *strategies) start(ctx context.Context, name string) (instance, error) {
	return s.current.start(ctx, name)
}

// close lets the current generation go. Modules that are still in use are closed
// by those who use them.
func (s *strategies) close(ctx context.Context) error {
	s.mu.Lock()
	closed, last := s.closed, s.current
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	return last.release(ctx)
}

// nativeInstance runs an author's Go type without a sandbox. It names the
// strategy and the phase in errors, as a module's instance does.
type nativeInstance struct {
	name     string
	strategy abi.Strategy
}

func (n nativeInstance) wrap(phase abi.Phase, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("strategy %q: %s: %w", n.name, phase, err)
}

// Init implements [abi.Strategy].
func (n nativeInstance) Init(ctx context.Context, s abi.Session) error {
	return n.wrap(abi.PhaseInit, n.strategy.Init(ctx, s))
}

// Prepare implements [abi.Strategy].
func (n nativeInstance) Prepare(ctx context.Context, s abi.Session) error {
	return n.wrap(abi.PhasePrepare, n.strategy.Prepare(ctx, s))
}

// Snapshot implements [abi.Strategy].
func (n nativeInstance) Snapshot(ctx context.Context, s abi.Session) error {
	return n.wrap(abi.PhaseSnapshot, n.strategy.Snapshot(ctx, s))
}

// Notify passes a notification on, where the type wants it; else [abi.ENOSYS].
func (n nativeInstance) Notify(ctx context.Context, s abi.Session, note abi.Notification) error {
	notifier, ok := n.strategy.(abi.Notifier)
	if !ok {
		return abi.ENOSYS
	}
	return n.wrap(abi.PhaseNotify, notifier.Notify(ctx, s, note))
}

// Restore steers a restore, where the type wants it; else [abi.ENOSYS].
func (n nativeInstance) Restore(ctx context.Context, s abi.Session) error {
	restorer, ok := n.strategy.(abi.Restorer)
	if !ok {
		return abi.ENOSYS
	}
	return n.wrap(abi.PhaseRestore, restorer.Restore(ctx, s))
}

// Close does nothing: there is no instance to discard.
func (nativeInstance) Close(context.Context) error { return nil }
