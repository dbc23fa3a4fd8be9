package host

import (
	"context"
	"io"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// segment is a file on its way into a pack.
type segment struct {
	file *File                         // gets its place
	open func() (io.ReadCloser, error) // what is stored of it
	end  func() error                  // after the last byte; fills in sizes and digests
}

// readCloser joins what is read and what is closed.
type readCloser struct {
	io.Reader
	io.Closer
}

// createPack stores files as one object, one after the other. When the failure is
// one of a file, bad is its index, and otherwise -1; then nothing is stored.
func (r *Repository) createPack(ctx context.Context, object string, segments []segment) (bad int, err error) {
	body := &packBody{object: object, segments: segments}
	defer body.close()
	whole := &meter{from: &interruptible{ctx, body}}
	err = r.create(ctx, object, whole)
	switch {
	case body.err != nil:
		return body.next, body.err
	case err != nil:
		return -1, err
	}
	for _, s := range segments {
		s.file.Segment.Pack, s.file.Segment.CRC32C = whole.size, whole.crc
	}
	return -1, nil
}

// packBody yields the files of a pack, of which one is open at a time.
type packBody struct {
	object   string
	segments []segment
	next     int // of segments: the one that is read
	now      io.ReadCloser
	offset   int64 // bytes so far
	err      error // of the one that is read
}

// Read implements io.Reader.
func (b *packBody) Read(p []byte) (n int, err error) {
	for n == 0 && b.err == nil {
		if b.next == len(b.segments) {
			return 0, io.EOF
		}
		n, b.err = b.step(p)
		b.offset += int64(n)
	}
	return n, b.err
}

// step reads on, and goes over to the next file at the end of one.
func (b *packBody) step(p []byte) (n int, err error) {
	s := &b.segments[b.next]
	if b.now == nil {
		s.file.Object, s.file.Segment = b.object, &catalog.Segment{Offset: b.offset}
		if b.now, err = s.open(); err != nil {
			return 0, err
		}
	}
	n, err = b.now.Read(p)
	if err != io.EOF {
		return n, err
	}
	b.close()
	if err = s.end(); err == nil {
		b.next++
	}
	return n, err
}

func (b *packBody) close() {
	if b.now != nil {
		b.now.Close()
		b.now = nil
	}
}
