package rocks

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// checkpointer is what DB and Offline have in common.
type checkpointer interface {
	viewer
	Checkpoint(dir string, flush Flush) error
}

// build makes a database with tables, blob files, an ingested table and records
// that are only in the WAL, and returns its content.
func build(t *testing.T, path string) map[string][]record {
	t.Helper()
	db := open(t, path, Creation{Families: []string{"blobs", "ingested"}, BlobFiles: true, MinBlobBytes: 200})
	put(t, db, "default", sample(0, 300, 100)...)
	put(t, db, "blobs", sample(0, 100, 1000)...)
	require.NoError(t, db.Flush())
	require.NoError(t, db.Ingest("ingested", tables(t, db, "ingested", sample(0, 50, 30))))
	put(t, db, "default", sample(250, 350, 20)...)
	put(t, db, "ingested", sample(40, 60, 10)...)
	want := content(t, db)
	require.NoError(t, db.Close())
	return want
}

// tables writes records to files that can be ingested.
func tables(t *testing.T, db *DB, family string, records []record) []string {
	t.Helper()
	w, err := NewTableWriter(db, family, t.TempDir())
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, w.AddBlock(pack(records...)))
	files, err := w.Finish()
	require.NoError(t, err)
	return files
}

func TestCheckpoint(t *testing.T) {
	openers := map[string]func(*testing.T, string) checkpointer{
		"db":      func(t *testing.T, path string) checkpointer { return open(t, path, Creation{}) },
		"offline": func(t *testing.T, path string) checkpointer { return hold(t, path) },
	}
	for name, opener := range openers {
		for _, flush := range []Flush{FlushAuto, FlushAlways, FlushNever} {
			t.Run(fmt.Sprint(name, " ", flush), func(t *testing.T) {
				path, dir := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "c")
				want := build(t, path)
				db := opener(t, path)
				err := db.Checkpoint(dir, flush)
				if name == "offline" && flush == FlushAlways {
					require.ErrorIs(t, err, ErrNeedsWrite)
					assert.NoDirExists(t, dir)
					return
				}
				require.NoError(t, err)
				checkFiles(t, dir)
				assert.Equal(t, want, content(t, hold(t, dir)))
				assert.Equal(t, want, content(t, db))
				assert.ErrorIs(t, db.Checkpoint(dir, flush), fs.ErrExist)
				assert.DirExists(t, dir, "what was there before must stay")
			})
		}
	}
}

// checkFiles compares a checkpoint with its own MANIFEST, and finds links where
// files never change.
func checkFiles(t *testing.T, dir string) {
	t.Helper()
	set, err := version.Read(dir)
	require.NoError(t, err)
	assert.Zero(t, set.Tail)
	live := make(map[string]bool)
	for _, f := range set.Families {
		for _, table := range f.Tables {
			live[table.Name()] = true
		}
		for _, b := range f.Blobs {
			live[b.Name()] = true
		}
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		kind, _, ok := version.FileKind(e.Name())
		require.True(t, ok, "%s does not belong here", e.Name())
		if kind != abi.KindTable && kind != abi.KindBlob {
			continue
		}
		assert.True(t, live[e.Name()], "%s is not live", e.Name())
		delete(live, e.Name())
		info, err := e.Info()
		require.NoError(t, err)
		assert.Greater(t, info.Sys().(*syscall.Stat_t).Nlink, uint64(1), "%s is a copy", e.Name())
	}
	assert.Empty(t, live)
}

func TestOfflineCheckpointWithoutWALNeedsNoFlush(t *testing.T) {
	path, dir := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "c")
	db := open(t, path, Creation{})
	put(t, db, "default", record{"k", "v"})
	require.NoError(t, db.Flush())
	require.NoError(t, db.Close())
	require.NoError(t, hold(t, path).Checkpoint(dir, FlushAlways))
	assert.Equal(t, map[string][]record{"default": {{"k", "v"}}}, restored(t, dir))
}

