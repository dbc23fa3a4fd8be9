package rocks

import (
	"bufio"
	"encoding/binary"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// holdVariable makes the test binary hold the database that it names, as another
// process would.
const holdVariable = "ROCKS_TEST_HOLD"

func TestMain(m *testing.M) {
	how, path, holding := strings.Cut(os.Getenv(holdVariable), ":")
	if !holding {
		os.Exit(m.Run())
	}
	var err error
	if how == "offline" {
		_, err = OpenOffline(path)
	} else {
		_, err = Open(path, Options{})
	}
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("held\n")
	os.Stdin.Read(make([]byte, 1))
	os.Exit(0)
}

// holdElsewhere has another process hold the database until the returned
// function is called.
func holdElsewhere(t *testing.T, how, path string) (release func()) {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdVariable+"="+how+":"+path)
	stdin, err := child.StdinPipe()
	require.NoError(t, err)
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "held\n", line)
	release = sync.OnceFunc(func() {
		stdin.Close()
		assert.NoError(t, child.Wait())
	})
	t.Cleanup(release)
	return release
}

func TestVersion(t *testing.T) {
	assert.Regexp(t, `^\d+\.\d+\.\d+$`, Version())
}

func TestOpenReopensEverything(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	want := map[string][]record{"default": sample(0, 10, 8), "a": sample(5, 9, 20), "ü b": nil}
	db := open(t, path, Creation{Families: []string{"a", "ü b"}, Compression: "zstd", WriteBufferBytes: 1 << 20})
	for name, records := range want {
		put(t, db, name, records...)
	}
	id, err := db.Identity()
	require.NoError(t, err)
	require.NoError(t, db.Close())

	db = open(t, path, Creation{})
	assert.Equal(t, want, content(t, db))
	again, err := db.Identity()
	require.NoError(t, err)
	assert.Equal(t, id, again)
	assert.Len(t, id, 36)
	assert.Equal(t, path, db.Path())
	assert.Equal(t, "4", db.Property("a", "rocksdb.estimate-num-keys"))
	assert.Empty(t, db.Property("a", "rocksdb.no-such-property"))
	assert.Empty(t, db.Property("b", "rocksdb.estimate-num-keys"))
	options, err := os.ReadFile(newest(t, path, "OPTIONS-*"))
	require.NoError(t, err)
	assert.Contains(t, string(options), "write_buffer_size=1048576")
	assert.Contains(t, string(options), "compression=kZSTD")
}

// Opening must not change an option: RocksDB would store the change.
func TestOpenKeepsOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	o.SetCreateIfMissing(true)
	o.SetErrorIfExists(true)
	o.SetMaxOpenFiles(77)
	o.SetUint64AddMergeOperator()
	foreign, err := grocksdb.OpenDb(o, path)
	require.NoError(t, err)
	foreign.Close()

	read := func() string {
		text, err := os.ReadFile(newest(t, path, "OPTIONS-*"))
		require.NoError(t, err)
		return string(text)
	}
	before := read()
	db := open(t, path, Creation{})
	require.NoError(t, db.Close())
	assert.Equal(t, strings.ReplaceAll(before, "error_if_exists=true", "error_if_exists=false"), read())
}

func TestOpenErrors(t *testing.T) {
	t.Run("missing", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		_, err := Open(path, Options{})
		assert.ErrorIs(t, err, fs.ErrNotExist)
		assert.ErrorContains(t, err, path)
		_, err = OpenOffline(path)
		assert.ErrorIs(t, err, fs.ErrNotExist)
		assert.NoDirExists(t, path)
	})
	t.Run("something else there", func(t *testing.T) {
		path := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(path, "000007.sst"), nil, 0o600))
		_, err := Open(path, Options{CreateIfMissing: true})
		assert.ErrorIs(t, err, fs.ErrExist)
		_, err = Create(path, "", nil)
		assert.ErrorIs(t, err, fs.ErrExist)
	})
	t.Run("unknown compression", func(t *testing.T) {
		_, err := Open(filepath.Join(t.TempDir(), "db"), Options{CreateIfMissing: true, Creation: Creation{Compression: "lzma"}})
		assert.ErrorContains(t, err, "lzma")
	})
	t.Run("corrupt MANIFEST", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		db := open(t, path, Creation{Families: []string{"a"}})
		require.NoError(t, db.Close())
		flip(t, newest(t, path, "MANIFEST-*"), 12)
		_, err := Open(path, Options{})
		assert.ErrorIs(t, err, version.ErrCorrupt)
		_, err = OpenOffline(path)
		assert.ErrorIs(t, err, version.ErrCorrupt)
	})
}

