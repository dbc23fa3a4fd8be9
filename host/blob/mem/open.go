package mem

import (
	"context"
	"fmt"
	"io"
	"io/fs"
)

// Open reads a range of an object. The reader fails once ctx is cancelled, and
// does not notice when the object is deleted. See [blob.Store].
func (s *Store) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r, err := s.open(ctx, name, offset, length)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	return r, nil
}

func (s *Store) open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	o, err := s.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	rest := o.size - offset
	switch {
	case offset < 0 || length < -1:
		return nil, fmt.Errorf("range %d+%d: %w", offset, length, fs.ErrInvalid)
	case rest < 0:
		return nil, fmt.Errorf("offset %d of %d bytes: %w", offset, o.size, io.ErrUnexpectedEOF)
	case length > rest:
		return o.reader(ctx, offset, rest, io.ErrUnexpectedEOF), nil
	case length < 0:
		length = rest
	}
	return o.reader(ctx, offset, length, io.EOF), nil
}
