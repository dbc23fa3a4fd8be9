package version_test

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// database is a real database that changes only when a test says so: nothing
// is compacted in the background.
type database struct {
	testing.TB
	*grocksdb.DB
	dir      string
	opts     *grocksdb.Options
	families map[string]*grocksdb.ColumnFamilyHandle
	written  int
}

func newDatabase(t testing.TB, tune func(*grocksdb.Options)) *database {
	opts := grocksdb.NewDefaultOptions()
	opts.SetCreateIfMissing(true)
	opts.SetDisableAutoCompactions(true)
	tune(opts)
	d := &database{TB: t, dir: filepath.Join(t.TempDir(), "db"), opts: opts}
	d.open("default")
	t.Cleanup(func() { d.close(); opts.Destroy() })
	return d
}

func plain(*grocksdb.Options) {}

func withBlobs(opts *grocksdb.Options) {
	opts.EnableBlobFiles(true)
	opts.SetMinBlobSize(64)
	opts.EnableBlobGC(true)
	opts.SetBlobGCAgeCutoff(1)
}

func (d *database) open(names ...string) {
	all := make([]*grocksdb.Options, len(names))
	for i := range all {
		all[i] = d.opts
	}
	db, handles, err := grocksdb.OpenDbColumnFamilies(d.opts, d.dir, names, all)
	require.NoError(d, err)
	d.DB, d.families = db, map[string]*grocksdb.ColumnFamilyHandle{}
	for i, name := range names {
		d.families[name] = handles[i]
	}
}

func (d *database) close() {
	for _, h := range d.families {
		h.Destroy()
	}
	d.Close()
}

func (d *database) reopen() {
	names := slices.Sorted(maps.Keys(d.families))
	d.close()
	d.open(names...)
}

func (d *database) create(name string) {
	h, err := d.CreateColumnFamily(d.opts, name)
	require.NoError(d, err)
	d.families[name] = h
}

func (d *database) drop(name string) {
	require.NoError(d, d.DropColumnFamily(d.families[name]))
	d.families[name].Destroy()
	delete(d.families, name)
}

// write puts n records, half of which are long enough for a blob file.
func (d *database) write(name string, from, n int) {
	wo := grocksdb.NewDefaultWriteOptions()
	defer wo.Destroy()
	for i := from; i < from+n; i++ {
		d.written++
		value := fmt.Sprintf("%0*d", 8+i%2*192, d.written)
		require.NoError(d, d.PutCF(wo, d.families[name], key(i), []byte(value)))
	}
}

func (d *database) erase(name string, from, n int) {
	wo := grocksdb.NewDefaultWriteOptions()
	defer wo.Destroy()
	for i := from; i < from+n; i++ {
		require.NoError(d, d.DeleteCF(wo, d.families[name], key(i)))
	}
}

func (d *database) flush(name string) {
	fo := grocksdb.NewDefaultFlushOptions()
	defer fo.Destroy()
	fo.SetWait(true)
	require.NoError(d, d.FlushCF(d.families[name], fo))
}

func (d *database) compact(name string) {
	d.CompactRangeCF(d.families[name], grocksdb.Range{})
}

// deleteFiles deletes the tables that lie within a range of keys.
func (d *database) deleteFiles(from, to int) {
	require.NoError(d, d.DeleteFileInRangeCF(d.families["default"], grocksdb.Range{Start: key(from), Limit: key(to)}))
}

func (d *database) ingest(name string, from, n int) {
	eo, io := grocksdb.NewDefaultEnvOptions(), grocksdb.NewDefaultIngestExternalFileOptions()
	defer eo.Destroy()
	defer io.Destroy()
	w := grocksdb.NewSSTFileWriter(eo, d.opts)
	defer w.Destroy()
	path := filepath.Join(d.TempDir(), "external.sst")
	require.NoError(d, w.Open(path))
	for i := from; i < from+n; i++ {
		require.NoError(d, w.Put(key(i), []byte("ingested")))
	}
	require.NoError(d, w.Finish())
	require.NoError(d, d.IngestExternalFileCF(d.families[name], []string{path}, io))
}

func (d *database) checkpoint(logSizeForFlush uint64) string {
	c, err := d.NewCheckpoint()
	require.NoError(d, err)
	defer c.Destroy()
	dir := filepath.Join(d.TempDir(), "checkpoint")
	require.NoError(d, c.CreateCheckpoint(dir, logSizeForFlush))
	return dir
}

func key(i int) []byte { return fmt.Appendf(nil, "key%06d", i) }

// life is a course of events that ends with the database in a certain shape.
type life struct {
	name string
	tune func(*grocksdb.Options)
	live func(d *database)
}

