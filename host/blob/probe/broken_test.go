package probe_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// broken stores, each with the checks that have to fail.
var broken = []struct {
	name  string
	fails []string
	wrap  func(blob.Store) blob.Store
}{
	{"overwrites", []string{twice, small, large}, func(s blob.Store) blob.Store { return &overwriting{Store: s} }},
	{"overwrites with large objects", []string{twice, large}, func(s blob.Store) blob.Store { return &overwriting{Store: s, from: 16 << 20} }},
	{"looks, then creates", []string{small, large}, func(s blob.Store) blob.Store { return &gapped{overwriting{Store: s}} }},
	{"looks, then creates large objects", []string{large}, func(s blob.Store) blob.Store { return &gapped{overwriting{Store: s, from: 16 << 20}} }},
	{"tells everyone to have won", []string{twice, small, large}, func(s blob.Store) blob.Store { return claiming{s} }},
	{"mixes the creators' bytes", []string{large}, func(s blob.Store) blob.Store { return &mixing{Store: s, won: make(chan struct{})} }},
	{"ignores ranges", []string{"ranged reads"}, func(s blob.Store) blob.Store { return rangeless{s} }},
	{"wrong checksums", []string{"checksums"}, func(s blob.Store) blob.Store { return lying{s, 0} }},
	{"wrong checksums of large objects", []string{"checksums"}, func(s blob.Store) blob.Store { return lying{s, 16 << 20} }},
	{"no clock", []string{"clock"}, func(s blob.Store) blob.Store { return timeless{s} }},
	{"lists late", []string{"list after create"}, func(s blob.Store) blob.Store { return &stale{Store: s} }},
	{"lists by path element", []string{"list after create", "order and pages of lists"}, func(s blob.Store) blob.Store { return unsorted{s} }},
	{"lists from the beginning", []string{"order and pages of lists"}, func(s blob.Store) blob.Store { return pageless{s} }},
	{"deletes one", []string{"delete many", "list after delete", "clean up"}, func(s blob.Store) blob.Store { return sparing{s} }},
	{"lists what is gone", []string{"list after delete", "clean up"}, func(s blob.Store) blob.Store { return &haunted{Store: s} }},
}

const (
	twice = "conditional create"
	small = "conditional create, many at once"
	large = "conditional create of large objects, many at once"
)

// overwriting replaces an object by one of at least so many bytes.
type overwriting struct {
	blob.Store
	from int
	mu   sync.Mutex // makes one step of delete and create
}

func (s *overwriting) Create(ctx context.Context, name string, r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(content) >= s.from {
		err = s.Delete(ctx, name)
	}
	return errors.Join(err, s.Store.Create(ctx, name, bytes.NewReader(content)))
}

// gapped is overwriting, but refuses a name that was taken when it looked.
type gapped struct{ overwriting }

func (s *gapped) Create(ctx context.Context, name string, r io.Reader) error {
	if _, err := s.Stat(ctx, name); err == nil {
		return fs.ErrExist
	}
	time.Sleep(20 * time.Millisecond) // for all the others to look
	return s.overwriting.Create(ctx, name, r)
}

type claiming struct{ blob.Store }

func (s claiming) Create(ctx context.Context, name string, r io.Reader) error {
	if err := s.Store.Create(ctx, name, r); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// mixing gives the creators of the large object the first part of whoever came
// first, and lets another win.
type mixing struct {
	blob.Store
	parts sync.Map
	won   chan struct{}
	once  sync.Once
}

func (s *mixing) Create(ctx context.Context, name string, r io.Reader) error {
	if !strings.HasSuffix(name, "/large") {
		return s.Store.Create(ctx, name, r)
	}
	part := make([]byte, 8<<20)
	if _, err := io.ReadFull(r, part); err != nil {
		return err
	}
	first, late := s.parts.LoadOrStore(name, part)
	if !late {
		<-s.won
	}
	err := s.Store.Create(ctx, name, io.MultiReader(bytes.NewReader(first.([]byte)), r))
	s.once.Do(func() { close(s.won) })
	return err
}

type rangeless struct{ blob.Store }

func (s rangeless) Open(ctx context.Context, name string, _, _ int64) (io.ReadCloser, error) {
	return s.Store.Open(ctx, name, 0, -1)
}

// lying tells wrong checksums of objects of at least so many bytes.
type lying struct {
	blob.Store
	from int64
}

func (s lying) Stat(ctx context.Context, name string) (blob.Info, error) {
	info, err := s.Store.Stat(ctx, name)
	if info.CRC32C != nil && info.Size >= s.from {
		*info.CRC32C++
	}
	return info, err
}

type timeless struct{ blob.Store }

func (s timeless) Stat(ctx context.Context, name string) (blob.Info, error) {
	info, err := s.Store.Stat(ctx, name)
	info.Modified = time.Time{}
	return info, err
}

// stale does not list the object that was created last, once.
type stale struct {
	blob.Store
	mu   sync.Mutex
	last string
}

func (s *stale) Create(ctx context.Context, name string, r io.Reader) error {
	s.mu.Lock()
	s.last = name
	s.mu.Unlock()
	return s.Store.Create(ctx, name, r)
}

func (s *stale) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	s.mu.Lock()
	last := s.last
	s.last = ""
	s.mu.Unlock()
	return filtered(s.Store.List(ctx, prefix, after), func(name string) bool { return name != last })
}

// filtered is a list without some objects.
func filtered(list iter.Seq2[blob.Info, error], keep func(name string) bool) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for info, err := range list {
			if keep(info.Name) && !yield(info, err) {
				return
			}
		}
	}
}

// unsorted lists what is deeper first.
type unsorted struct{ blob.Store }

func (s unsorted) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, deep := range []bool{true, false} {
			isDeep := func(name string) bool { return strings.Count(name, "/") > 3 == deep }
			for info, err := range filtered(s.Store.List(ctx, prefix, after), isDeep) {
				if !yield(info, err) {
					return
				}
			}
		}
	}
}

type pageless struct{ blob.Store }

func (s pageless) List(ctx context.Context, prefix, _ string) iter.Seq2[blob.Info, error] {
	return s.Store.List(ctx, prefix, "")
}

type sparing struct{ blob.Store }

func (s sparing) Delete(ctx context.Context, names ...string) error {
	return s.Store.Delete(ctx, names[:1]...)
}

// haunted goes on to list objects that were deleted.
type haunted struct {
	blob.Store
	ghosts []string
}

func (s *haunted) Delete(ctx context.Context, names ...string) error {
	for _, name := range names {
		if _, err := s.Stat(ctx, name); err == nil {
			s.ghosts = append(s.ghosts, name)
		}
	}
	return s.Store.Delete(ctx, names...)
}

func (s *haunted) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, name := range s.ghosts {
			if strings.HasPrefix(name, prefix) && name > after && !yield(blob.Info{Name: name}, nil) {
				return
			}
		}
		for info, err := range s.Store.List(ctx, prefix, after) {
			if !yield(info, err) {
				return
			}
		}
	}
}
