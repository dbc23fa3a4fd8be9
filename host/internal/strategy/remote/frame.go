package remote

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
)

// kind says what a frame is. A frame is its length as a u32, its kind, and as
// many bytes as the length says; all numbers are little-endian.
type kind byte

// The kinds of frame.
const (
	kindSetup  kind = 1 + iota // host to child: name, limits, grants, as JSON
	kindModule                 // host to child: the module's file
	kindEnter                  // host to child: run a phase
	kindCancel                 // host to child: the phase is to end
	kindReply                  // host to child: what a call returned
	kindCall                   // child to host: a call of the session
	kindDone                   // child to host: how a phase ended
)

const (
	headerSize = 5
	maxFields  = 64 << 10 // bytes of a frame that carries no data
)

// errBroken marks a frame that a child of ours would never send.
var errBroken = errors.New("sent a broken frame")

// wire is one end of the two pipes between host and child.
type wire struct {
	in    *bufio.Reader
	body  bytes.Buffer // of the frame received last
	limit int64        // bytes of a frame's body

	mu  sync.Mutex // guards the rest
	out io.Writer
	row []byte // the frame being sent
}

func newWire(in io.Reader, out io.Writer, limit int64) *wire {
	return &wire{in: bufio.NewReaderSize(in, 64<<10), out: out, limit: limit}
}

// send writes one frame, in a single write.
func (w *wire) send(k kind, body func(row []byte) []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.row = body(append(w.row[:0], 0, 0, 0, 0, byte(k)))
	length := len(w.row) - headerSize
	if length > math.MaxUint32 {
		return fmt.Errorf("frame of %d bytes: %w", length, abi.EQUOTA)
	}
	binary.LittleEndian.PutUint32(w.row, uint32(length))
	_, err := w.out.Write(w.row)
	return err
}

// receive reads one frame. The body is valid until the next call. A length is
// only believed as far as bytes come: memory is taken as they do.
func (w *wire) receive() (kind, []byte, error) {
	var header [headerSize]byte
	if _, err := io.ReadFull(w.in, header[:]); err != nil {
		return 0, nil, err
	}
	length := int64(binary.LittleEndian.Uint32(header[:]))
	if length > w.limit {
		return 0, nil, fmt.Errorf("%w: %d bytes, at most %d are allowed", errBroken, length, w.limit)
	}
	w.body.Reset()
	if _, err := io.CopyN(&w.body, w.in, length); err != nil {
		return 0, nil, err
	}
	return kind(header[4]), w.body.Bytes(), nil
}

// fields reads a frame's body from its front. A body that is too short makes bad
// of it, and zeroes of the rest.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) take(n int) []byte {
	if n > len(f.rest) {
		f.bad, f.rest = true, nil
		return make([]byte, min(n, 8))
	}
	taken := f.rest[:n:n]
	f.rest = f.rest[n:]
	return taken
}

func (f *fields) u8() byte { return f.take(1)[0] }

func (f *fields) u32() uint32 { return binary.LittleEndian.Uint32(f.take(4)) }

func (f *fields) u64() uint64 { return binary.LittleEndian.Uint64(f.take(8)) }

// text reads a text with its length before it, which is bounded.
func (f *fields) text() string {
	n := f.u32()
	if n > maxFields || int(n) > len(f.rest) {
		f.bad, f.rest = true, nil
		return ""
	}
	return string(f.take(int(n)))
}

// end fails unless exactly everything was read.
func (f *fields) end(what string) error {
	if f.bad || len(f.rest) > 0 {
		return fmt.Errorf("%w: %s of the wrong length", errBroken, what)
	}
	return nil
}

func appendText(row []byte, text string) []byte {
	text = text[:min(len(text), maxFields)]
	return append(binary.LittleEndian.AppendUint32(row, uint32(len(text))), text...)
}
