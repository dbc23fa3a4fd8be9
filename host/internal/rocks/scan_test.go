package rocks

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
)

// grocksdb hides the pointers that the shim needs.
func TestNativePointers(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Creation{})
	assert.NotNil(t, pointer(db.instance.db))
	assert.NotNil(t, pointer(db.instance.handles[0]))
}

func TestScanEqualsIterator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	build(t, path)
	db := open(t, path, Creation{})
	v, err := db.View()
	require.NoError(t, err)
	defer v.Close()
	for i, f := range v.Families() {
		want := plain(db, db.instance.handles[i])
		require.NotEmpty(t, want)
		for _, size := range []int{0, 1, 100, 4096, 1 << 20} {
			got, err := read(t, v, f.ID, nil, nil, size)
			require.NoError(t, err)
			assert.Equal(t, want, got, "%s in blocks of %d bytes", f.Name, size)
		}
	}
}

func TestScanBounds(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Creation{})
	put(t, db, "default", record{"", "least"}, record{"a", "1"}, record{"b", ""}, record{"c\x00", "3"}, record{"\xff\xff", "4"})
	v, err := db.View()
	require.NoError(t, err)
	defer v.Close()
	tests := []struct {
		lower, upper []byte
		want         string
	}{
		{nil, nil, " a b c\x00 \xff\xff"},
		{[]byte{}, nil, " a b c\x00 \xff\xff"},
		{nil, []byte("a"), ""},
		{[]byte("a"), []byte("c"), "a b"},
		{[]byte("c"), []byte("c\x00\x00"), "c\x00"},
		{[]byte("b"), nil, "b c\x00 \xff\xff"},
	}
	for _, test := range tests {
		got, err := read(t, v, 0, test.lower, test.upper, 64)
		require.NoError(t, err)
		var keys []string
		for _, r := range got {
			keys = append(keys, r.key)
		}
		assert.Equal(t, test.want, strings.Join(keys, " "), "%q to %q", test.lower, test.upper)
	}
	none, err := read(t, v, 0, nil, []byte{}, 64)
	require.NoError(t, err)
	assert.Empty(t, none, "an empty upper bound lies below every key")
	_, err = v.Scan(7, nil, nil)
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestScanBufferTooSmall(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Creation{})
	put(t, db, "default", record{"a", "12"}, record{"b", strings.Repeat("x", 5000)}, record{"c", ""})
	v, err := db.View()
	require.NoError(t, err)
	defer v.Close()
	s, err := v.Scan(0, nil, nil)
	require.NoError(t, err)
	defer s.Close()
	buf := make([]byte, 6000)

	n, records, err := s.Next(buf[:20])
	require.NoError(t, err)
	assert.Equal(t, [2]int{11, 1}, [2]int{n, records})
	assert.Zero(t, s.Need())
	for range 2 {
		n, _, err = s.Next(buf[:20])
		assert.ErrorIs(t, err, abi.EBUF)
		assert.Zero(t, n)
		assert.Equal(t, 5009, s.Need())
	}
	n, records, err = s.Next(buf[:5009])
	require.NoError(t, err)
	assert.Equal(t, [2]int{5009, 1}, [2]int{n, records})
	assert.Zero(t, s.Need())
	n, _, err = s.Next(buf)
	require.NoError(t, err)
	assert.Equal(t, 9, n)
	for range 2 {
		n, records, err = s.Next(buf)
		require.NoError(t, err)
		assert.Zero(t, n+records)
	}
	s.Close()
	_, _, err = s.Next(buf)
	assert.ErrorIs(t, err, ErrClosed)
}

// What is written after a view was opened is invisible, and what is deleted
// stays visible.
func TestViewIsConsistent(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Creation{Families: []string{"a"}})
	put(t, db, "default", record{"k", "old"})
	put(t, db, "a", record{"k", "old"})
	v, err := db.View()
	require.NoError(t, err)
	defer v.Close()
	put(t, db, "default", record{"k", "new"}, record{"l", "new"})
	put(t, db, "a", record{"k", "new"})
	require.NoError(t, db.CompactAll())
	for _, f := range v.Families() {
		got, err := read(t, v, f.ID, nil, nil, 64)
		require.NoError(t, err)
		assert.Equal(t, []record{{"k", "old"}}, got)
	}
}

func TestViewFamilies(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db, err := Create(path, reversed(t), []string{"plain", "reversed"})
	require.NoError(t, err)
	defer db.Close()
	put(t, db, "plain", sample(0, 100, 100)...)
	put(t, db, "reversed", record{"a", "1"}, record{"b", "2"})
	require.NoError(t, db.Flush())
	v, err := db.View()
	require.NoError(t, err)
	defer v.Close()
	families := v.Families()
	require.Len(t, families, 3)
	assert.Greater(t, families[1].Bytes, uint64(10_000))
	assert.Greater(t, families[2].Bytes, uint64(0))
	families[1].Bytes, families[2].Bytes = 0, 0
	assert.Equal(t, []Family{
		{Name: "default", Comparator: "leveldb.BytewiseComparator", Bytewise: true},
		{ID: 1, Name: "plain", Comparator: "leveldb.BytewiseComparator", Bytewise: true, Records: 100},
		{ID: 2, Name: "reversed", Comparator: "rocksdb.ReverseBytewiseComparator", Records: 2},
	}, families)
	got, err := read(t, v, 2, nil, nil, 64)
	require.NoError(t, err)
	assert.Equal(t, []record{{"b", "2"}, {"a", "1"}}, got)
	assert.Empty(t, v.Split(2, 4))
}

