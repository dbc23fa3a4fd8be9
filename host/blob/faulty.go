package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"
	"time"
)

// ErrFault is the error of an injected fault that names no other.
var ErrFault = errors.New("injected fault")

// Mode says how a call fails.
type Mode int

// The modes of a fault.
const (
	Pass Mode = iota // it does not
	Fail             // before anything is done
	Lose             // after it was done: the answer is lost
	Cut              // in the middle of its body or sequence; a call without one fails
)

// Fault says what happens to one call. Err is what the caller sees; where it is
// nil that is [ErrFault], and for Lose [ErrUnknownOutcome]. A Cut with io.EOF
// makes a short body look whole; one beyond the end does nothing.
type Fault struct {
	Mode Mode
	At   int64 // of Cut: bytes of the body, objects of the list, or names of the delete, that still pass
	Err  error
}

// Call identifies a call by its number, from 1, in the order in which calls
// begin; a List begins when its sequence is ranged over.
type Call struct {
	Number int
	Verb   Verb
	Name   string // of a list, the prefix; of a delete, the names with a space between them
}

// Plan decides about each call. It is asked for one call at a time, in the order
// of numbers, so it may keep count without a lock.
type Plan func(Call) Fault

// Faulty returns a store whose calls fail as planned. A test that makes call n
// fail, for every n, has driven its subject through every failure of a store.
func Faulty(s Store, plan Plan) Store {
	return &faulty{store: s, plan: plan}
}

type faulty struct {
	store Store
	plan  Plan
	mu    sync.Mutex // guards calls, and plan against itself
	calls int
}

// begin numbers a call and asks what happens to it.
func (f *faulty) begin(verb Verb, name string) Fault {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	fault := f.plan(Call{f.calls, verb, name})
	switch {
	case fault.Err != nil:
	case fault.Mode == Lose:
		fault.Err = ErrUnknownOutcome
	default:
		fault.Err = ErrFault
	}
	return fault
}

func (f *faulty) Create(ctx context.Context, name string, r io.Reader) error {
	fault := f.begin(VerbCreate, name)
	switch fault.Mode {
	case Fail:
		return fault.Err
	case Cut:
		r = &cutReader{r, fault.At, fault.Err}
	}
	return fault.after(f.store.Create(ctx, name, r))
}

func (f *faulty) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	fault := f.begin(VerbOpen, name)
	if fault.Mode == Fail {
		return nil, fault.Err
	}
	body, err := f.store.Open(ctx, name, offset, length)
	switch {
	case err != nil:
		return nil, err
	case fault.Mode == Lose:
		return nil, errors.Join(fault.Err, body.Close())
	case fault.Mode == Cut:
		return struct {
			io.Reader
			io.Closer
		}{&cutReader{body, fault.At, fault.Err}, body}, nil
	}
	return body, nil
}

func (f *faulty) Stat(ctx context.Context, name string) (Info, error) {
	fault := f.begin(VerbStat, name)
	if fault.Mode != Pass {
		return Info{}, fault.Err
	}
	return f.store.Stat(ctx, name)
}

func (f *faulty) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		fault := f.begin(VerbList, prefix)
		if fault.Mode == Fail || fault.Mode == Lose {
			yield(Info{}, fault.Err)
			return
		}
		passed := int64(0)
		for info, err := range f.store.List(ctx, prefix, after) {
			if fault.Mode == Cut && passed == fault.At {
				yield(Info{}, fault.Err)
				return
			}
			passed++
			if !yield(info, err) {
				return
			}
		}
	}
}

func (f *faulty) Delete(ctx context.Context, names ...string) error {
	fault := f.begin(VerbDelete, strings.Join(names, " "))
	switch {
	case fault.Mode == Fail:
		return fault.Err
	case fault.Mode == Cut && fault.At < int64(len(names)):
		return errors.Join(fault.Err, f.store.Delete(ctx, names[:fault.At]...))
	}
	return fault.after(f.store.Delete(ctx, names...))
}

func (f *faulty) Tidy(ctx context.Context, before time.Time) (Tidied, error) {
	fault := f.begin(VerbTidy, "")
	if fault.Mode == Fail || fault.Mode == Cut {
		return Tidied{}, fault.Err
	}
	tidied, err := f.store.Tidy(ctx, before)
	return tidied, fault.after(err)
}

// after turns the result of a call that was made into what the caller sees.
func (f Fault) after(err error) error {
	if f.Mode == Lose && err == nil {
		return f.Err
	}
	return err
}

// cutReader yields left bytes of a body, then an error.
type cutReader struct {
	io.Reader
	left int64
	err  error
}

func (c *cutReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, c.err
	}
	n, err := c.Reader.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}
