package blobtest

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"io"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

// bigSize is enough for three parts of the least size that S3 allows, and no
// round number.
const bigSize = 12<<20 + 1

var bigLaws = []law{
	{"create big objects", createBig},
	{"one of the racing creators of a big object wins", createBigRace},
	{"create a big object again after it failed", createBigAgain},
}

// big yields size bytes that no other seed yields.
func big(seed byte, size int64) io.Reader {
	block := make([]byte, 1<<16+1)                     // so that no two parts begin alike
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(block) // never fails
	return io.LimitReader(&cycle{block: block}, size)
}

// cycle yields a block again and again.
type cycle struct {
	block []byte
	pos   int
}

func (c *cycle) Read(p []byte) (int, error) {
	n := copy(p, c.block[c.pos:])
	c.pos = (c.pos + n) % len(c.block)
	return n, nil
}

// sums are the size, the CRC32C and a digest of some bytes.
type sums struct {
	size   int64
	crc    uint32
	digest [sha256.Size]byte
}

func sum(r io.Reader) (sums, error) {
	crc, digest := crc32.New(castagnoli), sha256.New()
	n, err := io.Copy(io.MultiWriter(crc, digest), r)
	return sums{n, crc.Sum32(), [sha256.Size]byte(digest.Sum(nil))}, err
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// requireBig asserts that an object is what big yields.
func requireBig(t *testing.T, s blob.Store, name string, seed byte, size int64) {
	t.Helper()
	want, err := sum(big(seed, size))
	require.NoError(t, err)
	r, err := s.Open(context.Background(), name, 0, -1)
	require.NoError(t, err)
	defer r.Close()
	got, err := sum(r)
	require.NoError(t, err)
	require.Equal(t, want, got, "content of %s", name)
	requireChecksum(t, s, name, want.crc)
}

// requireChecksum asserts that a store which tells a checksum tells the truth.
func requireChecksum(t *testing.T, s blob.Store, name string, want uint32) {
	t.Helper()
	info, err := s.Stat(context.Background(), name)
	require.NoError(t, err)
	if info.CRC32C != nil {
		require.Equal(t, want, *info.CRC32C, "checksum of %s", name)
	}
}

// createBig goes around the borders of parts.
func createBig(t *testing.T, s blob.Store) {
	for i, size := range []int64{5 << 20, 10<<20 + 1, bigSize} {
		seed, name := byte(i), "big/"+string(rune('a'+i))
		require.NoError(t, s.Create(context.Background(), name, big(seed, size)))
		requireBig(t, s, name, seed, size)
		require.ErrorIs(t, s.Create(context.Background(), name, big(seed+1, size)), fs.ErrExist)
		requireBig(t, s, name, seed, size)
	}
}

// createBigRace lets creators with different contents of one size go for one
// name, and looks all the time. No byte of a loser may be in the winner's object.
func createBigRace(t *testing.T, s blob.Store) {
	errs := make([]error, 4)
	start, ended := make(chan struct{}), make(chan struct{})
	var creators sync.WaitGroup
	for i := range errs {
		creators.Go(func() {
			<-start
			errs[i] = s.Create(context.Background(), "contested/big", big(byte(i), bigSize))
		})
	}
	go func() { creators.Wait(); close(ended) }()
	close(start)
	for over := false; !over; {
		select {
		case <-ended:
			over = true
		default:
		}
		for info, err := range s.List(context.Background(), "contested/", "") {
			require.NoError(t, err)
			require.EqualValues(t, bigSize, info.Size, "listed before it is whole")
		}
	}
	requireBig(t, s, "contested/big", byte(requireWinner(t, errs)), bigSize)
}

// requireWinner returns which of racing creators won; all the others have to know
// that they did not.
func requireWinner(t *testing.T, errs []error) int {
	t.Helper()
	winner := -1
	for i, err := range errs {
		if err == nil {
			require.Equal(t, -1, winner, "two creators won")
			winner = i
			continue
		}
		require.ErrorIs(t, err, fs.ErrExist)
	}
	require.NotEqual(t, -1, winner, "no creator won")
	return winner
}

// createBigAgain creates what failed late: what the attempt may have left must
// not get into the object, and may only be used where it is the same.
func createBigAgain(t *testing.T, s blob.Store) {
	const failAt = 11 << 20
	broken := io.MultiReader(big(1, failAt), iotest.ErrReader(errBroken))
	require.ErrorIs(t, s.Create(context.Background(), "again/other", broken), errBroken)
	requireInvisible(t, s, "again/other")
	require.NoError(t, s.Create(context.Background(), "again/other", big(2, bigSize)))
	requireBig(t, s, "again/other", 2, bigSize)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	body := io.MultiReader(big(3, failAt), &tripwire{left: bigSize, trip: cancel})
	err := s.Create(ctx, "again/same", body)
	require.True(t, errors.Is(err, context.Canceled), "%v", err)
	requireInvisible(t, s, "again/same")
	require.NoError(t, s.Create(context.Background(), "again/same", big(3, bigSize)))
	requireBig(t, s, "again/same", 3, bigSize)
}
