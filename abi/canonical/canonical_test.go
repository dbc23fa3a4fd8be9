package canonical

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/quick"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/keygroup"
)

var plain = Header{Family: "default", Comparator: BytewiseComparator}

func pack(records []pair) (packed []byte) {
	for _, r := range records {
		packed = AppendRecord(packed, r.key, r.value)
	}
	return packed
}

// build writes a file in blocks of three records.
func build(t testing.TB, h Header, o Options, records []pair) ([]byte, Totals) {
	t.Helper()
	var file bytes.Buffer
	w, err := NewWriter(&file, h, o)
	require.NoError(t, err)
	for block := range slices.Chunk(records, 3) {
		require.NoError(t, w.WriteBlock(pack(block)))
	}
	totals, err := w.Close()
	require.NoError(t, err)
	return file.Bytes(), totals
}

func open(t testing.TB, file []byte) *Reader {
	t.Helper()
	r, err := NewReader(bytes.NewReader(file), int64(len(file)))
	require.NoError(t, err)
	return r
}

// read reads blocks into a list of records.
func read(blocks iter.Seq2[[]byte, error]) (records []pair, err error) {
	for packed, err := range blocks {
		if err != nil {
			return records, err
		}
		for key, value := range Records(packed) {
			records = append(records, pair{bytes.Clone(key), bytes.Clone(value)})
		}
	}
	return records, nil
}

func collect(t testing.TB, blocks iter.Seq2[[]byte, error]) []pair {
	t.Helper()
	records, err := read(blocks)
	require.NoError(t, err)
	return records
}

// grouped makes records in the order of their key groups.
func grouped(groups keygroup.Range, count uint32, each, valueBytes int) (records []pair) {
	random := rand.New(rand.NewPCG(1, 2))
	for group := groups.First; group <= groups.Last; group++ {
		for i := range each {
			key := fmt.Appendf(keygroup.AppendPrefix(nil, group, count), "key-%06d", i)
			value := make([]byte, valueBytes)
			for j := range value {
				value[j] = byte(random.IntN(8))
			}
			records = append(records, pair{key, value})
		}
	}
	return records
}

func TestRoundTrip(t *testing.T) {
	law := func(content map[string][]byte, zstd bool, frame uint8) bool {
		var records []pair
		for key, value := range content {
			records = append(records, pair{[]byte(key), value})
		}
		slices.SortFunc(records, func(a, b pair) int { return bytes.Compare(a.key, b.key) })
		o := Options{FrameBytes: int(frame) * 4}
		if zstd {
			o.Codec = abi.CodecZstd
		}
		file, totals := build(t, plain, o, records)
		r := open(t, file)
		return assert.Equal(t, totals, r.Totals()) &&
			assert.Equal(t, pack(records), pack(collect(t, r.All()))) &&
			assert.Equal(t, pack(records), pack(collect(t, r.Blocks(0, 0))))
	}
	require.NoError(t, quick.Check(law, &quick.Config{MaxCount: 200}))
}

func TestStreamReader(t *testing.T) {
	records := grouped(keygroup.Range{First: 3, Last: 9}, 10, 20, 50)
	h := Header{Family: "orders", Comparator: BytewiseComparator, GroupCount: 10, FirstGroup: 3, LastGroup: 9}
	file, totals := build(t, h, Options{Codec: abi.CodecZstd, FrameBytes: 500}, records)

	s, err := NewStreamReader(iotest.OneByteReader(bytes.NewReader(file)))
	require.NoError(t, err)
	assert.Equal(t, h, s.Header())
	for range s.Blocks() {
		break // the next sequence goes on after it
	}
	first := s.Totals().Records
	assert.NotZero(t, first)
	assert.Equal(t, records[first:], collect(t, s.Blocks()))
	assert.Equal(t, totals, s.Totals())
	assert.Empty(t, collect(t, s.Blocks()))
}

// TestParts states that the digest of a whole is the merged digest of its parts.
func TestParts(t *testing.T) {
	records := grouped(keygroup.Range{Last: 7}, 8, 10, 30)
	var whole, merged Sum
	for _, r := range records {
		whole.Add(r.key, r.value)
	}
	for worker := range uint32(3) {
		groups, err := keygroup.RangeFor(worker, 3, 8)
		require.NoError(t, err)
		h := Header{Comparator: BytewiseComparator, GroupCount: 8, FirstGroup: groups.First, LastGroup: groups.Last}
		_, totals := build(t, h, Options{}, records[groups.First*10:groups.Last*10+10])
		merged = totals.Digest.Merge(merged)
	}
	assert.True(t, whole.Equal(merged))
	assert.Equal(t, Database(map[string]Sum{"a": whole}), Database(map[string]Sum{"a": merged, "b": {}}))
}

// countingReader counts the bytes that are read and notes how far they spread.
type countingReader struct {
	bytes.Reader
	n, low, high int64
}

func (c *countingReader) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	c.n += int64(n)
	c.low, c.high = min(c.low, off), max(c.high, off+int64(n))
	return n, err
}

