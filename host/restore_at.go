package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/rocksnap/rocksnap/abi/canonical"
)

const (
	// indexAhead is how much of an object is read at once while its index is
	// looked for: enough for most, and little beside the records.
	indexAhead = 16 << 10

	// recordsAhead is how much is read at once of an encrypted object, which asks
	// for small pieces.
	recordsAhead = 256 << 10
)

// objectAt reads a stored file at any place, without proving its digest. It serves
// one goroutine.
type objectAt struct {
	ctx    context.Context
	from   *Repository
	file   *File
	tally  *tally
	ahead  int64  // least number of bytes that are read at once
	window []byte // what was read last
	start  int64  // its place
	read   int64  // bytes in all
}

// ReadAt implements io.ReaderAt.
func (o *objectAt) ReadAt(p []byte, at int64) (n int, err error) {
	size := o.file.StoredSize()
	for n < len(p) && at < size {
		if at < o.start || at >= o.start+int64(len(o.window)) {
			if err := o.fill(at, int64(len(p)-n)); err != nil {
				return n, err
			}
		}
		moved := copy(p[n:], o.window[at-o.start:])
		n, at = n+moved, at+int64(moved)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// fill reads a window that begins at a place and has at least length bytes, if
// there are as many. What lies at the end is read with what is before it, for an
// index is there.
func (o *objectAt) fill(at, length int64) error {
	size := o.file.StoredSize()
	start, end := at, min(size, at+max(length, o.ahead))
	if at+length >= size {
		start, end = max(0, min(at, size-o.ahead)), size
	}
	body, err := o.open(start, end-start)
	if err != nil {
		return err
	}
	defer body.Close()
	window := make([]byte, end-start)
	if _, err := io.ReadFull(body, window); err != nil {
		return err
	}
	o.window, o.start = window, start
	return nil
}

// open reads a range of the file as it is stored.
func (o *objectAt) open(at, length int64) (io.ReadCloser, error) {
	body, err := o.from.store.Open(o.ctx, o.file.Object, o.file.Offset()+at, length)
	if err != nil {
		return nil, o.explain(err)
	}
	return &rangeBody{ReadCloser: body, from: o, left: length}, nil
}

// explain tells damage from a store that fails.
func (o *objectAt) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return damaged(o.file, isMissing)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return tooShort(o.file)
	}
	return asPassing(fmt.Errorf("read %s: %w", o.file.Name, err))
}

// rangeBody counts what is read of a range, and ends with it.
type rangeBody struct {
	io.ReadCloser
	from *objectAt
	left int64
}

// Read implements io.Reader.
func (b *rangeBody) Read(p []byte) (int, error) {
	if err := b.from.ctx.Err(); err != nil {
		return 0, err
	}
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	b.from.read += int64(n)
	b.from.tally.bytes(n)
	switch {
	case err == io.EOF && b.left > 0:
		err = b.from.explain(io.ErrUnexpectedEOF)
	case err != nil && err != io.EOF:
		err = b.from.explain(err)
	}
	return n, err
}

// readRange reads the records of a canonical file that are wanted into a run, and
// little else from the store: its index, and the frames that hold some. Each frame
// has a checksum, and the index is one of the right column family and number of
// records; the digest of the object is not to be had without reading all of it.
func (w *restoration) readRange(ctx context.Context, p *part, f *File, run *runWriter) error {
	stored := &objectAt{ctx: ctx, from: w.Repository, file: f, tally: w.tally, ahead: indexAhead}
	plain, err := w.plainAt(stored)
	if err != nil {
		return err
	}
	reader, err := canonical.NewReader(plain, f.Size)
	if err != nil {
		return unreadable(f, err)
	}
	if h := reader.Header(); h.Family != f.Family || reader.Totals().Records != f.Records || h.GroupCount != w.wanted.count {
		return damaged(f, "holds another file")
	}
	lower, upper := w.wanted.bounds(p)
	groups, _ := w.wanted.groupsOf(p.KeyGroups)
	frames := reader.Select(groups, lower, upper)
	body, err := w.span(stored, plain, frames)
	if err != nil {
		return err
	}
	defer body.Close()
	run.Sum = &canonical.Sum{}
	for block, err := range reader.FramesFrom(body, frames) {
		if err != nil {
			return unreadable(f, err)
		}
		for piece := range cut(block, lower, upper) {
			if err := errors.Join(run.Sum.AddBlock(piece), run.add(piece)); err != nil {
				return err
			}
		}
	}
	run.Read = stored.read
	return nil
}

// plainAt reads what an object holds, decrypted where it is encrypted.
func (w *restoration) plainAt(stored *objectAt) (io.ReaderAt, error) {
	f := stored.file
	if f.Stored == 0 {
		return stored, nil
	}
	identities, err := w.keys.identities()
	if err != nil {
		return nil, err
	}
	plain, size, err := identities.OpenAt(stored, f.Stored)
	if err != nil {
		return nil, keyProblem("read "+f.Name, err)
	}
	if size != f.Size {
		return nil, damaged(f, fmt.Sprintf("holds %d bytes instead of %d", size, f.Size))
	}
	return &plainReaderAt{plain, f}, nil
}

// plainReaderAt tells what became of a file that cannot be decrypted.
type plainReaderAt struct {
	from io.ReaderAt
	file *File
}

// ReadAt implements io.ReaderAt.
func (p *plainReaderAt) ReadAt(b []byte, at int64) (int, error) {
	n, err := p.from.ReadAt(b, at)
	if err != nil && err != io.EOF {
		err = keyProblem("read "+p.file.Name, err)
	}
	return n, err
}

// span reads consecutive frames: in one request, unless they have to be decrypted.
func (w *restoration) span(stored *objectAt, plain io.ReaderAt, frames []canonical.FrameInfo) (io.ReadCloser, error) {
	offset, length := canonical.Extent(frames)
	if stored.file.Stored > 0 || length == 0 {
		stored.ahead = min(length, recordsAhead)
		return io.NopCloser(io.NewSectionReader(plain, offset, length)), nil
	}
	return stored.open(offset, length)
}