// flip changes one byte of a file.
func flip(t *testing.T, path string, offset int64) {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	b[offset] ^= 0x55
	require.NoError(t, os.WriteFile(path, b, 0o600))
}

func TestLockedInAnotherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	require.NoError(t, open(t, path, Creation{}).Close())
	for _, how := range []string{"open", "offline"} {
		t.Run(how, func(t *testing.T) {
			release := holdElsewhere(t, how, path)
			_, err := Open(path, Options{})
			assert.ErrorIs(t, err, ErrLocked)
			assert.ErrorContains(t, err, path)
			_, err = OpenOffline(path)
			assert.ErrorIs(t, err, ErrLocked)
			assert.ErrorContains(t, err, path)
			release()
			require.NoError(t, hold(t, path).Close())
			require.NoError(t, open(t, path, Creation{}).Close())
		})
	}
}

// A process cannot see its own locks by asking as RocksDB does, and drops them
// by closing the file once.
func TestLockedInThisProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Creation{})
	_, err := OpenOffline(path)
	require.ErrorIs(t, err, ErrLocked)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdVariable+"=open:"+path)
	assert.Error(t, child.Run(), "the failed attempt has dropped RocksDB's lock")
	require.NoError(t, db.Close())

	o := hold(t, path)
	_, err = Open(path, Options{})
	assert.ErrorIs(t, err, ErrLocked)
	_, err = OpenOffline(path)
	assert.ErrorIs(t, err, ErrLocked)
	child = exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdVariable+"=offline:"+path)
	assert.Error(t, child.Run(), "the failed attempts have dropped our lock")
	require.NoError(t, o.Close())
	require.NoError(t, open(t, path, Creation{}).Close())
}

// appended is a merge operator that RocksDB does not know.
type appended struct{}

func (appended) Name() string { return "test.appended" }

func (appended) FullMerge(_, existing []byte, operands [][]byte) ([]byte, bool) {
	for _, o := range operands {
		existing = append(existing, o...)
	}
	return existing, true
}

func (appended) PartialMerge(_, left, right []byte) ([]byte, bool) {
	return append(left, right...), true
}

func TestForeignMergeOperator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	o := grocksdb.NewDefaultOptions() // never destroyed: grocksdb would free the operator twice
	o.SetCreateIfMissing(true)
	o.SetMergeOperator(appended{})
	app, err := grocksdb.OpenDb(o, path)
	require.NoError(t, err)
	w := grocksdb.NewDefaultWriteOptions()
	defer w.Destroy()
	require.NoError(t, app.Merge(w, []byte("k"), []byte("one,")))
	require.NoError(t, app.Merge(w, []byte("k"), []byte("two")))

	lent, err := Borrow(app, path, nil)
	require.NoError(t, err)
	want := map[string][]record{"default": {{"k", "one,two"}}}
	assert.Equal(t, want, content(t, lent))
	require.NoError(t, lent.Close())
	app.Close()

	_, err = Open(path, Options{})
	require.ErrorIs(t, err, ErrForeign)
	assert.ErrorContains(t, err, "test.appended")

	held := hold(t, path)
	dir := filepath.Join(t.TempDir(), "checkpoint")
	require.NoError(t, held.Checkpoint(dir, FlushAuto), "a copy needs no merge operator")
	_, err = held.View()
	assert.ErrorIs(t, err, ErrForeign, "reading does")

	app, err = grocksdb.OpenDb(o, dir)
	require.NoError(t, err)
	defer app.Close()
	lent, err = Borrow(app, dir, nil)
	require.NoError(t, err)
	assert.Equal(t, want, content(t, lent))
}

func TestForeignComparator(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	o := grocksdb.NewDefaultOptions()
	o.SetCreateIfMissing(true)
	o.SetComparator(grocksdb.NewComparator("test.order", func(a, b []byte) int { return strings.Compare(string(a), string(b)) }))
	app, err := grocksdb.OpenDb(o, path)
	require.NoError(t, err)
	app.Close()

	_, err = Open(path, Options{})
	assert.ErrorIs(t, err, ErrForeign)
	assert.ErrorContains(t, err, "test.order")
	_, err = hold(t, path).View()
	assert.ErrorIs(t, err, ErrForeign)
	assert.ErrorContains(t, err, "test.order")
}

func TestMergedValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	o.SetCreateIfMissing(true)
	o.SetUint64AddMergeOperator()
	app, err := grocksdb.OpenDb(o, path)
	require.NoError(t, err)
	w := grocksdb.NewDefaultWriteOptions()
	defer w.Destroy()
	for range 3 {
		require.NoError(t, app.Merge(w, []byte("n"), binary.LittleEndian.AppendUint64(nil, 14)))
	}
	app.Close()
	want := map[string][]record{"default": {{"n", "\x2a\x00\x00\x00\x00\x00\x00\x00"}}}
	held := hold(t, path)
	assert.Equal(t, want, content(t, held))
	require.NoError(t, held.Close())
	assert.Equal(t, want, content(t, open(t, path, Creation{})))
}

func TestSeparateWALIsRefused(t *testing.T) {
	path, wal := filepath.Join(t.TempDir(), "db"), t.TempDir()
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	o.SetCreateIfMissing(true)
	o.SetWalDir(wal)
	app, err := grocksdb.OpenDb(o, path)
	require.NoError(t, err)
	app.Close()
	_, err = Open(path, Options{})
	assert.ErrorIs(t, err, ErrLayout)
	_, err = OpenOffline(path)
	assert.ErrorIs(t, err, ErrLayout)
	assert.ErrorContains(t, err, wal)
}

func TestBorrow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	require.NoError(t, open(t, path, Creation{Families: []string{"a", "b"}}).Close())
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	names := []string{"default", "a", "b"}
	app, handles, err := grocksdb.OpenDbColumnFamilies(o, path, names, []*grocksdb.Options{o, o, o})
	require.NoError(t, err)
	defer app.Close()
	for _, h := range handles {
		defer h.Destroy()
	}
	w := grocksdb.NewDefaultWriteOptions()
	defer w.Destroy()
	w.DisableWAL(true)
	require.NoError(t, app.PutCF(w, handles[2], []byte("k"), []byte("v")))

	db, err := Borrow(app, path, handles)
	require.NoError(t, err)
	want := map[string][]record{"default": nil, "a": nil, "b": {{"k", "v"}}}
	assert.Equal(t, want, content(t, db))
	dir := filepath.Join(t.TempDir(), "checkpoint")
	require.NoError(t, db.Checkpoint(dir, FlushAuto))
	assert.Equal(t, want, restored(t, dir), "what is in no WAL must be flushed")

	part, err := Borrow(app, path, handles[:2])
	require.NoError(t, err)
	_, err = part.View()
	assert.ErrorContains(t, err, `"b" was not lent`)

	require.NoError(t, db.Close())
	require.NoError(t, app.PutCF(w, handles[1], []byte("still"), []byte("open")))
}

func TestEmpty(t *testing.T) {
	blobs := Creation{BlobFiles: true}
	steps := map[string]func(*testing.T, *DB){
		"new":      func(*testing.T, *DB) {},
		"memtable": func(t *testing.T, db *DB) { put(t, db, "default", record{"k", "v"}) },
		"flushed": func(t *testing.T, db *DB) {
			put(t, db, "default", record{"k", "v"})
			require.NoError(t, db.Flush())
		},
	}
	for name, step := range steps {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			db := open(t, path, blobs)
			step(t, db)
			empty, err := db.Empty()
			require.NoError(t, err)
			assert.Equal(t, name == "new", empty)
			require.NoError(t, db.Close())
			empty, err = hold(t, path).Empty()
			require.NoError(t, err)
			assert.Equal(t, name == "new", empty)
		})
	}
}

// The live files by RocksDB's account are those of the MANIFEST.
func TestLiveAgreesWithManifest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Creation{Families: []string{"a"}, BlobFiles: true, MinBlobBytes: 100, WriteBufferBytes: 64 << 10})
	put(t, db, "default", sample(0, 500, 400)...)
	put(t, db, "a", sample(0, 500, 50)...)
	require.NoError(t, db.Flush())
	require.NoError(t, db.CompactAll())
	put(t, db, "a", sample(100, 200, 50)...)
	require.NoError(t, db.Flush())
	live, err := db.Live()
	require.NoError(t, err)
	set, err := version.Read(path)
	require.NoError(t, err)
	var want []LiveFile
	for _, f := range set.Families {
		for _, table := range f.Tables {
			want = append(want, LiveFile{table.Name(), f.Name, table.Level, table.Size})
		}
		for _, b := range f.Blobs {
			info, err := os.Stat(filepath.Join(path, b.Name()))
			require.NoError(t, err)
			want = append(want, LiveFile{b.Name(), f.Name, -1, info.Size()})
		}
	}
	assert.ElementsMatch(t, want, live)
	assert.GreaterOrEqual(t, len(live), 4)
}