// TestOneKeyGroup states that a key group costs its own frames and a few index
// bytes, in one contiguous range.
func TestOneKeyGroup(t *testing.T) {
	const count, each = 1000, 20
	records := grouped(keygroup.Range{Last: count - 1}, count, each, 40)
	h := Header{Comparator: BytewiseComparator, GroupCount: count, LastGroup: count - 1}
	file, _ := build(t, h, Options{FrameBytes: 2 << 10}, records)
	src := &countingReader{Reader: *bytes.NewReader(file)}
	r, err := NewReader(src, int64(len(file)))
	require.NoError(t, err)

	for _, group := range []uint32{0, 1, 255, 256, 500, count - 1} {
		src.n, src.low, src.high = 0, int64(len(file)), 0
		offset, length := r.Span(group, group)
		assert.Equal(t, records[group*each:][:each], collect(t, r.Blocks(group, group)))
		assert.Equal(t, offset, src.low)
		assert.Equal(t, offset+length, src.high)
		assert.Equal(t, length, src.n, "every byte once")
		assert.LessOrEqual(t, length, int64(3*(2<<10+frameHeaderBytes)), "the group and little of its neighbours")

		part := io.NewSectionReader(bytes.NewReader(file), offset, length)
		assert.Equal(t, records[group*each:][:each], collect(t, r.BlocksFrom(part, group, group)))
	}
}

// TestKeyGroupRanges compares every range of a small file with what a scan of
// all records finds.
func TestKeyGroupRanges(t *testing.T) {
	const count = 12
	records := grouped(keygroup.Range{First: 2, Last: 9}, count, 3, 10)
	records = slices.DeleteFunc(records, func(r pair) bool { return r.key[0] == 5 }) // a group without records
	h := Header{Comparator: BytewiseComparator, GroupCount: count, FirstGroup: 2, LastGroup: 9}
	for _, frame := range []int{1, 60, 200, 1 << 20} {
		file, _ := build(t, h, Options{FrameBytes: frame}, records)
		r := open(t, file)
		for first := range uint32(count) {
			for last := range uint32(count) {
				var want []pair
				for _, rec := range records {
					if g := uint32(rec.key[0]); first <= g && g <= last {
						want = append(want, rec)
					}
				}
				require.Equal(t, want, collect(t, r.Blocks(first, last)), "frames of %d, groups %d-%d", frame, first, last)
			}
		}
	}
}

func TestBigRecords(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), MaxFrameBytes/16+1)
	longKey := bytes.Repeat([]byte("b"), 5000)
	records := []pair{{[]byte("a"), []byte("1")}, {longKey, big}, {[]byte("c"), []byte("2")}}
	for _, codec := range []abi.Codec{abi.CodecNone, abi.CodecZstd} {
		file, totals := build(t, plain, Options{Codec: codec}, records)
		assert.Equal(t, 3, totals.Frames, "a long record has a frame of its own")
		r := open(t, file)
		assert.True(t, bytes.Equal(pack(records), pack(collect(t, r.All()))))
		assert.Equal(t, string(longKey[:maxIndexKey]), r.Frames()[1].FirstKey)
	}
}

func TestIncompressibleIsStoredAsIs(t *testing.T) {
	random := rand.NewChaCha8([32]byte{})
	value := make([]byte, 10_000)
	_, err := random.Read(value)
	require.NoError(t, err)
	records := []pair{{[]byte("k"), value}}
	none, _ := build(t, plain, Options{}, records)
	zstd, _ := build(t, plain, Options{Codec: abi.CodecZstd}, records)
	assert.Equal(t, none, zstd)
}

func TestWriterRefusesRecords(t *testing.T) {
	two := Header{Comparator: BytewiseComparator, GroupCount: 200, FirstGroup: 2, LastGroup: 5}
	one := Header{Comparator: "example.Own", GroupCount: 10, LastGroup: 9}
	for name, c := range map[string]struct {
		header Header
		packed []byte
		says   string
	}{
		"descending": {plain, pack([]pair{{[]byte("b"), nil}, {[]byte("a"), nil}}), "record 1: invalid argument: key 61 does not come after key 62"},
		"twice":      {plain, pack([]pair{{[]byte("b"), nil}, {[]byte("b"), nil}}), "key 62 does not come after key 62"},
		"no prefix":  {two, pack([]pair{{[]byte{0}, nil}}), "key 00 has no prefix of 200 key groups"},
		"no group":   {two, pack([]pair{{[]byte{0, 200}, nil}}), "key 00c8 has no prefix"},
		"below":      {two, pack([]pair{{[]byte{0, 1, 7}, nil}}), "key 000107 is in key group 1, outside of 2-5"},
		"above":      {two, pack([]pair{{[]byte{0, 6}, nil}}), "key group 6, outside of 2-5"},
		"back":       {one, pack([]pair{{[]byte{4}, nil}, {[]byte{3}, nil}}), "key 03 of key group 3 comes after key group 4"},
		"cut":        {plain, pack([]pair{{[]byte("a"), []byte("b")}})[:9], "record 0: invalid argument: packed records end within a record"},
		"long key":   {plain, pack([]pair{{[]byte{1}, nil}, {make([]byte, 99), nil}}), "… (99 bytes) does not"},
	} {
		t.Run(name, func(t *testing.T) {
			w, err := NewWriter(io.Discard, c.header, Options{})
			require.NoError(t, err)
			err = w.WriteBlock(c.packed)
			assert.ErrorIs(t, err, abi.EINVAL)
			assert.ErrorContains(t, err, c.says)
			_, closed := w.Close()
			assert.Equal(t, err, closed, "the file is useless")
		})
	}
}

