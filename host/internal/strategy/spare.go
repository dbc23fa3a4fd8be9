package strategy

import (
	"context"
	"sync"
	"time"
)

// spare is an instance that was started before anybody asked for one: the runtime
// of a guest takes milliseconds to initialise itself.
type spare struct {
	mu     sync.Mutex
	timer  *time.Timer
	due    chan struct{} // closed when the timer's work is done; nil while none is due
	ready  *Instance     // nil for none
	closed bool
}

// Warm starts an instance in the background after some time, unless one is ready,
// for [Module.New] to hand out. Its memory counts against the budget only once it
// is handed out, so it is in nobody's way.
func (m *Module) Warm(after time.Duration) {
	s := &m.spare
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.ready != nil || s.due != nil {
		return
	}
	due := make(chan struct{})
	s.due = due
	s.timer = time.AfterFunc(after, func() {
		defer close(due)
		i := m.startAhead()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ready, s.due = i, nil
	})
}

// startAhead returns nil where an instance cannot be started. New then tries once
// more, and has somebody to tell.
func (m *Module) startAhead() *Instance {
	ctx := context.Background() // limits.Control bounds it
	i := newInstance(m)
	if err := i.start(ctx, nil); err != nil {
		i.Close(ctx)
		return nil
	}
	return i
}

// take returns the instance that is ready or nearly so, or nil when there is none
// that the budget has room for.
func (m *Module) take() *Instance {
	m.spare.settle()
	m.spare.mu.Lock()
	i := m.spare.ready
	m.spare.ready = nil
	m.spare.mu.Unlock()
	if i == nil || i.linear.join(m.budget) {
		return i
	}
	i.Close(context.Background())
	return nil
}

// settle calls off what has not begun, and waits for what has.
func (s *spare) settle() {
	s.mu.Lock()
	due := s.due
	if due != nil && s.timer.Stop() {
		s.due, due = nil, nil
	}
	s.mu.Unlock()
	if due != nil {
		<-due
	}
}

// close leaves the instance to the module, which closes it with the others.
func (s *spare) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.settle()
	s.mu.Lock()
	s.ready = nil
	s.mu.Unlock()
}
