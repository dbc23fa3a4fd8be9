// Package mem keeps objects in memory: a store for tests and simulations, which
// is gone with its process.
//
// It starts no goroutine, waits for nothing and asks an exchangeable clock, so it
// runs inside a bubble of testing/synctest, and the same calls in the same order
// always have the same outcome.
package mem

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Store is a [blob.Store] in memory. It is safe for concurrent use.
type Store struct {
	now     func() time.Time
	mu      sync.RWMutex // guards what follows
	objects map[string]object
	names   []string // of the objects, sorted
}

type object struct {
	content
	modified time.Time
}

var _ blob.Store = (*Store)(nil)

// Option changes a [Store] that is being made.
type Option func(*Store)

// WithClock makes now the clock of the store; without it that is time.Now.
func WithClock(now func() time.Time) Option { return func(s *Store) { s.now = now } }

// New makes an empty store.
func New(options ...Option) *Store {
	s := &Store{now: time.Now, objects: make(map[string]object)}
	for _, option := range options {
		option(s)
	}
	return s
}

// Create stores a copy of what r yields. See [blob.Store].
func (s *Store) Create(ctx context.Context, name string, r io.Reader) error {
	if err := s.create(ctx, name, r); err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	return nil
}

func (s *Store) create(ctx context.Context, name string, r io.Reader) error {
	// A creator that comes late is told before it has sent anything. What decides
	// is the second look, when everything is there.
	switch _, err := s.lookup(ctx, name); {
	case err == nil:
		return fs.ErrExist
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	content, err := collect(ctx, r)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, taken := slices.BinarySearch(s.names, name)
	if taken {
		return fs.ErrExist
	}
	s.names = slices.Insert(s.names, at, name)
	s.objects[name] = object{content, s.now()}
	return nil
}

// lookup finds an object, or fails with fs.ErrNotExist.
func (s *Store) lookup(ctx context.Context, name string) (object, error) {
	if err := blob.CheckName(name); err != nil {
		return object{}, err
	}
	if err := ctx.Err(); err != nil {
		return object{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	o, ok := s.objects[name]
	if !ok {
		return object{}, fs.ErrNotExist
	}
	return o, nil
}

// Stat describes an object and tells its checksum. See [blob.Store].
func (s *Store) Stat(ctx context.Context, name string) (blob.Info, error) {
	o, err := s.lookup(ctx, name)
	if err != nil {
		return blob.Info{}, fmt.Errorf("stat %s: %w", name, err)
	}
	info := o.info(name)
	info.CRC32C = &o.crc
	return info, nil
}

// info describes an object as lists do.
func (o object) info(name string) blob.Info {
	return blob.Info{Name: name, Size: o.size, Modified: o.modified}
}

// List yields objects in the order of names, each as it is when its turn comes.
// The loop may create and delete. See [blob.Store].
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		last := after
		for {
			info, err := s.next(ctx, prefix, last)
			switch {
			case err != nil:
				yield(blob.Info{}, fmt.Errorf("list %q: %w", prefix, err))
				return
			case info.Name == "", !yield(info, nil):
				return
			}
			last = info.Name
		}
	}
}

// next describes the first object that starts with prefix and sorts after after,
// or nothing.
func (s *Store) next(ctx context.Context, prefix, after string) (blob.Info, error) {
	if err := blob.CheckPrefix(prefix); err != nil {
		return blob.Info{}, err
	}
	if err := ctx.Err(); err != nil {
		return blob.Info{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	at, found := slices.BinarySearch(s.names, max(prefix, after))
	if found && s.names[at] == after {
		at++
	}
	if at == len(s.names) || !strings.HasPrefix(s.names[at], prefix) {
		return blob.Info{}, nil
	}
	name := s.names[at]
	return s.objects[name].info(name), nil
}

// Delete removes objects, all at the same instant. See [blob.Store].
func (s *Store) Delete(ctx context.Context, names ...string) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	for _, name := range names {
		if err := blob.CheckName(name); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if at, found := slices.BinarySearch(s.names, name); found {
			s.names = slices.Delete(s.names, at, at+1)
			delete(s.objects, name)
		}
	}
	return nil
}

// Tidy finds nothing: a Create that ends early leaves nothing behind. See
// [blob.Store].
func (s *Store) Tidy(ctx context.Context, _ time.Time) (blob.Tidied, error) {
	return blob.Tidied{}, ctx.Err()
}