func TestNewWriterRefuses(t *testing.T) {
	for _, c := range []struct {
		header  Header
		options Options
	}{
		{Header{LastGroup: 1}, Options{}},
		{Header{GroupCount: 4, LastGroup: 4}, Options{}},
		{Header{GroupCount: 4, FirstGroup: 2, LastGroup: 1}, Options{}},
		{Header{GroupCount: keygroup.MaxCount + 1}, Options{}},
		{Header{Family: strings.Repeat("x", 1<<16)}, Options{}},
		{plain, Options{Codec: 2}},
		{plain, Options{FrameBytes: -1}},
		{plain, Options{FrameBytes: MaxFrameBytes + 1}},
	} {
		_, err := NewWriter(io.Discard, c.header, c.options)
		assert.ErrorIs(t, err, abi.EINVAL, "%.40v %v", c.header, c.options)
	}
}

func TestWriterPassesErrorsOn(t *testing.T) {
	full := errors.New("disk full")
	records := grouped(keygroup.Range{}, 0, 10, 20)
	size, _ := build(t, plain, Options{FrameBytes: 100}, records)
	for room := range len(size) {
		err := writeAll(&limitedWriter{room, full}, records)
		require.ErrorIs(t, err, full, "room for %d bytes", room)
	}
	require.NoError(t, writeAll(&limitedWriter{len(size), full}, records))

	w, err := NewWriter(io.Discard, plain, Options{})
	require.NoError(t, err)
	_, err = w.Close()
	require.NoError(t, err)
	assert.ErrorIs(t, w.WriteBlock(pack(records)), fs.ErrClosed)
	_, err = w.Close()
	assert.ErrorIs(t, err, fs.ErrClosed)
}

func writeAll(dst io.Writer, records []pair) error {
	w, err := NewWriter(dst, plain, Options{FrameBytes: 100})
	if err != nil {
		return err
	}
	if err := w.WriteBlock(pack(records)); err != nil {
		return err
	}
	_, err = w.Close()
	return err
}

type limitedWriter struct {
	room int
	err  error
}

func (w *limitedWriter) Write(p []byte) (int, error) {
	if len(p) > w.room {
		return w.room, w.err
	}
	w.room -= len(p)
	return len(p), nil
}

func TestWriterKeepsNoBlock(t *testing.T) {
	records := grouped(keygroup.Range{}, 0, 10, 20)
	var file bytes.Buffer
	w, err := NewWriter(&file, plain, Options{})
	require.NoError(t, err)
	for _, r := range records {
		block := pack([]pair{r})
		require.NoError(t, w.WriteBlock(block))
		clear(block)
	}
	_, err = w.Close()
	require.NoError(t, err)
	assert.Equal(t, records, collect(t, open(t, file.Bytes()).All()))
}

func TestRecords(t *testing.T) {
	packed := pack([]pair{{[]byte("a"), []byte("1")}, {nil, nil}, {[]byte("b"), nil}})
	n, err := Count(packed)
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	for end := range packed {
		n, err := Count(packed[:end])
		whole := 0
		for range Records(packed[:end]) {
			whole++
		}
		assert.Equal(t, whole, n)
		if end != 0 && end != 10 && end != 18 {
			assert.ErrorIs(t, err, ErrCorrupt, "cut at %d", end)
			assert.ErrorIs(t, new(Sum).AddBlock(packed[:end]), ErrCorrupt, "cut at %d", end)
		}
	}
	var block, single Sum
	require.NoError(t, block.AddBlock(packed))
	for key, value := range Records(packed) {
		single.Add(key, value)
	}
	assert.Equal(t, single, block)
}

// TestSumTellsApart lists contents that a careless digest confuses.
func TestSumTellsApart(t *testing.T) {
	seen := make(map[string]string)
	for name, records := range map[string][]pair{
		"none":           {},
		"empty record":   {{}},
		"split early":    {{[]byte("a"), []byte("bc")}},
		"split late":     {{[]byte("ab"), []byte("c")}},
		"values swapped": {{[]byte("x"), []byte("2")}, {[]byte("y"), []byte("1")}},
		"values":         {{[]byte("x"), []byte("1")}, {[]byte("y"), []byte("2")}},
		"twice":          {{[]byte("x"), []byte("1")}, {[]byte("x"), []byte("1")}},
	} {
		var s Sum
		for _, r := range records {
			s.Add(r.key, r.value)
		}
		other, found := seen[Database(map[string]Sum{"cf": s})]
		assert.False(t, found, "%s and %s", name, other)
		seen[Database(map[string]Sum{"cf": s})] = name
	}
}
