package surgery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// database makes a database with the records from to below of each column family.
func database(t *testing.T, c rocks.Creation, shard uint, from, below int) string {
	t.Helper()
	c.TableBytes, c.Compression = 8<<10, "none"
	dir := filepath.Join(memoryDir(t), "db")
	require.NoError(t, edit(dir, rocks.Options{CreateIfMissing: true, Creation: c}, func(*rocks.DB) error { return nil }))
	require.NoError(t, Shard(dir, shard))
	require.NoError(t, edit(dir, rocks.Options{}, func(db *rocks.DB) error {
		for _, name := range append(c.Families, "default") {
			var block []byte
			for i := from; i < below; i++ {
				block = canonical.AppendRecord(block, fmt.Appendf(nil, "%06d", i), fmt.Appendf(nil, "%0200d", i))
			}
			if err := db.PutBlock(name, block); err != nil {
				return err
			}
		}
		return errors.Join(db.Flush(), db.CompactAll())
	}))
	return dir
}

func edit(dir string, o rocks.Options, do func(*rocks.DB) error) error {
	db, err := rocks.Open(dir, o)
	if err != nil {
		return err
	}
	return errors.Join(do(db), db.Close())
}

// records counts those of a database, by column family, after checking them all.
func records(t *testing.T, dir string) map[string]int {
	t.Helper()
	counts := make(map[string]int)
	require.NoError(t, edit(dir, rocks.Options{}, func(db *rocks.DB) error {
		v, err := db.View()
		if err != nil {
			return err
		}
		defer v.Close()
		for _, f := range v.Families() {
			s, err := v.Scan(f.ID, nil, nil)
			if err != nil {
				return err
			}
			defer s.Close()
			buf := make([]byte, 64<<10)
			for {
				n, count, err := s.Next(buf)
				if err != nil {
					return err
				}
				if n == 0 {
					break
				}
				counts[f.Name] += count
			}
		}
		return nil
	}))
	return counts
}

func read(t *testing.T, dir string) *version.Set {
	t.Helper()
	set, err := version.Read(dir)
	require.NoError(t, err)
	return set
}

func sourceOf(t *testing.T, dir string) Source {
	t.Helper()
	text, err := rocks.OptionsText(dir)
	require.NoError(t, err)
	return Source{Dir: dir, Set: read(t, dir), Options: text}
}

func TestSubset(t *testing.T) {
	dir := database(t, rocks.Creation{Families: []string{"a", "b"}}, 0, 0, 1000)
	set := read(t, dir)
	part, err := Subset(set, Keep{Families: []string{"b"}, Range: Range{Lower: []byte("000300"), Upper: []byte("000500")}})
	require.NoError(t, err)
	assert.Equal(t, []string{"default", "b"}, []string{part.Families[0].Name, part.Families[1].Name})
	assert.Empty(t, part.Families[0].Tables)
	all, kept := set.Families[2].Tables, part.Families[1].Tables
	assert.True(t, len(kept)*3 < len(all) && len(kept) > 3, "%d of %d", len(kept), len(all))
	edges := slices.DeleteFunc(slices.Clone(kept), Range{Lower: []byte("000300"), Upper: []byte("000500")}.Contains)
	assert.Len(t, edges, 2)
	assert.Equal(t, set.MaxFamily, part.MaxFamily, "no id is given out again, for a WAL may hold it")
	assert.Len(t, set.Families, 3, "the set itself stays as it is")

	require.NoError(t, WriteManifest(dir, part))
	got := records(t, dir)
	assert.Zero(t, got["default"])
	assert.NotContains(t, got, "a")
	assert.True(t, 200 <= got["b"] && got["b"] < 300, got)
}

func TestSubsetOfEverything(t *testing.T) {
	dir := database(t, rocks.Creation{Families: []string{"a"}, BlobFiles: true}, 0, 0, 100)
	set := read(t, dir)
	whole, err := Subset(set, Keep{})
	require.NoError(t, err)
	assert.Equal(t, set, whole)
	require.NotEmpty(t, set.Families[1].Blobs)
}

func TestSubsetKeepsBlobFilesFromTheOldestOn(t *testing.T) {
	tables := []version.Table{table(10, 6, "a", "b"), table(11, 6, "c", "d"), table(12, 6, "e", "f")}
	for i := range tables {
		tables[i].OldestBlob = uint64(20 + i)
	}
	s := source(withTables("default", tables...))
	s.Set.Families[0].Blobs = []version.Blob{{Number: 20}, {Number: 21}, {Number: 22}, {Number: 23}}
	part, err := Subset(s.Set, Keep{Range: Range{Lower: []byte("c")}})
	require.NoError(t, err)
	assert.Equal(t, []version.Blob{{Number: 21}, {Number: 22}, {Number: 23}}, part.Families[0].Blobs)
	part, err = Subset(s.Set, Keep{Range: Range{Lower: []byte("g")}})
	require.NoError(t, err)
	assert.Empty(t, part.Families[0].Blobs)
}

func TestSubsetRefusesOtherOrders(t *testing.T) {
	s := two()[0]
	s.Set.Families[1].Comparator = "rocksdb.ReverseBytewiseComparator"
	_, err := Subset(s.Set, Keep{Range: Range{Lower: []byte("a")}})
	var r *Refusal
	require.ErrorAs(t, err, &r)
	assert.Equal(t, Comparator, r.Reason)
	_, err = Subset(s.Set, Keep{})
	assert.NoError(t, err, "no order is needed for all keys")
	_, err = Subset(s.Set, Keep{Families: []string{"default"}, Range: Range{Lower: []byte("a")}})
	assert.NoError(t, err, "nor that of a column family that goes")
}

var errStopped = errors.New("stopped")

