package version_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"iter"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// frame writes a log of the records, cut into fragments.
func frame(records ...[]byte) []byte {
	const block, header = 32 << 10, 7
	var log []byte
	for _, record := range records {
		for kind := byte(0); kind < 3; {
			left := block - len(log)%block
			if left < header {
				log = append(log, make([]byte, left)...)
				left = block
			}
			n := min(len(record), left-header)
			switch first, last := kind == 0, n == len(record); {
			case first && last:
				log, kind = fragment(log, 1, record[:n]), 3
			case first:
				log, kind = fragment(log, 2, record[:n]), 1
			case last:
				log, kind = fragment(log, 4, record[:n]), 3
			default:
				log = fragment(log, 3, record[:n])
			}
			record = record[n:]
		}
	}
	return log
}

func fragment(log []byte, kind byte, data []byte) []byte {
	body := append([]byte{kind}, data...)
	sum := crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))
	log = binary.LittleEndian.AppendUint32(log, bits.RotateLeft32(sum, -15)+0xa282ead8)
	log = binary.LittleEndian.AppendUint16(log, uint16(len(data)))
	return append(log, body...)
}

// rec makes a record: numbers become varints, strings get their length before
// them, and byte slices stand as they are.
func rec(parts ...any) []byte {
	var b []byte
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			b = binary.AppendUvarint(b, uint64(p))
		case uint64:
			b = binary.AppendUvarint(b, p)
		case string:
			b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
		case []byte:
			b = append(b, p...)
		}
	}
	return b
}

const trailer = "\x01\x05\x00\x00\x00\x00\x00\x00" // sequence number 5, a put

// table is the edit that adds a table; fields are its custom fields.
func table(level, number int, fields ...any) []byte {
	return append(rec(103, level, number, 1000, "a"+trailer, "z"+trailer, 5, 5), rec(append(fields, 1)...)...)
}

func blob(number int) []byte { return rec(400, number, 10, 1000, "", "", 0) }

// start is the edit with everything that a MANIFEST must say.
var start = rec(1, "comparator", 2, 0, 9, 0, 3, 100, 4, 50)

func replay(records ...[]byte) (*version.Set, error) {
	return version.Replay(bytes.NewReader(frame(append([][]byte{start}, records...)...)), "MANIFEST-000001")
}

func TestReplayRefuses(t *testing.T) {
	corrupt, unsupported := version.ErrCorrupt, version.ErrUnsupported
	for _, c := range []struct {
		name   string
		want   error
		record []byte
	}{
		{"unknown tag", unsupported, rec(42, 1)},
		{"table of an old format", unsupported, rec(102, 0, 1)},
		{"bare WAL addition", unsupported, rec(8196, 1)},
		{"path id", unsupported, table(0, 7, 65, "\x01")},
		{"unknown field that matters", unsupported, table(0, 7, 66, "x")},
		{"unknown field of a blob file that matters", unsupported, rec(400, 7, 1, 1, "", "", 64, "x", 0)},
		{"added family with files", unsupported, append(rec(200, 3, 201, "c"), table(0, 7)...)},
		{"tag above 32 bits", corrupt, rec(1 << 33)},
		{"number cut short", corrupt, []byte{2, 0x80}},
		{"string cut short", corrupt, rec(1, 1<<40)},
		{"short internal key", corrupt, rec(103, 0, 7, 1, "short", "short", 0, 0, 1)},
		{"size above 63 bits", corrupt, rec(103, 0, 7, uint64(1)<<63, "a"+trailer, "z"+trailer, 0, 0, 1)},
		{"level above 31 bits", corrupt, rec(6, 1<<31, 7)},
		{"fields without end", corrupt, rec(103, 0, 7, 1, "a"+trailer, "z"+trailer, 0, 0)},
		{"unique id of a wrong size", corrupt, table(0, 7, 12, "short")},
		{"log number of a wrong size", corrupt, table(0, 7, 3, "short")},
		{"time with surplus bytes", corrupt, table(0, 7, 6, "\x01\x01")},
		{"table added twice", corrupt, append(table(0, 7), table(1, 7)...)},
		{"unknown table deleted", corrupt, rec(6, 0, 7)},
		{"table above the next file number", corrupt, table(0, 100)},
		{"table with a missing blob file", corrupt, table(0, 7, 4, "\x08")},
		{"blob file added twice", corrupt, append(blob(7), blob(7)...)},
		{"blob file above the next file number", corrupt, blob(100)},
		{"garbage in an unknown blob file", corrupt, rec(401, 7, 1, 1, 0)},
		{"more garbage than values", corrupt, append(blob(7), rec(401, 7, 11, 1, 0)...)},
		{"more garbage than bytes", corrupt, append(blob(7), rec(401, 7, 1, 1001, 0)...)},
		{"unknown family", corrupt, rec(200, 3, 2, 5)},
		{"unknown family dropped", corrupt, rec(200, 3, 202)},
		{"default family dropped", corrupt, rec(202)},
		{"family added twice", corrupt, rec(200, 0, 201, "again")},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := replay(c.record)
			require.ErrorIs(t, err, c.want)
			assert.ErrorContains(t, err, "MANIFEST-000001")
			assert.ErrorContains(t, err, "at byte")
		})
	}
}