var lives = []life{
	{"empty", plain, func(*database) {}},
	{"flushed", plain, func(d *database) {
		d.write("default", 0, 100)
		d.flush("default")
		d.write("default", 50, 100)
		d.flush("default")
	}},
	{"compacted", plain, func(d *database) {
		for i := range 5 {
			d.write("default", i*10, 100)
			d.flush("default")
		}
		d.compact("default")
		d.write("default", 500, 10)
		d.flush("default")
	}},
	{"emptied by deletions", plain, func(d *database) {
		d.write("default", 0, 100)
		d.flush("default")
		d.erase("default", 0, 100)
		d.flush("default")
		d.compact("default")
	}},
	{"column families added and dropped", plain, func(d *database) {
		for _, name := range []string{"b", "a", "c"} {
			d.create(name)
			d.write(name, 0, 50)
			d.flush(name)
		}
		d.drop("a")
		d.create("a") // under a new id
		d.write("a", 7, 3)
		d.flush("a")
	}},
	{"ingested", plain, func(d *database) {
		d.write("default", 0, 100)
		d.flush("default")
		d.ingest("default", 50, 100)
		d.ingest("default", 1000, 10)
	}},
	{"reopened", plain, func(d *database) {
		d.create("a")
		d.write("a", 0, 100)
		d.flush("a")
		d.write("default", 0, 100) // recovered from the WAL
		d.reopen()
		d.write("a", 50, 100)
		d.flush("a")
		d.compact("a")
	}},
	{"atomic flushes", func(o *grocksdb.Options) { o.SetAtomicFlush(true) }, func(d *database) {
		d.create("a")
		d.create("b")
		for i := range 3 {
			for name := range d.families {
				d.write(name, i*10, 20)
			}
			d.flush("default")
		}
	}},
	{"blob files", withBlobs, func(d *database) {
		d.create("a")
		for i := range 4 {
			d.write("default", i*10, 100)
			d.flush("default")
			d.write("a", i*100, 100)
			d.flush("a")
		}
		d.compact("default")
	}},
	{"blob files of garbage", withBlobs, func(d *database) {
		d.opts.EnableBlobGC(false)
		d.reopen()
		for i := range 4 {
			d.write("default", 0, 100+i)
			d.flush("default")
		}
		d.compact("default")
		d.write("default", 20, 10)
		d.flush("default")
	}},
	{"blob files without a table", withBlobs, func(d *database) {
		d.write("default", 0, 100)
		d.flush("default")
		d.write("default", 0, 200)
		d.flush("default")
		d.compact("default")
		d.erase("default", 0, 200)
		d.flush("default")
		d.compact("default")
	}},
	{"blob files of deleted tables", withBlobs, func(d *database) {
		fillRanges(d)
		d.deleteFiles(0, 1000)
	}},
	{"blob files of deleted tables, none left", withBlobs, func(d *database) {
		fillRanges(d)
		d.deleteFiles(0, 1000)
		d.deleteFiles(1000, 3000)
	}},
	{"blob files reopened", withBlobs, func(d *database) {
		for i := range 3 {
			d.write("default", i*50, 100)
			d.flush("default")
			d.reopen()
		}
		d.compact("default")
	}},
}

// fillRanges makes three tables with a blob file each. Tables that are deleted
// as files leave no word of garbage in the MANIFEST.
func fillRanges(d *database) {
	for from := 0; from < 3000; from += 1000 {
		d.write("default", from, 100)
		d.flush("default")
		d.compact("default")
	}
}

func TestReadAgreesWithRocksDB(t *testing.T) {
	for _, l := range lives {
		t.Run(l.name, func(t *testing.T) {
			d := newDatabase(t, l.tune)
			l.live(d)
			agreesWithMetadata(d)
			agreesWithCheckpoint(d)
		})
	}
}

func agreesWithMetadata(d *database) {
	set, err := version.Read(d.dir)
	require.NoError(d, err)
	assert.Zero(d, set.Tail)
	assert.Equal(d, metadata(d), described(set))
	assert.Equal(d, slices.Sorted(maps.Keys(d.families)), names(set))
	assert.GreaterOrEqual(d, d.GetLatestSequenceNumber(), set.LastSequence)
	hasIdentities(d.TB, set)
}

