package dir

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// Open reads a range of an object. The reader fails once ctx is cancelled. See
// [blob.Store].
func (s *Store) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.open(ctx, name, offset, length)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return r, nil
}

func (s *Store) open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	info, err := s.lookup(ctx, name) // before opening, which would block on a pipe
	if err != nil {
		return nil, err
	}
	if offset < 0 || length < -1 {
		return nil, fmt.Errorf("range %d+%d: %w", offset, length, fs.ErrInvalid)
	}
	rest := info.Size() - offset
	if rest < 0 {
		return nil, fmt.Errorf("offset %d of %d bytes: %w", offset, info.Size(), io.ErrUnexpectedEOF)
	}
	file, err := s.root.Open(name)
	if err != nil {
		return nil, cause(err)
	}
	expectOnce(file, min(uint64(length), uint64(rest)))
	if length > rest {
		return &body{ctx, name, file, offset, offset + rest, io.ErrUnexpectedEOF}, nil
	}
	if length < 0 {
		length = rest
	}
	return &body{ctx, name, file, offset, offset + length, io.EOF}, nil
}

// expectOnce tells the kernel that bytes of a file are read in order, and only once:
// it reads further ahead, and what others have in memory does not make room for them.
// Kernels before 6.3 know only the first half.
func expectOnce(file *os.File, bytes uint64) {
	if bytes < 1<<20 {
		return
	}
	_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_SEQUENTIAL)
	_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_NOREUSE)
}

// Link gives the file of an object a further name. See [blob.Linker].
func (s *Store) Link(ctx context.Context, name, path string) error {
	_, err := s.lookup(ctx, name)
	if err == nil {
		err = durable.Link(s.local(name), path)
	}
	if err != nil {
		return fmt.Errorf("link %s: %w", name, cause(err))
	}
	return nil
}

// body reads the bytes of a file from pos to end, then yields last.
type body struct {
	ctx      context.Context
	name     string
	file     *os.File
	pos, end int64
	last     error
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, fmt.Errorf("read %s: %w", b.name, err)
	}
	if b.pos == b.end {
		return 0, b.last
	}
	n, err := b.file.ReadAt(p[:min(int64(len(p)), b.end-b.pos)], b.pos)
	b.pos += int64(n)
	switch {
	case err == io.EOF && b.pos < b.end: // damaged since it was opened
		err = io.ErrUnexpectedEOF
	case err == io.EOF:
		err = nil
	case err != nil:
		err = fmt.Errorf("read %s: %w", b.name, cause(err))
	}
	return n, err
}

func (b *body) Close() error { return b.file.Close() }