func TestReplayRefusesAnIncompleteStart(t *testing.T) {
	for name, log := range map[string][]byte{
		"nothing":          nil,
		"no log number":    frame(rec(3, 100, 4, 50)),
		"no next file":     frame(rec(2, 0, 4, 50)),
		"no last sequence": frame(rec(2, 0, 3, 100)),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := version.Replay(bytes.NewReader(log), "MANIFEST-000001")
			assert.ErrorIs(t, err, version.ErrCorrupt)
		})
	}
}

func TestReplayReadsEveryField(t *testing.T) {
	set, err := replay(
		rec(8193, "database id", 8199, "skipped", 10000, "from the future"),
		slices.Concat(blob(6), rec(401, 6, 4, 300, 0), rec(400, 8, 20, 2000, "FileChecksumCrc32c", "sum2", 9, "skipped", 0)),
		table(3, 7,
			2, "\x01", 3, "\x09\x00\x00\x00\x00\x00\x00\x00", 4, "\x06", 5, "\x10", 6, "\x11",
			7, "sum1", 8, "FileChecksumCrc32c", 12, "\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00",
			13, "from the future"),
		rec(203, 4, 5, 1, "cursor"+trailer, 2, 12, 9, 10),
		rec(2, 11), // an older log number is void
	)
	require.NoError(t, err)
	assert.Equal(t, &version.Set{
		Manifest: "MANIFEST-000001", ManifestBytes: set.ManifestBytes,
		NextFile: 100, LastSequence: 50, PrevLog: 10, MinLogToKeep: 9, MaxFamily: 4,
		Families: []version.Family{{
			Name: "default", Comparator: "comparator", LogNumber: 12,
			Tables: []version.Table{{
				Number: 7, Level: 3, Size: 1000, SmallestSeq: 5, LargestSeq: 5,
				Smallest: version.Key{User: []byte("a"), Seq: 5, Type: 1},
				Largest:  version.Key{User: []byte("z"), Seq: 5, Type: 1},
				UniqueID: [2]uint64{1, 2}, OldestBlob: 6, CreatedUnix: 0x11,
				ChecksumFunc: "FileChecksumCrc32c", Checksum: []byte("sum1"),
				Fields: []version.Field{{Tag: 2, Value: []byte{1}}, {Tag: 5, Value: []byte{0x10}}, {Tag: 13, Value: []byte("from the future")}},
			}},
			Blobs: []version.Blob{
				{Number: 6, Count: 10, Bytes: 1000, GarbageCount: 4, GarbageBytes: 300},
				{Number: 8, Count: 20, Bytes: 2000, ChecksumFunc: "FileChecksumCrc32c", Checksum: []byte("sum2")},
			},
		}},
	}, set)
	assert.EqualValues(t, 9, set.MinLog())
}

func TestReplaySortsFilesAndFamilies(t *testing.T) {
	set, err := replay(
		rec(200, 9, 201, "late", 2, 40), rec(200, 3, 201, "early", 2, 41),
		slices.Concat(table(1, 4), table(0, 6), table(1, 3), table(0, 5)),
	)
	require.NoError(t, err)
	assert.Equal(t, []string{
		`default 000005.sst level 0 size 1000 "a".."z"`, `default 000006.sst level 0 size 1000 "a".."z"`,
		`default 000003.sst level 1 size 1000 "a".."z"`, `default 000004.sst level 1 size 1000 "a".."z"`,
	}, slices.Collect(inOrder(set)))
	assert.Equal(t, []uint32{0, 3, 9}, []uint32{set.Families[0].ID, set.Families[1].ID, set.Families[2].ID})
}

func inOrder(set *version.Set) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, t := range set.Families[0].Tables {
			yield(fmt.Sprintf("default %s level %d size %d %q..%q", t.Name(), t.Level, t.Size, t.Smallest.User, t.Largest.User))
		}
	}
}

func TestAtomicGroup(t *testing.T) {
	first, second := append(table(0, 7), rec(300, 1)...), append(table(0, 8), rec(300, 0)...)

	whole, err := replay(first, second)
	require.NoError(t, err)
	assert.Len(t, whole.Families[0].Tables, 2)
	assert.Zero(t, whole.Tail)

	half, err := replay(first)
	require.NoError(t, err)
	assert.Empty(t, half.Families[0].Tables, "an incomplete group is not in force")
	assert.EqualValues(t, len(frame(start)), half.ManifestBytes)
	assert.EqualValues(t, len(frame(first)), half.Tail)

	for name, second := range map[string][]byte{
		"interrupted": table(0, 8),
		"miscounted":  append(table(0, 8), rec(300, 1)...),
	} {
		_, err = replay(first, second)
		assert.ErrorIs(t, err, version.ErrCorrupt, name)
	}
}

