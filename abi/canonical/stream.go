package canonical

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// StreamReader reads a whole file once, front to back. Reading it to the end
// proves the file: every checksum, the order of all records, the index, the
// totals and the content digest. It is not safe for concurrent use.
type StreamReader struct {
	header Header
	frames frameReader
	index  []FrameInfo
	offset int64
	done   error // why there is no next block; io.EOF at the end
}

// NewStreamReader reads the header. It fails with [ErrCorrupt], [ErrVersion] or
// the errors of r.
func NewStreamReader(r io.Reader) (*StreamReader, error) {
	h, length, err := readHeader(r)
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	return &StreamReader{header: h, offset: int64(length), frames: frameReader{src: r, order: newOrder(h)}}, nil
}

// Header returns what the records are.
func (s *StreamReader) Header() Header { return s.header }

// Blocks yields the packed records, each block valid until the next step, and
// goes on where an earlier sequence was left. The sequence ends with the first
// error: [ErrCorrupt], [ErrVersion] or one of the source. What it has yielded is
// known to be the whole file only once it has ended without one.
func (s *StreamReader) Blocks() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for {
			packed, err := s.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if !yield(packed, err) || err != nil {
				return
			}
		}
	}
}

// Totals describes the records that Blocks has yielded so far.
func (s *StreamReader) Totals() Totals { return totalsOf(s.frames.sum, s.index) }

func (s *StreamReader) next() (packed []byte, err error) {
	if s.done != nil {
		return nil, s.done
	}
	packed, s.done = s.read()
	return packed, s.done
}

// read returns the next block, or io.EOF after the end of the file is proven.
func (s *StreamReader) read() ([]byte, error) {
	head, err := s.frames.head()
	if err != nil {
		return nil, fmt.Errorf("read frame at %d: %w", s.offset, err)
	}
	if head[0] == tagFooter {
		return nil, s.finish(head)
	}
	packed, f, err := s.frames.frame(head, s.offset)
	if err != nil {
		return nil, fmt.Errorf("read frame at %d: %w", s.offset, err)
	}
	s.index, s.offset = append(s.index, f), f.end()
	return packed, nil
}

// finish compares the rest of the file with the only rest that it can have.
func (s *StreamReader) finish(head []byte) error {
	want := appendFooter(nil, s.offset, s.frames.sum, s.index)
	got, err := readFull(s.frames.src, head, len(want))
	if err != nil {
		return fmt.Errorf("read footer: %w", err)
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("read footer: %w", corrupt("it does not fit the frames"))
	}
	switch _, err := io.ReadFull(s.frames.src, make([]byte, 1)); {
	case err == nil:
		return corrupt("bytes after the end")
	case !errors.Is(err, io.EOF):
		return readError(err)
	}
	return io.EOF
}
