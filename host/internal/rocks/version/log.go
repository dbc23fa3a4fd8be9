package version

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
)

// The framing of RocksDB's logs (db/log_format.h): a record is cut into
// fragments so that none crosses a block; what is left of a block and too short
// for a header is padding.
const (
	blockSize  = 32 << 10
	headerSize = 7 // crc32c 4, length 2, type 1

	fragmentFull   = 1
	fragmentFirst  = 2
	fragmentMiddle = 3
	fragmentLast   = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// logReader yields the records of a log.
type logReader struct {
	r      io.Reader
	buf    [blockSize]byte
	block  []byte // what is left of the block in buf
	ended  bool   // the block in buf is the last one
	offset int64  // of block in the log
	start  int64  // of the latest record or, after an error, of what is wrong
	parts  []byte // fragments of the latest record
}

// next returns the next record, which is valid until the call after. It returns
// io.EOF at the end of the log and equally where the log breaks off within a
// record, as db/log_reader.cc does for a MANIFEST.
func (l *logReader) next() ([]byte, error) {
	l.parts = l.parts[:0]
	for within := false; ; {
		kind, data, err := l.fragment(within)
		if err != nil {
			return nil, err
		}
		if begins := kind == fragmentFull || kind == fragmentFirst; begins == within {
			return nil, fmt.Errorf("%w: fragment of type %d out of order", ErrCorrupt, kind)
		}
		if kind == fragmentFull {
			return data, nil
		}
		l.parts = append(l.parts, data...)
		if kind == fragmentLast {
			return l.parts, nil
		}
		within = true
	}
}

// fragment returns the next fragment, which is valid until the call after.
func (l *logReader) fragment(within bool) (byte, []byte, error) {
	if err := l.fill(); err != nil {
		return 0, nil, err
	}
	if !within {
		l.start = l.offset
	}
	length := int(binary.LittleEndian.Uint16(l.block[4:]))
	if headerSize+length > len(l.block) {
		if l.ended {
			return 0, nil, io.EOF
		}
		return 0, nil, fmt.Errorf("%w: fragment of %d bytes crosses its block", ErrCorrupt, length)
	}
	sum, body := binary.LittleEndian.Uint32(l.block), l.block[6:headerSize+length]
	if mask(crc32.Checksum(body, castagnoli)) != sum {
		return 0, nil, fmt.Errorf("%w: checksum mismatch", ErrCorrupt)
	}
	kind, data := body[0], body[1:]
	if kind < fragmentFull || kind > fragmentLast {
		return 0, nil, fmt.Errorf("%w: fragment of type %d", ErrUnsupported, kind)
	}
	l.skip(headerSize + length)
	return kind, data, nil
}

// fill makes block hold a header at least, or returns io.EOF.
func (l *logReader) fill() error {
	for len(l.block) < headerSize {
		if l.ended {
			return io.EOF
		}
		l.skip(len(l.block))
		n, err := io.ReadFull(l.r, l.buf[:])
		l.ended = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !l.ended {
			return err
		}
		l.block = l.buf[:n]
	}
	return nil
}

func (l *logReader) skip(n int) {
	l.block = l.block[n:]
	l.offset += int64(n)
}

// mask hides a checksum that is stored among data that is checksummed itself
// (util/crc32c.h).
func mask(sum uint32) uint32 { return bits.RotateLeft32(sum, -15) + 0xa282ead8 }
