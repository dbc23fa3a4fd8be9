package rocks

import (
	"errors"
	"fmt"
	"sync"
)

// ErrClosed reports the use of a database after Close has begun.
var ErrClosed = errors.New("database is closed")

// lease keeps a database open while it is in use. The zero value is ready.
type lease struct {
	mu     sync.Mutex
	closed bool
	users  sync.WaitGroup
	once   sync.Once
}

// acquire returns a function that gives the lease back; calling it again does
// nothing.
func (l *lease) acquire(path string) (release func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, fmt.Errorf("use %s: %w", path, ErrClosed)
	}
	return l.share(), nil
}

// share returns one more lease to somebody who holds one. A close that waits for
// that one waits for this one as well.
func (l *lease) share() (release func()) {
	l.users.Add(1)
	return sync.OnceFunc(l.users.Done)
}

// close refuses new leases, waits for those that are out, and runs finish once.
func (l *lease) close(finish func()) {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.users.Wait()
	l.once.Do(finish)
}