// Wherever a MANIFEST is cut off, the edits before the cut are in force, and
// what follows them is reported as the tail.
func TestTornTail(t *testing.T) {
	whole := frame(start, table(0, 7), table(0, 8))
	one, two := len(frame(start)), len(frame(start, table(0, 7)))
	for n := one; n < len(whole); n++ {
		set, err := version.Replay(bytes.NewReader(whole[:n]), "MANIFEST-000001")
		require.NoError(t, err)
		kept := one
		if n >= two {
			kept = two
		}
		assert.EqualValues(t, kept, set.ManifestBytes)
		assert.EqualValues(t, n-kept, set.Tail)
	}
}

// Whichever byte of a real MANIFEST is damaged, it shows: in an error, or in a
// tail that a complete MANIFEST does not have.
func TestDamageShows(t *testing.T) {
	for _, name := range []string{"column families added and dropped", "atomic flushes", "blob files of garbage"} {
		l := lives[slices.IndexFunc(lives, func(l life) bool { return l.name == name })]
		manifest := realManifest(t, l)
		for i := range manifest {
			for _, damage := range []byte{1 << (i % 8), 0xff} {
				manifest[i] ^= damage
				set, err := version.Replay(bytes.NewReader(manifest), "MANIFEST-000001")
				if !errors.Is(err, version.ErrCorrupt) && (err != nil || set.Tail == 0) {
					t.Errorf("%s: byte %d xor %#x: set %v, error %v", name, i, damage, set, err)
				}
				manifest[i] ^= damage
			}
		}
	}
}

func TestRecordsOfEveryLength(t *testing.T) {
	for n := 32<<10 - 100; n < 32<<10+100; n++ { // so that headers meet every place at a block's end
		set, err := replay(rec(10000, string(make([]byte, n))), table(0, 7), rec(10000, string(make([]byte, 3*n))), table(0, 8))
		require.NoError(t, err, n)
		require.True(t, set.Tail == 0 && len(set.Families[0].Tables) == 2, n)
	}
}

func TestFragmentsOutOfOrder(t *testing.T) {
	for name, kinds := range map[string][]byte{
		"middle without first": {3},
		"last without first":   {4},
		"first twice":          {2, 2},
		"full within":          {2, 1},
	} {
		log := frame(start)
		for _, kind := range kinds {
			log = fragment(log, kind, rec(2, 0))
		}
		_, err := version.Replay(bytes.NewReader(log), "MANIFEST-000001")
		assert.ErrorIs(t, err, version.ErrCorrupt, name)
	}
	_, err := version.Replay(bytes.NewReader(fragment(frame(start), 5, make([]byte, 8))), "MANIFEST-000001")
	assert.ErrorIs(t, err, version.ErrUnsupported, "recycled")
}

func TestFragmentAcrossBlocks(t *testing.T) {
	log := append(frame(start), make([]byte, 7)...)
	binary.LittleEndian.PutUint16(log[len(log)-3:], 1<<15)
	_, err := version.Replay(bytes.NewReader(append(log, make([]byte, 64<<10)...)), "MANIFEST-000001")
	assert.ErrorIs(t, err, version.ErrCorrupt)
	assert.ErrorContains(t, err, fmt.Sprintf("at byte %d", len(frame(start))))
}

func TestReplayReportsReadErrors(t *testing.T) {
	_, err := version.Replay(io.MultiReader(bytes.NewReader(frame(start)), iotest.ErrReader(os.ErrDeadlineExceeded)), "MANIFEST-000001")
	assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// realManifest returns the MANIFEST that a life ends with.
func realManifest(t testing.TB, l life) []byte {
	d := newDatabase(t, l.tune)
	l.live(d)
	set, err := version.Read(d.dir)
	require.NoError(t, err)
	manifest, err := os.ReadFile(filepath.Join(d.dir, set.Manifest))
	require.NoError(t, err)
	return manifest
}

func BenchmarkReplay(b *testing.B) {
	const tables = 100_000
	edit := rec(3, tables+10)
	for i := range tables {
		edit = append(edit, table(i%7, 1+i, 6, "\x11", 12, "0123456789abcdef")...)
	}
	log := frame(start, edit)
	for b.Loop() {
		set, err := version.Replay(bytes.NewReader(log), "MANIFEST-000001")
		require.NoError(b, err)
		require.Len(b, set.Families[0].Tables, tables)
	}
}
