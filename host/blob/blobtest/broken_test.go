package blobtest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// broken stores, each with a law that must catch it.
var broken = []struct {
	name, law string
	wrap      func(blob.Store) blob.Store
}{
	{"overwrites", "create on a taken name changes nothing", func(s blob.Store) blob.Store { return overwriting{s} }},
	{"claims to have created", "one of many racing creators wins", func(s blob.Store) blob.Store { return claiming{s} }},
	{"looks and then creates", "one of many racing creators wins", func(s blob.Store) blob.Store { return &gapped{Store: s} }},
	{"looks and then creates big objects", "one of the racing creators of a big object wins", func(s blob.Store) blob.Store { return &gapped{Store: s, from: 5 << 20} }},
	{"shares parts between creators", "one of the racing creators of a big object wins", func(s blob.Store) blob.Store { return &mixing{Store: s, won: make(chan struct{})} }},
	{"resumes with other bytes", "create a big object again after it failed", func(s blob.Store) blob.Store { return &leaking{Store: s} }},
	{"stores what came before an error", "an error of the reader leaves nothing", func(s blob.Store) blob.Store { return hasty{s} }},
	{"stores what came before cancelling", "cancelling a create leaves nothing", func(s blob.Store) blob.Store { return hasty{s} }},
	{"shows what is not whole", "create shows whole objects only", func(s blob.Store) blob.Store { return growing{s} }},
	{"cuts large objects", "create large object", cutting(1 << 20)},
	{"cuts big objects", "create big objects", cutting(12 << 20)},
	{"lists unsorted", "list every prefix after every name", func(s blob.Store) blob.Store { return unsorted{s} }},
	{"takes any length", "open ranges", func(s blob.Store) blob.Store { return lenient{s} }},
	{"tells wrong checksums", "stat tells the truth about checksums", lying(0)},
	{"tells checksums of parts", "create big objects", lying(5 << 20)},
	{"misses what is absent", "delete what is absent", deleting(missAbsent)},
	{"misses one that is absent", "delete several", deleting(missAbsent)},
	{"deletes everything when told nothing", "delete several", deleting(deleteAll)},
	{"deletes the first", "delete several", deleting(deleteFirst(1))},
	{"deletes a thousand", "list and delete many", deleting(deleteFirst(1000))},
	{"deletes before it looks at names", "delete beside an invalid name", deleting(deleteEach)},
	{"tidies objects", "tidy removes nothing that is visible", func(s blob.Store) blob.Store { return untidy{s} }},
	{"finds the same for ever", "tidy removes nothing that is visible", func(s blob.Store) blob.Store { return boasting{s} }},
	{"tidies whatever its age", "tidy spares a young create", func(s blob.Store) blob.Store { return &ruthless{Store: s} }},
	{"claims what was tidied", "tidy never makes a create half", func(s blob.Store) blob.Store { return &ruthless{Store: s, silent: true} }},
}

type overwriting struct{ blob.Store }

func (s overwriting) Create(ctx context.Context, name string, r io.Reader) error {
	return errors.Join(s.Delete(ctx, name), s.Store.Create(ctx, name, r))
}

type claiming struct{ blob.Store }

func (s claiming) Create(ctx context.Context, name string, r io.Reader) error {
	if err := s.Store.Create(ctx, name, r); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// gapped overwrites objects from a size on that were not there when it looked.
type gapped struct {
	blob.Store
	from int
	mu   sync.Mutex // makes one step of delete and create
}

func (s *gapped) Create(ctx context.Context, name string, r io.Reader) error {
	_, absent := s.Stat(ctx, name)
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	time.Sleep(20 * time.Millisecond) // for all the others to look
	s.mu.Lock()
	defer s.mu.Unlock()
	if absent != nil && len(content) >= s.from {
		err = s.Delete(ctx, name)
	}
	return errors.Join(err, s.Store.Create(ctx, name, bytes.NewReader(content)))
}

// mixing gives the creators of one name the first part of whoever came first, and
// lets another win.
type mixing struct {
	blob.Store
	parts sync.Map
	won   chan struct{}
	once  sync.Once
}

func (s *mixing) Create(ctx context.Context, name string, r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	part := content[:min(5<<20, len(content))]
	first, late := s.parts.LoadOrStore(name, part)
	if !late {
		<-s.won
	}
	err = s.Store.Create(ctx, name, bytes.NewReader(slices.Concat(first.([]byte), content[len(part):])))
	s.once.Do(func() { close(s.won) })
	return err
}

// leaking uses what it has of a create that failed, whatever comes now.
type leaking struct {
	blob.Store
	left []byte
}

func (s *leaking) Create(ctx context.Context, name string, r io.Reader) error {
	content, err := io.ReadAll(r)
	copy(content, s.left)
	s.left = nil
	if err != nil {
		s.left = content
		return err
	}
	return s.Store.Create(ctx, name, bytes.NewReader(content))
}

// hasty commits what it has when its source fails.
type hasty struct{ blob.Store }

func (s hasty) Create(ctx context.Context, name string, r io.Reader) error {
	var got bytes.Buffer
	_, failed := io.Copy(&got, io.LimitReader(r, 4<<20))
	err := s.Store.Create(context.WithoutCancel(ctx), name, &got)
	return errors.Join(failed, err, ctx.Err())
}

// growing shows the first half of an object before the whole.
type growing struct{ blob.Store }

func (s growing) Create(ctx context.Context, name string, r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	err = s.Store.Create(ctx, name, bytes.NewReader(content[:len(content)/2]))
	if err != nil {
		return err
	}
	time.Sleep(10 * time.Millisecond)
	return errors.Join(s.Delete(ctx, name), s.Store.Create(ctx, name, bytes.NewReader(content)))
}

func cutting(at int64) func(blob.Store) blob.Store {
	return func(s blob.Store) blob.Store {
		return blob.Faulty(s, func(blob.Call) blob.Fault {
			return blob.Fault{Mode: blob.Cut, At: at, Err: io.EOF}
		})
	}
}

// unsorted lists by path element, as walking a tree does.
type unsorted struct{ blob.Store }

func (s unsorted) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, deep := range []bool{true, false} {
			for info, err := range s.Store.List(ctx, prefix, after) {
				if strings.Contains(info.Name, "/") == deep && !yield(info, err) {
					return
				}
			}
		}
	}
}

