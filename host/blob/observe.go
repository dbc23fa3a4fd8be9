package blob

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync/atomic"
	"time"
)

// Verb names a method of [Store].
type Verb string

// The verbs.
const (
	VerbCreate Verb = "create"
	VerbOpen   Verb = "open"
	VerbStat   Verb = "stat"
	VerbList   Verb = "list"
	VerbDelete Verb = "delete"
	VerbTidy   Verb = "tidy"
)

// Op describes a call that has ended.
type Op struct {
	Verb     Verb
	Name     string        // of a list, the prefix; of a delete, the names with a space between them
	Bytes    int64         // of the body that went through; 0 without one
	Err      error         // of the call, its body or its sequence
	Duration time.Duration // to the end of the body or sequence
}

// Observe returns a store that tells fn about every call once it has ended: an
// Open when its reader is closed, a List when its sequence ends. The time that
// the caller takes over them counts. Calls that run at the same time call fn at
// the same time.
func Observe(s Store, fn func(Op)) Store {
	return &observed{store: s, tell: fn}
}

type observed struct {
	store Store
	tell  func(Op)
}

func (o *observed) Create(ctx context.Context, name string, r io.Reader) error {
	start, body := time.Now(), &meter{Reader: r}
	err := o.store.Create(ctx, name, body)
	o.tell(Op{VerbCreate, name, body.bytes.Load(), err, time.Since(start)})
	return err
}

func (o *observed) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	start := time.Now()
	r, err := o.store.Open(ctx, name, offset, length)
	if err != nil {
		o.tell(Op{VerbOpen, name, 0, err, time.Since(start)})
		return nil, err
	}
	body := &meter{Reader: r}
	body.close = func() error {
		err := r.Close()
		o.tell(Op{VerbOpen, name, body.bytes.Load(), errors.Join(body.err, err), time.Since(start)})
		return err
	}
	return body, nil
}

func (o *observed) Stat(ctx context.Context, name string) (Info, error) {
	start := time.Now()
	info, err := o.store.Stat(ctx, name)
	o.tell(Op{VerbStat, name, 0, err, time.Since(start)})
	return info, err
}

func (o *observed) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		op, start := Op{Verb: VerbList, Name: prefix}, time.Now()
		defer func() { op.Duration = time.Since(start); o.tell(op) }()
		for info, err := range o.store.List(ctx, prefix, after) {
			op.Err = err
			if !yield(info, err) {
				return
			}
		}
	}
}

func (o *observed) Delete(ctx context.Context, names ...string) error {
	start := time.Now()
	err := o.store.Delete(ctx, names...)
	o.tell(Op{VerbDelete, strings.Join(names, " "), 0, err, time.Since(start)})
	return err
}

func (o *observed) Tidy(ctx context.Context, before time.Time) (Tidied, error) {
	start := time.Now()
	tidied, err := o.store.Tidy(ctx, before)
	o.tell(Op{VerbTidy, "", 0, err, time.Since(start)})
	return tidied, err
}

// meter counts the bytes of a body and remembers the error that ended it.
type meter struct {
	io.Reader
	close func() error // nil after the first Close
	bytes atomic.Int64 // a store may read on in the background after Create
	err   error
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	m.bytes.Add(int64(n))
	if err != nil && err != io.EOF {
		m.err = err
	}
	return n, err
}

func (m *meter) Close() error {
	if m.close == nil {
		return nil
	}
	end := m.close
	m.close = nil
	return end()
}
