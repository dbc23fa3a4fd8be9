package canonical

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/keygroup"
)

// sample is a file with several frames of both codecs.
func sample(t testing.TB) []byte {
	h := Header{Family: "orders", Comparator: BytewiseComparator, GroupCount: 200, FirstGroup: 1, LastGroup: 3}
	records := grouped(keygroup.Range{First: 1, Last: 3}, 200, 4, 60)
	file, totals := build(t, h, Options{Codec: abi.CodecZstd, FrameBytes: 160}, records)
	require.Greater(t, totals.Frames, 2)
	return file
}

// everyReader reads a whole file in each of the three ways and returns the
// errors.
func everyReader(file []byte) map[string]error {
	errs := make(map[string]error)
	s, err := NewStreamReader(bytes.NewReader(file))
	if err == nil {
		_, err = read(s.Blocks())
	}
	errs["stream"] = err
	r, err := NewReader(bytes.NewReader(file), int64(len(file)))
	errs["all"], errs["blocks"] = err, err
	if err == nil {
		_, errs["all"] = read(r.All())
		_, errs["blocks"] = read(r.Blocks(0, keygroup.MaxCount))
	}
	return errs
}

func TestEveryTruncation(t *testing.T) {
	file := sample(t)
	for how, err := range everyReader(file) {
		require.NoError(t, err, how)
	}
	for end := range file {
		for how, err := range everyReader(file[:end]) {
			require.ErrorIs(t, err, ErrCorrupt, "%s of the first %d bytes", how, end)
			require.ErrorIs(t, err, abi.ECORRUPT)
		}
	}
	for how, err := range everyReader(append(file, 0)) {
		require.ErrorIs(t, err, ErrCorrupt, "%s of one byte too many", how)
	}
}

func TestEveryFlip(t *testing.T) {
	file := sample(t)
	for at := range file {
		bit := byte(1) << (at % 8)
		file[at] ^= bit
		for how, err := range everyReader(file) {
			require.ErrorIs(t, err, ErrCorrupt, "%s with bit %#x of byte %d flipped", how, bit, at)
		}
		file[at] ^= bit
	}
}

// TestForged changes fields under a correct checksum: what only a faulty or
// hostile writer makes, or a newer one.
func TestForged(t *testing.T) {
	file, _ := build(t, Header{Comparator: "own", GroupCount: 9, LastGroup: 8}, Options{FrameBytes: 1},
		[]pair{{[]byte{1}, []byte("a")}, {[]byte{2}, []byte("b")}})
	const frame = headerFixed + 3 + crcBytes
	footer := frame + 2*(frameHeaderBytes+10)
	trailer := len(file) - trailerBytes
	for name, c := range map[string]struct {
		at   int
		to   byte
		want error
	}{
		"version":           {8, 2, ErrVersion},
		"version 0":         {8, 0, ErrCorrupt},
		"header flags":      {10, 1, ErrVersion},
		"comparator length": {28, 2, ErrCorrupt},
		"last group":        {24, 9, ErrCorrupt},
		"no group":          {24, 1, ErrCorrupt},
		"kind of frame":     {frame, 'G', ErrVersion},
		"codec":             {frame + 1, 2, ErrVersion},
		"zstd that is none": {frame + 1, 1, ErrCorrupt},
		"reserved":          {frame + 2, 1, ErrVersion},
		"no records":        {frame + 4, 0, ErrCorrupt},
		"too many records":  {frame + 4, 2, ErrCorrupt},
		"raw length":        {frame + 10, 1, ErrCorrupt},
		"totals records":    {footer + 8, 3, ErrCorrupt},
		"totals bytes":      {footer + 16, 3, ErrCorrupt},
		"totals digest":     {footer + 24, 3, ErrCorrupt},
		"frame count":       {footer + 4, 3, ErrCorrupt},
		"kind of footer":    {footer + 1, 1, ErrVersion},
		"frame offset":      {footer + footerFixed, 1, ErrCorrupt},
		"frame group":       {footer + footerFixed + 20, 7, ErrCorrupt},
		"frame key":         {footer + footerFixed + 32, 7, ErrCorrupt},
		"index key length":  {footer + footerFixed + 28, 9, ErrCorrupt},
		"footer offset":     {trailer, 9, ErrCorrupt},
		"footer length":     {trailer + 8, 9, ErrCorrupt},
		"trailer reserved":  {trailer + 16, 9, ErrVersion},
	} {
		t.Run(name, func(t *testing.T) {
			forged := bytes.Clone(file)
			require.NotEqual(t, c.to, forged[c.at])
			forged[c.at] = c.to
			mend(forged)
			r, err := NewReader(bytes.NewReader(forged), int64(len(forged)))
			if err == nil {
				_, err = read(r.All())
			}
			assert.ErrorIs(t, err, c.want)
			if name != "totals digest" { // a range cannot see the digest of all
				assert.ErrorIs(t, everyReader(forged)["blocks"], c.want)
			}
		})
	}
}

// mend makes every checksum of a file right again, as far as its structure can
// be followed.
func mend(file []byte) {
	set := func(start, end int) {
		if 0 <= start && start+crcBytes <= end && end <= len(file) {
			le.PutUint32(file[end-crcBytes:], crc(file[start:end-crcBytes]))
		}
	}
	if len(file) < headerFixed+trailerBytes {
		return
	}
	trailer := len(file) - trailerBytes
	set(trailer, trailer+24)
	at := int(le.Uint32(file[12:]))
	set(0, at)
	for at >= headerFixed && at+frameHeaderBytes <= trailer && file[at] != tagFooter {
		end := at + frameHeaderBytes + int(le.Uint32(file[at+12:]))
		if end > trailer {
			break
		}
		le.PutUint32(file[at+16:], crc(file[at+frameHeaderBytes:end]))
		set(at, at+frameHeaderBytes)
		at = end
	}
	set(at, trailer)
}

// TestDeclaredLengths states that a small file cannot make a reader allocate
// much, whatever lengths it declares.
func TestDeclaredLengths(t *testing.T) {
	head := appendFrameHeader(appendHeader(nil, plain), frameHeader{abi.CodecNone, 1, 1 << 31, 1 << 31, 0})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	s, err := NewStreamReader(bytes.NewReader(head))
	require.NoError(t, err)
	_, err = read(s.Blocks())
	runtime.ReadMemStats(&after)
	assert.ErrorIs(t, err, io.ErrUnexpectedEOF)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4*readStep))

	_, err = parseFrameHeader(appendFrameHeader(nil, frameHeader{abi.CodecZstd, 1, 1 << 31, 100, 0}))
	assert.ErrorIs(t, err, ErrCorrupt, "more than zstd can shrink")
	_, err = parseFrameHeader(appendFrameHeader(nil, frameHeader{abi.CodecNone, 2, MaxFrameBytes + 1, MaxFrameBytes + 1, 0}))
	assert.ErrorIs(t, err, ErrCorrupt, "only a single record may be that long")
}

// TestReadErrorsPass states that a failing source is no corrupt file.
func TestReadErrorsPass(t *testing.T) {
	file := sample(t)
	for end := range file {
		s, err := NewStreamReader(io.MultiReader(bytes.NewReader(file[:end]), iotest.ErrReader(iotest.ErrTimeout)))
		if err == nil {
			_, err = read(s.Blocks())
		}
		require.ErrorIs(t, err, iotest.ErrTimeout)
		require.NotErrorIs(t, err, ErrCorrupt)
	}
}
