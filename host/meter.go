package host

import (
	"encoding/hex"
	"hash/crc32"
	"io"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/rocksnap/rocksnap/host/blob"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// meter computes the digests of what passes through it, so that bytes are read
// once.
type meter struct {
	from  io.Reader
	hash  *blake3.Hasher // nil when nobody wants the digest
	proof bool           // the digest is all that is wanted
	crc   uint32         // CRC32C so far, unless proof
	size  int64          // bytes so far
	moved func(n int)
}

// newMeter returns a meter that reports every step to moved, which may be nil.
func newMeter(from io.Reader, moved func(n int)) *meter {
	return &meter{from: from, hash: blake3.New(), moved: moved}
}

// newProof returns a meter for bytes of which the digest is known: it has to say
// whether they have it, and the CRC32C would only take time.
func newProof(from io.Reader, moved func(n int)) *meter {
	return &meter{from: from, hash: blake3.New(), proof: true, moved: moved}
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	if m.hash != nil {
		m.hash.Write(p[:n])
	}
	if !m.proof {
		m.crc = crc32.Update(m.crc, castagnoli, p[:n])
	}
	m.size += int64(n)
	if m.moved != nil && n > 0 {
		m.moved(n)
	}
	return n, err
}

// Length returns the length of what is read, in bytes, or -1. See [blob.Sized].
func (m *meter) Length() int64 { return blob.Length(m.from) }

// digest returns the BLAKE3-256 of what was read, in hex.
func (m *meter) digest() string { return hex.EncodeToString(m.hash.Sum(nil)) }

// copyBytes is the size of the buffers that files are copied through: a system call
// each for less would cost as much as the digest.
const copyBytes = 256 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBytes]byte) }}

// copyAll copies to the end of from. It hides what else w can do: a file would copy
// by itself, in small steps.
func copyAll(w io.Writer, from io.Reader) error {
	buf := copyBuffers.Get().(*[copyBytes]byte)
	defer copyBuffers.Put(buf)
	_, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{from}, buf[:])
	return err
}

// drain reads to the end, in larger steps than io.Discard takes.
func drain(from io.Reader) error { return copyAll(io.Discard, from) }