// stopAt fails the n-th change of the file system and all that come after, and
// reports whether there was one.
func stopAt(n int, do func() error) (stopped bool, err error) {
	restore := durable.Intercept(func(_ durable.Op, change func() error) error {
		if n--; n < 0 {
			stopped = true
			return errStopped
		}
		return change()
	})
	defer restore()
	err = do()
	return stopped, err
}

// Wherever writing a subset breaks off, the database is the former one or the new
// one.
func TestWriteManifestStopped(t *testing.T) {
	dir := database(t, rocks.Creation{}, 0, 0, 1000)
	part, err := Subset(read(t, dir), Keep{Range: Range{Upper: []byte("000300")}})
	require.NoError(t, err)
	seen := make(map[int]bool)
	for n := 0; ; n++ {
		to := filepath.Join(memoryDir(t), "copy")
		require.NoError(t, rocks.CopyLinks(dir, to))
		stopped, err := stopAt(n, func() error { return WriteManifest(to, part) })
		if !stopped {
			require.NoError(t, err)
			break
		}
		require.ErrorIs(t, err, errStopped)
		got := len(read(t, to).Families[0].Tables)
		require.Contains(t, []int{len(read(t, dir).Families[0].Tables), len(part.Families[0].Tables)}, got)
		seen[got] = true
		// What is left does not keep the next attempt from succeeding.
		require.NoError(t, WriteManifest(to, part))
		require.Len(t, read(t, to).Families[0].Tables, len(part.Families[0].Tables))
		if n%3 == 0 {
			require.Less(t, records(t, to)["default"], 400)
		}
	}
	assert.Len(t, seen, 2)
}

func TestShard(t *testing.T) {
	dir := database(t, rocks.Creation{Families: []string{"a"}, BlobFiles: true}, 3, 0, 300)
	set := read(t, dir)
	require.NotEmpty(t, set.Families[0].Blobs)
	for _, f := range set.Families {
		for _, b := range f.Blobs {
			assert.EqualValues(t, 3, b.Number>>40)
		}
	}
	assert.NoError(t, Shard(dir, 3), "it is in that space")
	assert.ErrorIs(t, Shard(dir, 4), ErrSharded, "it has blob files")
	assert.ErrorIs(t, Shard(dir, 2), ErrSharded)
	assert.ErrorIs(t, Shard(dir, 0), ErrSharded)
	assert.Error(t, Shard(dir, MaxShard+1))
	assert.ErrorIs(t, Shard(t.TempDir(), 1), fs.ErrNotExist)
	assert.Equal(t, map[string]int{"default": 300, "a": 300}, records(t, dir))
}

func TestShardRefusesATornManifest(t *testing.T) {
	dir := database(t, rocks.Creation{}, 0, 0, 10)
	f, err := os.OpenFile(filepath.Join(dir, read(t, dir).Manifest), os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	_, err = f.Write([]byte("torn"))
	require.NoError(t, errors.Join(err, f.Close()))
	assert.ErrorIs(t, Shard(dir, 1), version.ErrCorrupt)
}

// Blob files of databases with spaces of their own go together.
func TestMergeOfBlobFiles(t *testing.T) {
	c := rocks.Creation{Families: []string{"a"}, BlobFiles: true}
	first, second := database(t, c, 1, 0, 300), database(t, c, 2, 300, 500)
	clash := database(t, c, 1, 500, 600)
	dir := filepath.Join(memoryDir(t), "merged")
	require.NoError(t, os.Mkdir(dir, 0o700))
	m, err := Merge([]Source{sourceOf(t, first), sourceOf(t, second)})
	require.NoError(t, err)
	require.NoError(t, m.Write(dir, nil))
	assert.Equal(t, map[string]int{"default": 500, "a": 500}, records(t, dir))
	assert.Equal(t, map[string]int{"default": 300, "a": 300}, records(t, first), "the sources stay as they are")

	_, err = Merge([]Source{sourceOf(t, first), sourceOf(t, clash)})
	var r *Refusal
	require.ErrorAs(t, err, &r)
	assert.Equal(t, BlobNumber, r.Reason)
}

// Until all of it is durable there is no database at all.
func TestWriteStopped(t *testing.T) {
	first, second := database(t, rocks.Creation{}, 0, 0, 20), database(t, rocks.Creation{Families: []string{"a"}}, 0, 20, 50)
	m, err := Merge([]Source{sourceOf(t, first), sourceOf(t, second)})
	require.NoError(t, err)
	for n := 0; ; n++ {
		dir := memoryDir(t)
		stopped, err := stopAt(n, func() error { return m.Write(dir, nil) })
		if !stopped {
			require.NoError(t, err)
			assert.Equal(t, map[string]int{"default": 50, "a": 30}, records(t, dir))
			return
		}
		require.ErrorIs(t, err, errStopped)
		if _, err := version.Read(dir); err == nil {
			require.Equal(t, len(m.Files), len(read(t, dir).Families[0].Tables)+len(read(t, dir).Families[1].Tables), "after CURRENT all is there")
		} else {
			require.ErrorIs(t, err, fs.ErrNotExist)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	m, err := Merge([]Source{sourceOf(t, database(t, rocks.Creation{}, 0, 0, 20))})
	require.NoError(t, err)
	taken := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(taken, "something"), nil, 0o600))
	assert.ErrorIs(t, m.Write(taken, nil), fs.ErrExist)
	short := func(_, to string) error { return os.WriteFile(to, []byte("short"), 0o600) }
	assert.ErrorIs(t, m.Write(t.TempDir(), short), version.ErrCorrupt)
	assert.ErrorIs(t, m.Write(filepath.Join(taken, "absent"), nil), fs.ErrNotExist)
}
