package mem

import (
	"context"
	"hash/crc32"
	"io"
)

// content is the bytes of an object. It is immutable: nobody but its readers,
// which copy, ever has them.
type content struct {
	chunks [][]byte // none is empty
	size   int64
	crc    uint32
}

// Sizes of chunks: each is twice as large as the one before it, so that small
// objects take little, and large ones are not moved while they grow.
const (
	minChunk = 512
	maxChunk = 1 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// collect copies everything that r yields. It fails once ctx is cancelled.
func collect(ctx context.Context, r io.Reader) (c content, err error) {
	for size := minChunk; err == nil; size = min(2*size, maxChunk) {
		chunk, n := make([]byte, size), 0
		for n < size && err == nil {
			var more int
			if err = ctx.Err(); err == nil {
				more, err = r.Read(chunk[n:])
			}
			n += more
		}
		c.add(chunk[:n])
	}
	if err == io.EOF {
		err = nil
	}
	return c, err
}

func (c *content) add(chunk []byte) {
	if len(chunk) > 0 {
		c.chunks = append(c.chunks, chunk)
		c.size += int64(len(chunk))
		c.crc = crc32.Update(c.crc, castagnoli, chunk)
	}
}

// reader yields length bytes from an offset, which are there, and then last.
func (c content) reader(ctx context.Context, offset, length int64, last error) io.ReadCloser {
	chunks := c.chunks
	for len(chunks) > 0 && offset >= int64(len(chunks[0])) {
		offset -= int64(len(chunks[0]))
		chunks = chunks[1:]
	}
	return &body{ctx, chunks, int(offset), length, last}
}

// body yields left bytes of chunks, without the first skip, and then last. It
// offers no shortcut to them, such as WriteTo, by which a reader could change
// the object.
type body struct {
	ctx    context.Context
	chunks [][]byte
	skip   int
	left   int64
	last   error
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	if b.left == 0 {
		return 0, b.last
	}
	n := copy(p[:min(int64(len(p)), b.left)], b.chunks[0][b.skip:])
	b.left -= int64(n)
	if b.skip += n; b.skip == len(b.chunks[0]) {
		b.chunks, b.skip = b.chunks[1:], 0
	}
	return n, nil
}

func (b *body) Close() error { return nil }
