package secret

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const chunk = 64 << 10 // of the age format

// sizes lie around the borders of chunks, where the format has its corners.
var sizes = []int{0, 1, chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 2*chunk + 1, 3<<20 + 12345}

func newKey(t testing.TB) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	return key
}

func recipients(t testing.TB, keys ...*age.X25519Identity) *Recipients {
	t.Helper()
	var list []string
	for _, key := range keys {
		list = append(list, key.Recipient().String())
	}
	r, err := ParseRecipients(list)
	require.NoError(t, err)
	return r
}

// identities reads keys as users give them: from a file.
func identities(t testing.TB, keys ...fmt.Stringer) *Identities {
	t.Helper()
	text := "# created: 2024-01-01T00:00:00Z\n\n"
	for _, key := range keys {
		text += key.String() + "\n"
	}
	i, err := ReadIdentities(writeKeys(t, text, 0o600))
	require.NoError(t, err)
	return i
}

func writeKeys(t testing.TB, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key.txt")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	require.NoError(t, os.Chmod(path, mode)) // past the umask
	return path
}

func random(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b) // never fails
	return b
}

func TestRoundTrip(t *testing.T) {
	key := newKey(t)
	to, from := recipients(t, key), identities(t, key)
	for _, size := range sizes {
		plain := random(size)
		encrypted, err := to.EncryptReader(bytes.NewReader(plain))
		require.NoError(t, err)
		decrypted, err := from.Decrypt(encrypted) // as a stream, nothing in between
		require.NoError(t, err)
		got, err := io.ReadAll(decrypted)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got), "%d bytes", size)

		sealed, err := to.Seal(plain)
		require.NoError(t, err)
		if size > 16 {
			require.False(t, bytes.Contains(sealed, plain[:16]), "it is encrypted")
		}
		got, err = from.Unseal(sealed)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got), "%d bytes", size)
	}
}

// Readers that yield little at a time, or the end together with the last bytes.
func TestRoundTripAnyReader(t *testing.T) {
	key := newKey(t)
	to, from := recipients(t, key), identities(t, key)
	plain := random(chunk + 100)
	for name, odd := range map[string]func(io.Reader) io.Reader{
		"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "end with data": iotest.DataErrReader,
	} {
		encrypted, err := to.EncryptReader(odd(bytes.NewReader(plain)))
		require.NoError(t, err)
		decrypted, err := from.Decrypt(odd(encrypted))
		require.NoError(t, err)
		assert.NoError(t, iotest.TestReader(decrypted, plain), name)
	}
}

// The format is age's own: age opens what we made, and we what age made.
func TestFormatIsStandard(t *testing.T) {
	classic := newKey(t)
	hybrid, err := age.GenerateHybridIdentity()
	require.NoError(t, err)
	for _, test := range []struct {
		to  publicKey
		key age.Identity
	}{{classic.Recipient(), classic}, {hybrid.Recipient(), hybrid}} {
		plain := random(chunk + 1)
		to, err := ParseRecipients([]string{test.to.String()})
		require.NoError(t, err)
		sealed, err := to.Seal(plain)
		require.NoError(t, err)
		opened, err := age.Decrypt(bytes.NewReader(sealed), test.key)
		require.NoError(t, err)
		got, err := io.ReadAll(opened)
		require.NoError(t, err)
		require.Equal(t, plain, got)

		var file bytes.Buffer
		w, err := age.Encrypt(&file, test.to)
		require.NoError(t, err)
		_, err = w.Write(plain)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		got, err = identities(t, test.key.(fmt.Stringer)).Unseal(file.Bytes())
		require.NoError(t, err)
		require.Equal(t, plain, got)
	}
}

func TestAnyRecipientOpens(t *testing.T) {
	a, b, stranger := newKey(t), newKey(t), newKey(t)
	sealed, err := recipients(t, a, b).Seal([]byte("plain"))
	require.NoError(t, err)
	for _, keys := range [][]fmt.Stringer{{a}, {b}, {stranger, b}} {
		got, err := identities(t, keys...).Unseal(sealed)
		require.NoError(t, err)
		assert.Equal(t, "plain", string(got))
	}
}

func TestWrongKey(t *testing.T) {
	sealed, err := recipients(t, newKey(t), newKey(t)).Seal([]byte("plain"))
	require.NoError(t, err)
	stranger := identities(t, newKey(t))
	_, err = stranger.Unseal(sealed)
	assert.EqualError(t, err, "no key opens it: it has 2 recipients, and none of 1 identities is among them")
	for _, keys := range []*Identities{stranger, nil, {}} {
		_, err = keys.Unseal(sealed)
		assert.ErrorIs(t, err, ErrNoKey)
		assert.NotErrorIs(t, err, ErrTampered)
		_, _, err = keys.OpenAt(bytes.NewReader(sealed), int64(len(sealed)))
		assert.ErrorIs(t, err, ErrNoKey)
	}
	assert.Empty(t, (*Identities)(nil).Warning())
}