// reversed is the OPTIONS text of a database whose column family "reversed" is
// ordered the other way round.
func reversed(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	require.NoError(t, open(t, path, Creation{Families: []string{"reversed"}}).Close())
	text, err := os.ReadFile(newest(t, path, "OPTIONS-*"))
	require.NoError(t, err)
	head, tail, found := strings.Cut(string(text), `[CFOptions "reversed"]`)
	require.True(t, found)
	changed := strings.Replace(tail, "comparator=leveldb.BytewiseComparator", "comparator=rocksdb.ReverseBytewiseComparator", 1)
	require.NotEqual(t, tail, changed)
	return head + `[CFOptions "reversed"]` + changed
}

func TestScanIgnoresPrefixExtractor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	o := grocksdb.NewDefaultOptions() // never destroyed: grocksdb would free the extractor twice
	o.SetCreateIfMissing(true)
	o.SetPrefixExtractor(grocksdb.NewFixedPrefixTransform(5))
	o.SetMemTablePrefixBloomSizeRatio(0.2)
	app, err := grocksdb.OpenDb(o, path)
	require.NoError(t, err)
	defer app.Close()
	db, err := Borrow(app, path, nil)
	require.NoError(t, err)
	want := []record{{"aaaaa1", "1"}, {"bbbbb2", "2"}, {"cc", "3"}, {"ccccc4", "4"}}
	put(t, db, "default", want...)
	v, err := db.View()
	require.NoError(t, err)
	defer v.Close()
	for _, lower := range []string{"a", "aaaaa", "aaaaa0"} {
		got, err := read(t, v, 0, []byte(lower), []byte("d"), 64)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	got, err := read(t, v, 0, []byte("aaaab0"), nil, 64)
	require.NoError(t, err)
	assert.Equal(t, want[1:], got, "no key has the prefix of the bound")
}

// Damage must not look like the end of the data.
func TestScanReportsCorruption(t *testing.T) {
	for _, kind := range []string{"*.sst", "*.blob"} {
		t.Run(kind, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			db := open(t, path, Creation{Compression: "none", BlobFiles: kind == "*.blob"})
			put(t, db, "default", sample(0, 2000, 100)...)
			require.NoError(t, db.Flush())
			require.NoError(t, db.Close())
			file := newest(t, path, kind)
			info, err := os.Stat(file)
			require.NoError(t, err)
			flip(t, file, info.Size()/2)

			v, err := hold(t, path).View()
			require.NoError(t, err)
			defer v.Close()
			got, err := read(t, v, 0, nil, nil, 4<<10)
			assert.ErrorIs(t, err, abi.ECORRUPT)
			assert.Less(t, len(got), 2000)
		})
	}
}

func TestViewAfterClose(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Creation{})
	put(t, db, "default", sample(0, 10, 10)...)
	v, err := db.View()
	require.NoError(t, err)
	s, err := v.Scan(0, nil, nil)
	require.NoError(t, err)
	v.Close()
	v.Close()
	_, err = v.Scan(0, nil, nil)
	assert.ErrorIs(t, err, ErrClosed)
	assert.Nil(t, v.Split(0, 2))

	n, records, err := s.Next(make([]byte, 1<<10))
	require.NoError(t, err)
	assert.Equal(t, 10, records)
	assert.Equal(t, 10*(8+12+10), n)
	s.Close()
	s.Close()
}

// Ranges between split keys, read in parallel, are the whole.
func TestSplit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Creation{Families: []string{"small"}, Compression: "none", WriteBufferBytes: 128 << 10, TableBytes: 64 << 10})
	for i := 0; i < 20_000; i += 1000 {
		put(t, db, "default", sample(i, i+1000, 100)...)
	}
	put(t, db, "small", sample(0, 10, 10)...)
	require.NoError(t, db.Flush())
	require.NoError(t, db.CompactAll())
	require.NoError(t, db.Close())
	v, err := hold(t, path).View()
	require.NoError(t, err)
	defer v.Close()
	want, err := read(t, v, 0, nil, nil, 1<<20)
	require.NoError(t, err)
	require.Len(t, want, 20_000)
	for _, n := range []int{-1, 0, 1} {
		assert.Empty(t, v.Split(0, n))
	}
	assert.Empty(t, v.Split(1, 4), "one table")
	assert.Empty(t, v.Split(9, 4), "no such column family")
	for _, n := range []int{2, 3, 8} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			cuts := v.Split(0, n)
			require.Len(t, cuts, n-1)
			parts := make([][]record, n)
			var group errgroup.Group
			for i := range parts {
				bounds := append(append([][]byte{nil}, cuts...), nil)
				group.Go(func() (err error) {
					parts[i], err = read(t, v, 0, bounds[i], bounds[i+1], 64<<10)
					return err
				})
			}
			require.NoError(t, group.Wait())
			for _, part := range parts {
				// Where tables end depends on when RocksDB compacted them.
				assert.InDelta(t, 20_000/n, len(part), float64(max(1500, 8_000/n)))
			}
			assert.Equal(t, want, slices.Concat(parts...))
		})
	}
	assert.Less(t, len(v.Split(0, 1000)), 1000)
}

func FuzzCut(f *testing.F) {
	f.Add([]byte("abcd"), 2)
	f.Add([]byte("aaaa"), 3)
	f.Add([]byte("aabbccddeeff"), 5)
	f.Add([]byte{}, 4)
	f.Fuzz(func(t *testing.T, keys []byte, n int) {
		slices.Sort(keys)
		var edges []edge
		for _, k := range keys {
			edges = append(edges, edge{[]byte{k}, int64(k)})
		}
		cuts := cut(edges, n)
		if len(cuts) == 0 {
			return
		}
		require.Less(t, len(cuts), n)
		previous := edges[0].key
		for _, c := range append(cuts, edges[len(edges)-1].key) {
			require.Less(t, string(previous), string(c))
			previous = c
		}
	})
}
