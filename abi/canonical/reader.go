package canonical

import (
	"fmt"
	"io"
	"iter"
	"sort"
	"strings"

	"github.com/rocksnap/rocksnap/abi/keygroup"
)

// Reader reads parts of a file that allows random access. It is safe for
// concurrent use when its source is.
type Reader struct {
	src    io.ReaderAt
	size   int64
	header Header
	totals Totals
	frames []FrameInfo
}

// NewReader reads the header, the trailer and the index of a file of size bytes.
// It fails with [ErrCorrupt], [ErrVersion] or the errors of r.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	h, start, err := readHeader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return nil, fmt.Errorf("read header: %w", err)
	}
	if size < int64(start)+trailerBytes {
		return nil, fmt.Errorf("read trailer: %w", corrupt("it ends early"))
	}
	trailer, err := readFull(io.NewSectionReader(r, size-trailerBytes, trailerBytes), nil, trailerBytes)
	if err != nil {
		return nil, fmt.Errorf("read trailer: %w", err)
	}
	end, length, err := parseTrailer(trailer, size)
	if err != nil {
		return nil, fmt.Errorf("read trailer: %w", err)
	}
	footer, err := readFull(io.NewSectionReader(r, end, length), nil, int(length))
	if err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	frames, totals, err := parseFooter(footer, h, int64(start), end)
	if err != nil {
		return nil, fmt.Errorf("read footer: %w", err)
	}
	return &Reader{src: r, size: size, header: h, totals: totals, frames: frames}, nil
}

// Header returns what the records are.
func (r *Reader) Header() Header { return r.header }

// Totals returns what the footer says about all records.
func (r *Reader) Totals() Totals { return r.totals }

// Frames returns the index, which the caller must not change.
func (r *Reader) Frames() []FrameInfo { return r.frames }

// All yields every record, as [StreamReader.Blocks] does, and so proves the
// whole file.
func (r *Reader) All() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		s, err := NewStreamReader(io.NewSectionReader(r.src, 0, r.size))
		if err != nil {
			yield(nil, err)
			return
		}
		s.Blocks()(yield)
	}
}

// Span returns the contiguous part of the file, in bytes, that holds the records
// of a range of key groups (both ends inclusive): what a store has to deliver in
// one ranged read for [Reader.BlocksFrom]. The length is 0 when there are none.
func (r *Reader) Span(first, last uint32) (offset, length int64) {
	return Extent(r.overlapping(first, last))
}

// Extent returns where consecutive frames of an index lie in their file, in bytes.
// The length of none is 0.
func Extent(frames []FrameInfo) (offset, length int64) {
	if len(frames) == 0 {
		return 0, 0
	}
	offset = frames[0].Offset
	return offset, frames[len(frames)-1].end() - offset
}

// Blocks yields the packed records of a range of key groups (both ends
// inclusive), each block valid until the next step, and reads no other frames
// than those that hold some. The sequence ends with the first error:
// [ErrCorrupt], [ErrVersion] or one of the source.
func (r *Reader) Blocks(first, last uint32) iter.Seq2[[]byte, error] {
	offset, length := r.Span(first, last)
	return r.BlocksFrom(io.NewSectionReader(r.src, offset, length), first, last)
}

// BlocksFrom is [Reader.Blocks] with the bytes of [Reader.Span] coming from src.
// The sequence can be used once.
func (r *Reader) BlocksFrom(src io.Reader, first, last uint32) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for packed, err := range r.FramesFrom(src, r.overlapping(first, last)) {
			if err == nil {
				packed = r.trim(packed, first, last)
			}
			if (err != nil || len(packed) > 0) && !yield(packed, err) {
				return
			}
		}
	}
}

// FramesFrom yields the packed records of consecutive frames of the index, each
// block valid until the next step. The bytes of [Extent] come from src. The
// sequence can be used once, and ends with the first error, as that of
// [Reader.Blocks] does.
func (r *Reader) FramesFrom(src io.Reader, frames []FrameInfo) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		d := frameReader{src: src, order: newOrder(r.header)}
		for _, f := range frames {
			packed, err := r.block(&d, f)
			if err != nil {
				yield(nil, fmt.Errorf("read frame at %d: %w", f.Offset, err))
				return
			}
			if !yield(packed, nil) {
				return
			}
		}
	}
}

// Select returns the consecutive frames of the index that can hold records of a
// range of key groups with keys from lower up to, but without, upper in the order
// of bytes; a nil upper is an open end. Where keys are not in that order, the key
// groups alone decide.
func (r *Reader) Select(groups keygroup.Range, lower, upper []byte) []FrameInfo {
	frames := r.overlapping(groups.First, groups.Last)
	if r.header.Comparator != BytewiseComparator {
		return frames
	}
	for len(frames) > 1 && frames[1].startsAtOrBefore(lower) {
		frames = frames[1:]
	}
	for n := len(frames); n > 0 && upper != nil && frames[n-1].FirstKey >= string(upper); n-- {
		frames = frames[:n-1]
	}
	return frames
}

// startsAtOrBefore reports whether the first key is surely not after a key: of a
// long one only the beginning is known.
func (f FrameInfo) startsAtOrBefore(key []byte) bool {
	if len(f.FirstKey) == maxIndexKey && strings.HasPrefix(string(key), f.FirstKey) {
		return false
	}
	return f.FirstKey <= string(key)
}

// overlapping returns the frames that can hold records of a range of key groups.
// Frames are in the order of their groups.
func (r *Reader) overlapping(first, last uint32) []FrameInfo {
	from := sort.Search(len(r.frames), func(i int) bool { return r.frames[i].LastGroup >= first })
	to := sort.Search(len(r.frames), func(i int) bool { return r.frames[i].FirstGroup > last })
	return r.frames[from:max(from, to)]
}

// block reads a frame and demands that it is the one in the index.
func (r *Reader) block(d *frameReader, want FrameInfo) ([]byte, error) {
	head, err := d.head()
	if err != nil {
		return nil, err
	}
	packed, got, err := d.frame(head, want.Offset)
	if err != nil {
		return nil, err
	}
	if got != want {
		return nil, corrupt("frame is not the one in the index")
	}
	return packed, nil
}

// trim cuts records before the first and after the last key group off a frame.
func (r *Reader) trim(packed []byte, first, last uint32) []byte {
	start, end := 0, 0
	for at := 0; at < len(packed); {
		rec, _, _ := cut(packed[at:]) // checked before
		at += len(rec.packed)
		group, _ := keygroup.Of(rec.key(), r.header.GroupCount)
		if group < first {
			start = at
		}
		if group <= last {
			end = at
		}
	}
	return packed[start:max(start, end)]
}
