package canonical

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

// windowBytes is how far back a frame is searched for repetitions, which the encoder
// keeps a copy of: that is a frame of the usual size. At its fastest level it hardly
// finds any from further away.
const windowBytes = 1 << 20

// press is what a frame goes through on its way to the file. A writer has one, and
// leaves it to the next.
type press struct {
	packed  []byte // records of the frame
	stored  []byte // its payload, when that is compressed
	encoder *zstd.Encoder
}

var presses = sync.Pool{New: func() any { return &press{} }}

// smallBytes is the size from which a buffer gets all that a frame may need: growing
// step by step would leave behind as much again.
const smallBytes = 64 << 10

// add appends a record to a frame of about target bytes.
func (p *press) add(packed []byte, target int) {
	if need := len(p.packed) + len(packed); need > cap(p.packed) && need > smallBytes {
		p.packed = append(make([]byte, 0, max(need, target)), p.packed...)
	}
	p.packed = append(p.packed, packed...)
}

// compress returns records as zstd, valid until the next call.
func (p *press) compress(packed []byte) []byte {
	if p.encoder == nil {
		// The frame has a checksum of its own. One encoder is what one caller can use.
		p.encoder, _ = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(windowBytes), zstd.WithLowerEncoderMem(true),
			zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false)) // fails for impossible options alone
	}
	if cap(p.stored) < len(packed) && len(packed) > smallBytes {
		p.stored = make([]byte, 0, len(packed)+len(packed)/64)
	}
	p.stored = p.encoder.EncodeAll(packed, p.stored[:0])
	return p.stored
}

// reset empties the buffers, for frames of about so many bytes. One that a single
// long record has grown goes with the first frame that has no use for it.
func (p *press) reset(target int) {
	p.packed, p.stored = reuse(p.packed, target), reuse(p.stored, target)
}

func reuse(b []byte, target int) []byte {
	if cap(b) > 4*max(len(b), target) {
		return nil
	}
	return b[:0]
}