// An error of the source is that error, and neither damage nor a missing key;
// wherever it strikes, and even when the source says io.EOF afterwards.
func TestErrorOfSource(t *testing.T) {
	key := newKey(t)
	to, from := recipients(t, key), identities(t, key)
	broken := errors.New("broken")
	encrypted, err := to.EncryptReader(io.MultiReader(bytes.NewReader(random(chunk+1)), iotest.ErrReader(broken)))
	require.NoError(t, err)
	_, err = io.ReadAll(encrypted)
	assert.Equal(t, broken, err)

	sealed, err := to.Seal(random(2 * chunk))
	require.NoError(t, err)
	for _, cause := range []error{broken, io.ErrUnexpectedEOF} {
		for _, at := range []int{0, 1, 30, 200, 300, chunk, len(sealed) - 1, len(sealed)} {
			_, err := readAll(from, &failing{data: bytes.NewReader(sealed[:at]), err: cause})
			assert.Equal(t, cause, err, "after %d bytes", at)
			_, _, err = from.OpenAt(&failingAt{sealed, int64(at), cause}, int64(len(sealed)))
			if at < len(sealed) {
				assert.Equal(t, cause, err, "after %d bytes", at)
			}
		}
	}
}

func readAll(from *Identities, src io.Reader) ([]byte, error) {
	plain, err := from.Decrypt(src)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(plain)
}

// failing yields its data, fails once, and then claims to be at its end.
type failing struct {
	data *bytes.Reader
	err  error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.data.Read(p)
	if f.data.Len() == 0 && f.err != nil {
		err, f.err = f.err, nil
	}
	return n, err
}

// failingAt cannot be read from an offset on.
type failingAt struct {
	data []byte
	from int64
	err  error
}

func (f *failingAt) ReadAt(p []byte, off int64) (int, error) {
	n, err := bytes.NewReader(f.data[:f.from]).ReadAt(p, off)
	if err != nil && off+int64(len(p)) > f.from {
		err = f.err
	}
	return n, err
}

// Abandoning a reader costs nothing: it has no goroutine, and reads only what
// the chunk at hand needs.
func TestEncryptReadsNoFurtherAhead(t *testing.T) {
	src := bytes.NewReader(random(10 * chunk))
	encrypted, err := recipients(t, newKey(t)).EncryptReader(src)
	require.NoError(t, err)
	require.Equal(t, 10*chunk, src.Len(), "nothing is read before it is asked for")
	_, err = io.ReadFull(encrypted, make([]byte, 1000))
	require.NoError(t, err)
	assert.Equal(t, 9*chunk-1, src.Len())
}

func FuzzRoundTrip(f *testing.F) {
	key := newKey(f)
	to, from := recipients(f, key), identities(f, key)
	for _, seed := range []string{"", "a", strings.Repeat("b", chunk), strings.Repeat("c", chunk+1)} {
		f.Add([]byte(seed), 0, 5)
	}
	f.Fuzz(func(t *testing.T, plain []byte, off, length int) {
		sealed, err := to.Seal(plain)
		require.NoError(t, err)
		got, err := from.Unseal(sealed)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain, got))
		if off < 0 || off > len(plain) || length < 0 || length > len(plain)-off {
			return
		}
		at, _, err := from.OpenAt(bytes.NewReader(sealed), int64(len(sealed)))
		require.NoError(t, err)
		part := make([]byte, length)
		n, err := at.ReadAt(part, int64(off))
		require.True(t, n == length && (err == nil || err == io.EOF), "%d bytes, %v", n, err)
		require.True(t, bytes.Equal(plain[off:off+length], part))
	})
}

// FuzzDecrypt: whatever bytes come, the answer is one of the two errors.
func FuzzDecrypt(f *testing.F) {
	key := newKey(f)
	from := identities(f, key)
	sealed, err := recipients(f, key).Seal([]byte("plain"))
	require.NoError(f, err)
	f.Add(sealed[:len(sealed)-1])
	f.Add([]byte("age-encryption.org/v1\n-> X25519 AAAA\n\n--- AAAA\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := from.Unseal(data)
		require.True(t, errors.Is(err, ErrNoKey) != errors.Is(err, ErrTampered), "%v", err)
		_, _, err = from.OpenAt(bytes.NewReader(data), int64(len(data)))
		require.True(t, errors.Is(err, ErrNoKey) != errors.Is(err, ErrTampered), "%v", err)
		require.Less(t, len(err.Error()), 1000)
	})
}

func BenchmarkEncrypt(b *testing.B) {
	to := recipients(b, newKey(b))
	plain := random(16 << 20)
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		encrypted, err := to.EncryptReader(bytes.NewReader(plain))
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, encrypted)
		require.NoError(b, err)
	}
}

func BenchmarkDecrypt(b *testing.B) {
	key := newKey(b)
	from := identities(b, key)
	sealed, err := recipients(b, key).Seal(random(16 << 20))
	require.NoError(b, err)
	b.SetBytes(16 << 20)
	for b.Loop() {
		plain, err := from.Decrypt(bytes.NewReader(sealed))
		require.NoError(b, err)
		_, err = io.Copy(io.Discard, plain)
		require.NoError(b, err)
	}
}
