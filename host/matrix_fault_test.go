package host_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// errStopped is what an operation sees that is kept from its work.
var errStopped = fmt.Errorf("stopped: %w", unix.EIO)

// kind says how an operation fails.
type kind string

const (
	// stopped: the program dies before the operation; neither it nor any later
	// one, of cleaning up, say, does anything. As seen from outside this is also
	// the program that dies right after the operation before.
	stopped kind = "stopped"
	// lost: the operation is done, and then an error is returned, once.
	lost kind = "lost"
	// vanished: an object is not created, and nobody says so, once.
	vanished kind = "vanished"
	// cut: a body, a list or a delete breaks off in the middle, once.
	cut kind = "cut"
)

// fault makes the operation with a number, from 1, fail; the zero fault none.
type fault struct {
	kind kind
	at   int
}

// script numbers the operations of one run and applies a fault.
type script struct {
	fault
	mu  sync.Mutex
	ops []string // as they came
}

// next enters an operation and says what happens to it: "" for nothing.
func (s *script) next(verb, name string) kind {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ops = append(s.ops, verb+" "+name)
	switch n := len(s.ops); {
	case s.at == 0 || n < s.at, n > s.at && s.kind != stopped:
		return ""
	}
	return s.kind
}

// verb returns the verb of the nth operation.
func (s *script) verb(n int) string {
	verb, _, _ := strings.Cut(s.ops[n-1], " ")
	return verb
}

// store returns a store whose calls go by the script.
func (s *script) store(store blob.Store) blob.Store {
	return blob.Faulty(store, func(c blob.Call) blob.Fault {
		f := blob.Fault{Err: errStopped}
		switch s.next(string(c.Verb), c.Name) {
		case stopped:
			f.Mode = blob.Fail
		case lost:
			f.Mode = blob.Lose
			if c.Verb == blob.VerbCreate {
				f.Err = blob.ErrUnknownOutcome
			}
		case vanished:
			f.Mode, f.Err = blob.Fail, blob.ErrUnknownOutcome
		case cut:
			f.Mode, f.At = blob.Cut, 1
		}
		return f
	})
}

// change makes a change of the file system as the script says.
func (s *script) change(op durable.Op, change func() error) error {
	switch s.next(op.Verb, op.Path) {
	case stopped:
		return errStopped
	case lost:
		if err := change(); err != nil {
			return err
		}
		return errStopped
	}
	return change()
}

// stage knows the scripts of the worlds whose changes of the file system are
// intercepted, by their folders.
type stage struct {
	root    string // of the folders
	scripts sync.Map
}

func (s *stage) intercept(op durable.Op, change func() error) error {
	below, err := filepath.Rel(s.root, op.Path)
	if err != nil {
		return change()
	}
	world, _, _ := strings.Cut(below, "/")
	if found, ok := s.scripts.Load(filepath.Join(s.root, world)); ok {
		return found.(*script).change(op, change)
	}
	return change()
}