// An edit that was cut off by a crash is no part of the checkpoint.
func TestOfflineCheckpointTrimsManifest(t *testing.T) {
	path, dir := filepath.Join(t.TempDir(), "db"), filepath.Join(t.TempDir(), "c")
	want := build(t, path)
	manifest, err := os.OpenFile(newest(t, path, "MANIFEST-*"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = manifest.Write([]byte{1, 2, 3, 4, 40, 0, 1, 9})
	require.NoError(t, err)
	require.NoError(t, manifest.Close())
	require.NoError(t, hold(t, path).Checkpoint(dir, FlushNever))
	checkFiles(t, dir)
	assert.Equal(t, want, restored(t, dir))
}

// Taking hold of a database, copying and reading it changes nothing in its
// directory, not even what does not belong there.
func TestOfflineChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	want := build(t, path)
	require.NoError(t, os.WriteFile(filepath.Join(path, "999999.sst"), []byte("not live"), 0o600))
	before := image(t, path)
	o := hold(t, path)
	require.NoError(t, o.Checkpoint(filepath.Join(t.TempDir(), "c"), FlushAuto))
	assert.Equal(t, want, content(t, o))
	assert.Equal(t, want, content(t, o))
	require.NoError(t, o.Close())
	assert.Equal(t, before, image(t, path))
}

func TestCheckpointLeavesNothingOnFailure(t *testing.T) {
	t.Run("missing table", func(t *testing.T) {
		path, parent := filepath.Join(t.TempDir(), "db"), t.TempDir()
		build(t, path)
		o := hold(t, path)
		require.NoError(t, os.Remove(newest(t, path, "*.sst")))
		err := o.Checkpoint(filepath.Join(parent, "c"), FlushNever)
		assert.ErrorIs(t, err, fs.ErrNotExist)
		assert.ErrorContains(t, err, ".sst")
		assert.Empty(t, names(t, parent))
	})
	t.Run("missing blob file", func(t *testing.T) {
		path, parent := filepath.Join(t.TempDir(), "db"), t.TempDir()
		build(t, path)
		db := open(t, path, Creation{})
		require.NoError(t, os.Remove(newest(t, path, "*.blob")))
		assert.Error(t, db.Checkpoint(filepath.Join(parent, "c"), FlushNever))
		assert.Empty(t, names(t, parent))
	})
	t.Run("missing parent", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		db := open(t, path, Creation{})
		assert.ErrorIs(t, db.Checkpoint(filepath.Join(path+"-absent", "c"), FlushNever), fs.ErrNotExist)
	})
}

func names(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestCheckpointRefusesOtherDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	build(t, path)
	other, err := os.MkdirTemp("/dev/shm", "rocks-test-")
	if err != nil {
		t.Skip("no second file system")
	}
	defer os.RemoveAll(other)
	var here, there syscall.Stat_t
	require.NoError(t, syscall.Stat(path, &here))
	require.NoError(t, syscall.Stat(other, &there))
	if here.Dev == there.Dev {
		t.Skip("no second file system")
	}
	o := hold(t, path)
	err = o.Checkpoint(filepath.Join(other, "c"), FlushNever)
	assert.ErrorIs(t, err, ErrCrossDevice)
	assert.ErrorContains(t, err, path)
	assert.ErrorContains(t, err, other)
	require.NoError(t, o.Close())
	assert.ErrorIs(t, open(t, path, Creation{}).Checkpoint(filepath.Join(other, "c"), FlushNever), ErrCrossDevice)
	assert.Empty(t, names(t, other))
}

// Two column families are written in turn while checkpoints are taken. Each of
// these holds all records up to some number and none after it.
func TestCheckpointUnderWritesIsAPrefix(t *testing.T) {
	path, parent := filepath.Join(t.TempDir(), "db"), t.TempDir()
	db := open(t, path, Creation{Families: []string{"odd"}, WriteBufferBytes: 64 << 10})
	var stop atomic.Bool
	var written atomic.Int64
	done := make(chan error)
	go func() {
		var err error
		for i := 0; err == nil && !stop.Load(); i++ {
			err = db.PutBlock([]string{"default", "odd"}[i%2], pack(sample(i, i+1, 200)...))
			written.Store(int64(i + 1))
		}
		done <- err
	}()
	for i, flush := range []Flush{FlushNever, FlushAlways, FlushAuto, FlushNever} {
		for start := written.Load(); written.Load() < start+500; {
		}
		dir := filepath.Join(parent, fmt.Sprint(i))
		before := written.Load()
		require.NoError(t, db.Checkpoint(dir, flush))
		after := written.Load()
		got := restored(t, dir)
		even, odd := len(got["default"]), len(got["odd"])
		assert.Contains(t, []int{0, 1}, even-odd)
		assert.GreaterOrEqual(t, int64(even+odd), before)
		assert.LessOrEqual(t, int64(even+odd), after+1)
		assert.Equal(t, fmt.Sprintf("key-%08d", 2*even-2), got["default"][even-1].key)
		assert.Equal(t, fmt.Sprintf("key-%08d", 2*odd-1), got["odd"][odd-1].key)
	}
	stop.Store(true)
	require.NoError(t, <-done)
}
