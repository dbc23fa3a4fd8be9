package host

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// modules are the compiled modules of a host, which its generations share: a
// reload that does not touch a strategy compiles nothing.
type modules struct {
	mu   sync.Mutex // guards held, and the uses of each module
	held map[moduleKey]*module
}

// moduleKey holds all that a compiled module depends on.
type moduleKey struct {
	name, digest, grants, cache string
	limits                      strategy.Limits
	budget                      *strategy.Budget
	process                     bool
}

func keyOf(name, digest string, o strategy.Options) moduleKey {
	return moduleKey{name, digest, fmt.Sprint(o.Grants), o.CacheDir, o.Limits, o.Budget, o.Process}
}

// module is a compiled module with the number of generations that hold it.
type module struct {
	*strategy.Module
	key   moduleKey
	uses  int           // guarded by modules.mu
	ready chan struct{} // closed once the rest is set
	err   error
}

func newModules() *modules { return &modules{held: make(map[moduleKey]*module)} }

// acquire returns the module of a key, to be released, and loads it when nobody
// has. One loads, and the others wait for it, each until its own ctx ends.
func (all *modules) acquire(ctx context.Context, key moduleKey, load func() (*strategy.Module, error)) (*module, error) {
	for {
		m, first := all.claim(key)
		if first {
			return m, all.fill(m, load)
		}
		select {
		case <-m.ready:
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), all.release(context.WithoutCancel(ctx), m))
		}
		if m.err == nil {
			return m, nil
		}
		if !errors.Is(m.err, context.Canceled) { // it was the other that gave up
			return nil, m.err
		}
	}
}

func (all *modules) claim(key moduleKey) (m *module, first bool) {
	all.mu.Lock()
	defer all.mu.Unlock()
	m, ok := all.held[key]
	if !ok {
		m = &module{key: key, ready: make(chan struct{})}
		all.held[key] = m
	}
	m.uses++
	return m, !ok
}

// fill loads a module that was claimed first. One that cannot be loaded is
// forgotten, so that the next may try again.
func (all *modules) fill(m *module, load func() (*strategy.Module, error)) error {
	defer close(m.ready)
	m.Module, m.err = load()
	if m.err != nil {
		all.mu.Lock()
		defer all.mu.Unlock()
		delete(all.held, m.key)
	}
	return m.err
}

// release gives a module back, and closes it after its last use.
func (all *modules) release(ctx context.Context, m *module) error {
	all.mu.Lock()
	m.uses--
	last := m.uses == 0 && all.held[m.key] == m
	if last {
		delete(all.held, m.key)
	}
	all.mu.Unlock()
	if !last {
		return nil
	}
	return m.Close(ctx)
}

// budgets are the bounds on the memory of all instances of this process, by their
// size: hosts with the same bound share it.
var budgets sync.Map

func budget(limit int64) *strategy.Budget {
	if b, ok := budgets.Load(limit); ok {
		return b.(*strategy.Budget)
	}
	b, _ := budgets.LoadOrStore(limit, strategy.NewBudget(limit))
	return b.(*strategy.Budget)
}