type lenient struct{ blob.Store }

func (s lenient) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.Store.Open(ctx, name, offset, -1)
	if err != nil || length < 0 {
		return r, err
	}
	return struct {
		io.Reader
		io.Closer
	}{io.LimitReader(r, length), r}, nil
}

// liar tells a wrong checksum of objects from a size on.
type liar struct {
	blob.Store
	from int64
}

func lying(from int64) func(blob.Store) blob.Store {
	return func(s blob.Store) blob.Store { return liar{s, from} }
}

func (s liar) Stat(ctx context.Context, name string) (blob.Info, error) {
	info, err := s.Store.Stat(ctx, name)
	if info.CRC32C != nil && info.Size >= s.from {
		*info.CRC32C++
	}
	return info, err
}

// deleter has a Delete of its own.
type deleter struct {
	blob.Store
	remove func(ctx context.Context, s blob.Store, names []string) error
}

func (s deleter) Delete(ctx context.Context, names ...string) error {
	return s.remove(ctx, s.Store, names)
}

func deleting(remove func(context.Context, blob.Store, []string) error) func(blob.Store) blob.Store {
	return func(s blob.Store) blob.Store { return deleter{s, remove} }
}

func missAbsent(ctx context.Context, s blob.Store, names []string) error {
	for _, name := range names {
		if _, err := s.Stat(ctx, name); err != nil {
			return err
		}
	}
	return s.Delete(ctx, names...)
}

func deleteAll(ctx context.Context, s blob.Store, names []string) error {
	told := len(names)
	for info := range s.List(ctx, "", "") {
		if told == 0 {
			names = append(names, info.Name)
		}
	}
	return s.Delete(ctx, names...)
}

func deleteFirst(n int) func(context.Context, blob.Store, []string) error {
	return func(ctx context.Context, s blob.Store, names []string) error {
		return s.Delete(ctx, names[:min(n, len(names))]...)
	}
}

func deleteEach(ctx context.Context, s blob.Store, names []string) (failed error) {
	for _, name := range names {
		failed = errors.Join(failed, s.Delete(ctx, name))
	}
	return failed
}

// untidy takes old objects for something left behind.
type untidy struct{ blob.Store }

func (s untidy) Tidy(ctx context.Context, before time.Time) (blob.Tidied, error) {
	for info := range s.List(ctx, "", "") {
		if info.Modified.Before(before) {
			return blob.Tidied{Uploads: 1, Bytes: info.Size}, s.Delete(ctx, info.Name)
		}
	}
	return blob.Tidied{}, ctx.Err()
}

// boasting finds something to tidy every time.
type boasting struct{ blob.Store }

func (s boasting) Tidy(context.Context, time.Time) (blob.Tidied, error) {
	return blob.Tidied{Uploads: 1}, nil
}

// ruthless tidies every create that runs, and may not tell its caller.
type ruthless struct {
	blob.Store
	silent bool
	tidied atomic.Int64
}

func (s *ruthless) Create(ctx context.Context, name string, r io.Reader) error {
	before := s.tidied.Load()
	content, err := io.ReadAll(r)
	switch {
	case err != nil:
		return err
	case s.tidied.Load() == before:
		return s.Store.Create(ctx, name, bytes.NewReader(content))
	case s.silent:
		return nil
	}
	return errors.New("no such upload")
}

func (s *ruthless) Tidy(ctx context.Context, _ time.Time) (blob.Tidied, error) {
	s.tidied.Add(1)
	return blob.Tidied{}, ctx.Err()
}
