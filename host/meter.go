package host

import (
	"encoding/hex"
	"hash/crc32"
	"io"

	"github.com/zeebo/blake3"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// meter computes the digests of what passes through it, so that bytes are read
// once.
type meter struct {
	from  io.Reader
	hash  *blake3.Hasher // nil when nobody wants the digest
	crc   uint32         // CRC32C so far
	size  int64          // bytes so far
	moved func(n int)
}

// newMeter returns a meter that reports every step to moved, which may be nil.
func newMeter(from io.Reader, moved func(n int)) *meter {
	return &meter{from: from, hash: blake3.New(), moved: moved}
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	if m.hash != nil {
		m.hash.Write(p[:n])
	}
	m.crc = crc32.Update(m.crc, castagnoli, p[:n])
	m.size += int64(n)
	if m.moved != nil && n > 0 {
		m.moved(n)
	}
	return n, err
}

// digest returns the BLAKE3-256 of what was read, in hex.
func (m *meter) digest() string { return hex.EncodeToString(m.hash.Sum(nil)) }
