package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	pieceSize = 1 << 20 // bytes that are read, and written, at once
	alignment = 4096    // of memory, offsets and lengths of direct writes; no file system asks for more
)

// CreateFrom creates a file of what r yields, as [CreateFile] does. What is longer
// than 1 MiB is read ahead while it is written, and goes to the disk past the page
// cache where the file system has a way there: a copy that nobody is about to read
// would push out what the database reads, and wait in memory for the sync at the
// end, when the disk could have been at work on it. Nobody reads from r when it
// returns.
func CreateFrom(path string, perm fs.FileMode, r io.Reader) error {
	return createFile(path, perm, func(f *os.File) error { return copyBody(f, r) })
}

// Clone creates a file that shares the blocks of another until one of them is written,
// and syncs it, as [CreateFile] does. Where the file system cannot do that it fails with
// errors.ErrUnsupported.
func Clone(from, to string, perm fs.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	return createFile(to, perm, func(f *os.File) error {
		err := unix.IoctlFileClone(int(f.Fd()), int(source.Fd()))
		switch err {
		case unix.EOPNOTSUPP, unix.ENOTTY, unix.EINVAL, unix.EXDEV, unix.EPERM: // each file system has its own
			return fmt.Errorf("%w: %w", errors.ErrUnsupported, err)
		}
		return err
	})
}

// copyBody writes what r yields to an empty file.
func copyBody(f *os.File, r io.Reader) error {
	first := pieces.Get().(*piece)
	err := first.fill(r)
	if err != nil {
		defer pieces.Put(first)
		if err == io.EOF {
			_, err = f.Write(first.data)
		}
		return err
	}
	b := &body{file: f, direct: setDirect(f, true) == nil}
	pieces := readAhead(r, first)
	defer pieces.stop()
	return b.write(pieces)
}

// body is a file that grows piece by piece.
type body struct {
	file   *os.File
	direct bool // its writes go past the page cache
}

func (b *body) write(ahead *ahead) error {
	for p := range ahead.full {
		if err := b.append(p.data); err != nil {
			return err
		}
		ahead.free <- p
	}
	return ahead.err
}

// append writes a piece, the last of which need not be whole blocks.
func (b *body) append(data []byte) error {
	whole := len(data) &^ (alignment - 1)
	if b.direct && whole > 0 {
		n, err := b.file.Write(data[:whole])
		data = data[n:]
		if err != nil && !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	if len(data) == 0 {
		return nil
	}
	if b.direct { // the end, or a file system that wants it otherwise
		if err := setDirect(b.file, false); err != nil {
			return err
		}
		b.direct = false
	}
	_, err := b.file.Write(data)
	return err
}

// setDirect has the writes of a file go past the page cache, or no longer. It fails
// where the file system cannot do that.
func setDirect(f *os.File, direct bool) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
		if err == nil {
			flags &^= unix.O_DIRECT
			if direct {
				flags |= unix.O_DIRECT
			}
			_, err = unix.FcntlInt(fd, unix.F_SETFL, flags)
		}
		failed = err
	})
	return errors.Join(err, failed)
}

// piece is some of a body, in memory that a disk can read from directly.
type piece struct {
	memory []byte // aligned
	data   []byte // what is filled of it
}

var pieces = sync.Pool{New: func() any {
	memory := make([]byte, pieceSize+alignment)
	skip := -int(uintptr(unsafe.Pointer(&memory[0]))) & (alignment - 1)
	return &piece{memory: memory[skip : skip+pieceSize]}
}}

// fill fills the piece. It fails with io.EOF when the body ends with it or has
// ended before.
func (p *piece) fill(r io.Reader) error {
	n, err := 0, error(nil)
	for n < len(p.memory) && err == nil {
		var some int
		some, err = r.Read(p.memory[n:])
		n += some
	}
	p.data = p.memory[:n]
	return err
}

// ahead reads a body while what was read before is written. There are two pieces,
// so neither side ever waits to hand one over.
type ahead struct {
	full, free chan *piece
	err        error // that broke the body; to be read once full is closed
}

func readAhead(r io.Reader, first *piece) *ahead {
	a := &ahead{full: make(chan *piece, 2), free: make(chan *piece, 2)}
	a.full <- first
	a.free <- pieces.Get().(*piece)
	go a.read(r)
	return a
}

func (a *ahead) read(r io.Reader) {
	defer close(a.full)
	for p := range a.free {
		err := p.fill(r)
		if err != nil && err != io.EOF {
			a.err = err
			return
		}
		a.full <- p
		if err == io.EOF {
			return
		}
	}
}

// stop returns when nobody reads the body any more.
func (a *ahead) stop() {
	close(a.free)
	for p := range a.full {
		pieces.Put(p)
	}
	for p := range a.free {
		pieces.Put(p)
	}
}
