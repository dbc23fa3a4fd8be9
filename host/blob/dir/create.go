package dir

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// Create stores an object durably. It notices cancelling between two reads of r
// of at most 1 MiB. See [blob.Store].
func (s *Store) Create(ctx context.Context, name string, r io.Reader) error {
	if err := s.create(ctx, name, r); err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	return nil
}

func (s *Store) create(ctx context.Context, name string, r io.Reader) error {
	return s.publish(ctx, name, func(tmp string) error {
		body := &source{ctx: ctx, r: r}
		err := durable.CreateFrom(tmp, filePerm, body)
		if body.err != nil {
			return body.err // none of ours: nothing to explain
		}
		return s.explain(err)
	})
}

// Clone makes an object that shares the blocks of a file. See [blob.Cloner]. A store
// whose file system has refused once is not asked again.
func (s *Store) Clone(ctx context.Context, name, file string) error {
	err := errors.ErrUnsupported
	if !s.uncloned.Load() {
		err = s.publish(ctx, name, func(tmp string) error { return s.explain(durable.Clone(file, tmp, filePerm)) })
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, errors.ErrUnsupported) {
		s.uncloned.Store(true)
	}
	return fmt.Errorf("clone %s: %w", name, err)
}

// publish makes a file under a temporary name, and gives it that of an object.
func (s *Store) publish(ctx context.Context, name string, make func(tmp string) error) error {
	if err := s.checkFree(ctx, name); err != nil {
		return err
	}
	for _, dir := range []string{tmpDir, path.Dir(name)} {
		if err := s.makeDir(dir); err != nil {
			return s.explain(err)
		}
	}
	tmp := s.local(path.Join(tmpDir, rand.Text()))
	if err := make(tmp); err != nil {
		return err
	}
	err := durable.Publish(tmp, s.local(name))
	if err == nil {
		return nil
	}
	_ = durable.Remove(tmp)
	if errors.Is(err, fs.ErrNotExist) {
		s.made.Clear() // someone removed directories; the next call makes them again
	}
	return s.explain(err)
}

// Adopt makes a file an object, under a further name of its own. See [blob.Adopter].
func (s *Store) Adopt(ctx context.Context, name, path string) error {
	if err := s.adopt(ctx, name, path); err != nil {
		return fmt.Errorf("adopt %s: %w", name, err)
	}
	return nil
}

func (s *Store) adopt(ctx context.Context, name, file string) error {
	if err := s.checkFree(ctx, name); err != nil {
		return err
	}
	if err := s.makeDir(path.Dir(name)); err != nil {
		return s.explain(err)
	}
	if err := durable.Adopt(file, s.local(name)); err != nil {
		return s.explain(err)
	}
	return nil
}

// checkFree spares a creator that comes late the copying of its bytes. What
// decides is the link at the end.
func (s *Store) checkFree(ctx context.Context, name string) error {
	if err := check(ctx, name); err != nil {
		return err
	}
	info, err := s.root.Lstat(name)
	switch {
	case missing(err):
		return nil
	case err != nil:
		return cause(err)
	case info.IsDir():
		return fmt.Errorf("objects are stored below it: %w", unix.EISDIR)
	}
	return fs.ErrExist
}

// makeDir makes a directory of the store durable, and those above it. It syncs
// their parents even where they exist: another process may have made them a
// moment ago and not have come to that. Once per Store is enough, as nothing
// removes a directory.
func (s *Store) makeDir(dir string) error {
	if _, ok := s.made.Load(dir); ok || dir == "." {
		return nil
	}
	parent := path.Dir(dir)
	if err := s.makeDir(parent); err != nil {
		return err
	}
	err := durable.Change("mkdir", s.local(dir), func() error { return s.root.Mkdir(dir, dirPerm) })
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	info, err := s.root.Lstat(dir) // a link here may lead out of the root
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is no directory: %w", dir, unix.ENOTDIR)
	}
	if err := durable.SyncDir(s.local(parent)); err != nil {
		return err
	}
	s.made.Store(dir, nil)
	return nil
}

// source is the body of an object on its way in. It tells failures of the
// reader from failures of the file.
type source struct {
	ctx context.Context
	r   io.Reader
	err error // that ended the body early
}

func (s *source) Read(p []byte) (int, error) {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
