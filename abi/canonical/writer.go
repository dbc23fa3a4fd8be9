package canonical

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"

	"github.com/rocksnap/rocksnap/abi"
)

// Options say how records are stored; they do not change what is.
type Options struct {
	Codec abi.Codec // compression of frames

	// FrameBytes is the size of a frame before compression, in bytes, up to
	// [MaxFrameBytes]; 0 for [DefaultFrameBytes]. Frames of 1 to 4 MiB serve
	// both compression and ranged reads.
	FrameBytes int
}

func (o Options) check() error {
	if o.FrameBytes < 0 || o.FrameBytes > MaxFrameBytes {
		return fmt.Errorf("%w: frame size %d is not within 0 to %d bytes", abi.EINVAL, o.FrameBytes, MaxFrameBytes)
	}
	if o.Codec > abi.CodecZstd {
		return fmt.Errorf("%w: unknown codec %d", abi.EINVAL, o.Codec)
	}
	return nil
}

// Writer writes one file. It is not safe for concurrent use. Its memory is two
// frames and the window of the compression, or the longest record when that is more,
// and the index.
type Writer struct {
	dst    io.Writer
	offset int64 // bytes written
	target int
	zstd   bool

	order  order
	sum    Sum
	frames []FrameInfo

	frame   FrameInfo // being filled
	*press            // its records and its payload; nil once the file is closed
	failure error
}

// NewWriter writes a header to w and returns the writer of the file. It fails
// with [abi.EINVAL] for a header or options that have no meaning, and with the
// errors of w.
func NewWriter(w io.Writer, h Header, o Options) (*Writer, error) {
	if err := h.check(); err != nil {
		return nil, fmt.Errorf("write header: %w: %w", abi.EINVAL, err)
	}
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("write header: %w", err)
	}
	out := &Writer{dst: w, target: cmp.Or(o.FrameBytes, DefaultFrameBytes), zstd: o.Codec == abi.CodecZstd, order: newOrder(h)}
	out.press = presses.Get().(*press)
	if err := out.write(appendHeader(nil, h)); err != nil {
		return nil, err
	}
	return out, nil
}

// WriteBlock appends whole packed records, and does not keep the slice. It fails
// with [abi.EINVAL], naming the record, when one is not whole, is out of order,
// or is not in the header's key groups; and with the errors of the underlying
// writer. After an error the file is useless and every call fails.
func (w *Writer) WriteBlock(packed []byte) error {
	for len(packed) > 0 && w.failure == nil {
		r, rest, err := cut(packed)
		if err != nil {
			w.failure = fmt.Errorf("write record %d: %w: %w", w.sum.Records, abi.EINVAL, err)
			break
		}
		w.failure = w.add(r)
		packed = rest
	}
	return w.failure
}

func (w *Writer) add(r record) error {
	group, err := w.order.step(r)
	if err != nil {
		return fmt.Errorf("write record %d: %w: %w", w.sum.Records, abi.EINVAL, err)
	}
	if w.ends(len(r.packed), group) {
		if err := w.flush(w.packed); err != nil {
			return err
		}
	}
	w.sum.addRecord(r)
	w.frame.add(r, group)
	if len(r.packed) > w.target { // it is alone in its frame, and as long as it likes
		return w.flush(r.packed)
	}
	w.press.add(r.packed, w.target)
	return nil
}

// ends reports whether the frame is complete before the next record. A frame
// that is half full also ends with its key group, so that a reader of one group
// reads little of its neighbours.
func (w *Writer) ends(length int, group uint32) bool {
	if w.frame.Records == 0 {
		return false
	}
	return len(w.packed)+length > w.target || group != w.frame.LastGroup && len(w.packed) > w.target/2
}

// flush writes the frame, which has these records.
func (w *Writer) flush(packed []byte) error {
	payload, codec := packed, abi.CodecNone
	if w.zstd {
		if stored := w.compress(packed); len(stored) < len(packed) {
			payload, codec = stored, abi.CodecZstd
		}
	}
	w.frame.Offset, w.frame.Stored = w.offset, uint32(len(payload))
	header := frameHeader{codec, w.frame.Records, w.frame.Raw, w.frame.Stored, crc(payload)}
	if err := w.write(appendFrameHeader(nil, header)); err != nil {
		return err
	}
	if err := w.write(payload); err != nil {
		return err
	}
	w.frames = append(w.frames, w.frame)
	w.frame = FrameInfo{}
	w.reset(w.target)
	return nil
}

func (w *Writer) write(b []byte) error {
	n, err := w.dst.Write(b)
	w.offset += int64(n)
	if err != nil {
		w.failure = fmt.Errorf("write canonical file: %w", err)
	}
	return w.failure
}

// Close writes the rest of the file and returns what it holds. It does not close
// the underlying writer. Closing twice fails with [fs.ErrClosed].
func (w *Writer) Close() (Totals, error) {
	if w.failure == nil && w.frame.Records > 0 {
		w.failure = w.flush(w.packed)
	}
	if w.failure == nil {
		w.failure = w.write(appendFooter(nil, w.offset, w.sum, w.frames))
	}
	if w.failure != nil {
		return Totals{}, w.failure
	}
	presses.Put(w.press)
	w.press = nil
	w.failure = fmt.Errorf("write canonical file: %w", fs.ErrClosed)
	return totalsOf(w.sum, w.frames), nil
}
