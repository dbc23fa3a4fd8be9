package canonical

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"
	"github.com/rocksnap/rocksnap/abi"
)

// readStep is how much is read at once of a length that nothing has proven yet.
const readStep = 1 << 20

// readFull extends b to n bytes from src. Memory grows with what has arrived,
// not with what was declared. A source that ends early is a corrupt file.
func readFull(src io.Reader, b []byte, n int) ([]byte, error) {
	for len(b) < n {
		have := len(b)
		step := min(n-have, max(have, readStep))
		b = slices.Grow(b, step)[:have+step]
		if _, err := io.ReadFull(src, b[have:]); err != nil {
			return nil, readError(err)
		}
	}
	return b, nil
}

func readError(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return corrupt("it ends early: %w", io.ErrUnexpectedEOF)
	}
	return fmt.Errorf("read canonical file: %w", err)
}

// frameReader reads frames one after the other, from wherever they come. It is
// the core of both readers.
type frameReader struct {
	src     io.Reader
	order   order
	sum     Sum           // of every record so far
	decoder *zstd.Decoder // nil until a frame needs it
	payload []byte
	packed  []byte
}

// head reads the header of a frame, or the start of the footer.
func (d *frameReader) head() ([]byte, error) {
	return readFull(d.src, make([]byte, 0, frameHeaderBytes), frameHeaderBytes)
}

// frame reads what follows a head and returns the packed records, which are
// valid until the next call, with the description of the frame at offset.
func (d *frameReader) frame(head []byte, offset int64) ([]byte, FrameInfo, error) {
	h, err := parseFrameHeader(head)
	if err != nil {
		return nil, FrameInfo{}, err
	}
	packed, err := d.unpack(h)
	if err != nil {
		return nil, FrameInfo{}, err
	}
	f, err := d.describe(packed)
	if err != nil {
		return nil, FrameInfo{}, err
	}
	if f.Records != h.records {
		return nil, FrameInfo{}, corrupt("%d records instead of %d", f.Records, h.records)
	}
	f.Offset, f.Stored = offset, h.stored
	return packed, f, nil
}

func (d *frameReader) unpack(h frameHeader) (packed []byte, err error) {
	if d.payload, err = readFull(d.src, reuse(d.payload, DefaultFrameBytes), int(h.stored)); err != nil {
		return nil, err
	}
	if crc(d.payload) != h.sum {
		return nil, corrupt("checksum of the payload")
	}
	if h.codec == abi.CodecNone {
		return d.payload, nil
	}
	if d.decoder == nil {
		d.decoder, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return nil, fmt.Errorf("start zstd: %w", err)
		}
	}
	d.packed = slices.Grow(reuse(d.packed, DefaultFrameBytes), int(h.raw))
	packed, err = d.decoder.DecodeAll(d.payload, d.packed[:0:h.raw])
	if err != nil {
		return nil, corrupt("zstd: %w", err)
	}
	if len(packed) != int(h.raw) {
		return nil, corrupt("%d bytes instead of %d", len(packed), h.raw)
	}
	return packed, nil
}

// describe checks every record of a frame and adds it to the sum.
func (d *frameReader) describe(packed []byte) (f FrameInfo, err error) {
	for len(packed) > 0 {
		r, rest, err := cut(packed)
		if err != nil {
			return f, corrupt("record %d: %w", f.Records, err)
		}
		group, err := d.order.step(r)
		if err != nil {
			return f, corrupt("record %d: %w", f.Records, err)
		}
		f.add(r, group)
		d.sum.addRecord(r)
		packed = rest
	}
	return f, nil
}