// agreesWithCheckpoint compares with the files that RocksDB puts into a
// checkpoint, which has blob files as well.
func agreesWithCheckpoint(d *database) {
	dir := d.checkpoint(0)
	set, err := version.Read(dir)
	require.NoError(d, err)
	assert.Zero(d, set.Tail)

	sizes := listing(d.TB, dir)
	assert.EqualValues(d, sizes[set.Manifest], set.ManifestBytes)
	want := slices.DeleteFunc(slices.Sorted(maps.Keys(sizes)), func(name string) bool {
		kind, _, ok := version.FileKind(name)
		require.True(d, ok, name)
		return kind != abi.KindTable && kind != abi.KindBlob
	})
	assert.Equal(d, want, files(d.TB, set, sizes))
}

// metadata is what RocksDB says of its live tables.
func metadata(d *database) []string {
	var lines []string
	for _, f := range d.GetLiveFilesMetaData() {
		lines = append(lines, fmt.Sprintf("%s %s level %d size %d %q..%q",
			f.ColumnFamilyName, filepath.Base(f.Name), f.Level, f.Size, f.SmallestKey, f.LargestKey))
	}
	slices.Sort(lines)
	return lines
}

// described says the same of a set.
func described(set *version.Set) []string {
	var lines []string
	for _, f := range set.Families {
		for _, t := range f.Tables {
			lines = append(lines, fmt.Sprintf("%s %s level %d size %d %q..%q",
				f.Name, t.Name(), t.Level, t.Size, t.Smallest.User, t.Largest.User))
		}
	}
	slices.Sort(lines)
	return lines
}

func names(set *version.Set) []string {
	var all []string
	for _, f := range set.Families {
		all = append(all, f.Name)
	}
	slices.Sort(all)
	return all
}

// files returns the names of a set's files, after comparing their sizes.
func files(t testing.TB, set *version.Set, sizes map[string]int64) []string {
	all := []string{}
	for _, f := range set.Families {
		for _, table := range f.Tables {
			assert.Equal(t, sizes[table.Name()], table.Size)
			all = append(all, table.Name())
		}
		for _, b := range f.Blobs {
			assert.Greater(t, sizes[b.Name()], int64(b.Bytes))
			all = append(all, b.Name())
		}
	}
	slices.Sort(all)
	return all
}

func hasIdentities(t testing.TB, set *version.Set) {
	seen := map[[2]uint64]bool{{}: true}
	for _, f := range set.Families {
		assert.Equal(t, "leveldb.BytewiseComparator", f.Comparator)
		for _, table := range f.Tables {
			assert.False(t, seen[table.UniqueID], "unique id of %s", table.Name())
			seen[table.UniqueID] = true
			assert.LessOrEqual(t, table.SmallestSeq, table.LargestSeq)
			assert.LessOrEqual(t, table.LargestSeq, set.LastSequence)
		}
	}
}

func listing(t testing.TB, dir string) map[string]int64 {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	sizes := map[string]int64{}
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		sizes[e.Name()] = info.Size()
	}
	return sizes
}

// A checkpoint that was not flushed loses nothing but the WALs that MinLog
// calls needless, and so loses no record.
func TestMinLogKeepsWhatRecoveryNeeds(t *testing.T) {
	d := newDatabase(t, plain)
	d.create("a")
	d.write("a", 0, 10)
	d.write("default", 0, 10)
	d.flush("default") // starts a new WAL; the old one still holds "a"
	d.write("default", 10, 10)
	d.flush("a")
	d.write("a", 10, 10)

	d.dir = d.checkpoint(math.MaxUint64)
	set, err := version.Read(d.dir)
	require.NoError(t, err)
	kept := 0
	for name := range listing(t, d.dir) {
		kind, number, _ := version.FileKind(name)
		if kind != abi.KindWAL {
			continue
		}
		if number < set.MinLog() {
			require.NoError(t, os.Remove(filepath.Join(d.dir, name)))
			continue
		}
		kept++
	}
	require.Positive(t, kept)

	d.reopen()
	assert.Equal(t, 20, count(d, "a"))
	assert.Equal(t, 20, count(d, "default"))
}

func count(d *database, name string) int {
	ro := grocksdb.NewDefaultReadOptions()
	defer ro.Destroy()
	it := d.NewIteratorCF(ro, d.families[name])
	defer it.Close()
	n := 0
	for it.SeekToFirst(); it.Valid(); it.Next() {
		n++
	}
	require.NoError(d, it.Err())
	return n
}

func TestMinLog(t *testing.T) {
	set := version.Set{NextFile: 100, Families: []version.Family{{LogNumber: 20}, {LogNumber: 10}, {LogNumber: 30}}}
	assert.EqualValues(t, 10, set.MinLog())
	set.MinLogToKeep = 8
	assert.EqualValues(t, 8, set.MinLog())
	set.MinLogToKeep, set.PrevLog = 15, 5
	assert.EqualValues(t, 5, set.MinLog())
}
