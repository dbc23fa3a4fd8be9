package secret

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// damaged asserts that both ways of reading find the damage, and that what they
// yield before is authentic.
func damaged(t *testing.T, from *Identities, plain, data []byte, what string, at int) {
	t.Helper()
	got, err := readAll(from, bytes.NewReader(data))
	require.True(t, errors.Is(err, ErrTampered) || errors.Is(err, ErrNoKey), "%s at %d: %v", what, at, err)
	require.True(t, bytes.HasPrefix(plain, got), "%s at %d", what, at)
	require.NotErrorIs(t, err, io.ErrUnexpectedEOF, "that is what a lost connection looks like")

	src, size, err := from.OpenAt(bytes.NewReader(data), int64(len(data)))
	if err == nil {
		got = make([]byte, size)
		_, err = src.ReadAt(got, 0)
	}
	require.True(t, errors.Is(err, ErrTampered) || errors.Is(err, ErrNoKey), "%s at %d: %v", what, at, err)
}

func TestEveryFlippedByteIsFound(t *testing.T) {
	key := newKey(t)
	from := identities(t, key)
	plain := random(100)
	sealed, err := recipients(t, key, newKey(t)).Seal(plain)
	require.NoError(t, err)
	for at := range sealed {
		for _, flip := range []byte{0x01, 0x80} {
			data := bytes.Clone(sealed)
			data[at] ^= flip
			damaged(t, from, plain, data, "flip", at)
		}
	}
}

// Damage to the payload is never taken for a missing key.
func TestDamagedPayloadIsNoMissingKey(t *testing.T) {
	key := newKey(t)
	from := identities(t, key)
	sealed, err := recipients(t, key).Seal(random(3 * chunk))
	require.NoError(t, err)
	for _, back := range []int{1, 17, chunk, chunk + 17, 2*chunk + 40, 3*chunk + 48, 3*chunk + 64} {
		data := bytes.Clone(sealed)
		data[len(data)-back] ^= 0x40
		_, err := from.Unseal(data)
		assert.ErrorIs(t, err, ErrTampered, "%d bytes before the end", back)
	}
}

func TestTruncationIsFound(t *testing.T) {
	key := newKey(t)
	to, from := recipients(t, key), identities(t, key)
	plain := random(100)
	sealed, err := to.Seal(plain)
	require.NoError(t, err)
	for length := range sealed {
		damaged(t, from, plain, sealed[:length], "cut", length)
	}
	damaged(t, from, plain, append(bytes.Clone(sealed), 0), "longer", len(sealed))

	for _, size := range sizes[2:8] { // cut by whole chunks, and around them
		plain := random(size)
		sealed, err := to.Seal(plain)
		require.NoError(t, err)
		header := len(sealed) - size - 16*max(1, (size+chunk-1)/chunk)
		for border := header; border < len(sealed); border += chunk + 16 {
			for _, length := range []int{border - 1, border, border + 1, border + 16} {
				damaged(t, from, plain, sealed[:length], "cut", length)
			}
		}
		damaged(t, from, plain, append(bytes.Clone(sealed), 0), "longer", len(sealed))
	}
}

// Chunks that changed places are damage, too.
func TestSwappedChunksAreFound(t *testing.T) {
	key := newKey(t)
	from := identities(t, key)
	plain := random(3 * chunk)
	sealed, err := recipients(t, key).Seal(plain)
	require.NoError(t, err)
	const stored = chunk + 16
	header := len(sealed) - 3*stored
	first, second := sealed[header:header+stored], sealed[header+stored:header+2*stored]
	data := bytes.Join([][]byte{sealed[:header], second, first, sealed[header+2*stored:]}, nil)
	damaged(t, from, plain, data, "swap", header)
	damaged(t, from, plain, append(bytes.Clone(sealed[:header]), sealed[header+stored:]...), "omission", header)
}

func TestNotEncryptedAtAll(t *testing.T) {
	from := identities(t, newKey(t))
	endless := []byte("age-encryption.org/v1\n" + strings.Repeat("z", 1<<20) + "\nz\n")
	for _, data := range [][]byte{nil, []byte("plain\n"), random(5000), endless} {
		_, err := from.Unseal(data)
		assert.ErrorIs(t, err, ErrTampered)
		assert.Less(t, len(err.Error()), 1000, "the bytes are not all in the message")
	}
}

func TestRangedReads(t *testing.T) {
	key := newKey(t)
	to, from := recipients(t, key), identities(t, key)
	for _, size := range sizes {
		plain := random(size)
		sealed, err := to.Seal(plain)
		require.NoError(t, err)
		at, length, err := from.OpenAt(bytes.NewReader(sealed), int64(len(sealed)))
		require.NoError(t, err)
		require.EqualValues(t, size, length)
		for _, off := range sizes {
			for _, n := range []int{0, 1, 100, chunk, chunk + 1, size} {
				requireSameRange(t, bytes.NewReader(plain), at, int64(off), n)
			}
		}
		_, err = at.ReadAt(make([]byte, 1), -1)
		require.ErrorIs(t, err, fs.ErrInvalid)
	}
}

// requireSameRange compares with the plain bytes, as [bytes.Reader] reads them.
// Whether io.EOF comes with the very last byte or after it is left to a reader.
func requireSameRange(t *testing.T, plain *bytes.Reader, at io.ReaderAt, off int64, length int) {
	t.Helper()
	want, got := make([]byte, length), make([]byte, length)
	wantN, _ := plain.ReadAt(want, off)
	gotN, err := at.ReadAt(got, off)
	require.Equal(t, wantN, gotN, "%d bytes at %d of %d", length, off, plain.Size())
	require.True(t, bytes.Equal(want, got), "%d bytes at %d of %d", length, off, plain.Size())
	if gotN < length {
		require.Equal(t, io.EOF, err)
	} else if err != nil {
		require.True(t, err == io.EOF && off+int64(length) >= plain.Size(), "%v", err)
	}
}

func TestRangedReadsConcurrently(t *testing.T) {
	key := newKey(t)
	plain := random(8*chunk + 7)
	sealed, err := recipients(t, key).Seal(plain)
	require.NoError(t, err)
	at, size, err := identities(t, key).OpenAt(bytes.NewReader(sealed), int64(len(sealed)))
	require.NoError(t, err)
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			part := make([]byte, 1000)
			for off := int64(worker * 777); off < size; off += 7919 {
				n, _ := at.ReadAt(part, off)
				assert.True(t, bytes.Equal(plain[off:off+int64(n)], part[:n]), "at %d", off)
			}
		})
	}
	all.Wait()
}

// A ranged read takes from the source what it needs: the header, the last
// chunk, and the one that is asked for.
func TestRangedReadIsSmall(t *testing.T) {
	key := newKey(t)
	sealed, err := recipients(t, key).Seal(random(50 * chunk))
	require.NoError(t, err)
	src := &counting{r: bytes.NewReader(sealed)}
	at, _, err := identities(t, key).OpenAt(src, int64(len(sealed)))
	require.NoError(t, err)
	_, err = at.ReadAt(make([]byte, 10), 20*chunk)
	require.NoError(t, err)
	assert.Less(t, src.bytes, 3*chunk)
}

type counting struct {
	r     io.ReaderAt
	bytes int
}

func (c *counting) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.r.ReadAt(p, off)
	c.bytes += n
	return n, err
}
