package host_test

import (
	"context"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

func delta(t *testing.T, cfg *config.Config, id, target string) *host.Restored {
	t.Helper()
	restored, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: target, Delta: true})
	require.NoError(t, err)
	assert.Empty(t, leftovers(t, target))
	return restored
}

// TestDelta puts a database back to where it was, and forward again. What it still
// has is not fetched.
func TestDelta(t *testing.T) {
	for _, shape := range shapes[:2] {
		t.Run(shape.name, func(t *testing.T) {
			path := shape.make(t)
			cfg := dbtest.Config(t, path)
			want := []string{dbtest.Digest(t, path)}
			list := snapshots(t, cfg, "native-full")
			goForth(t, path)
			want = append(want, dbtest.Digest(t, path))
			list = append(list, snapshots(t, cfg, "incremental")...)
			for _, target := range []string{path, restore(t, cfg, list[1].ID)} {
				for i, m := range list {
					same := sameFiles(m, target)
					require.Positive(t, same)
					restored := delta(t, cfg, m.ID, target)
					assert.Equal(t, same, restored.Reused)
					assert.Equal(t, m.BytesFull-same, restored.Bytes)
					assert.Equal(t, want[i], dbtest.Digest(t, target))
				}
			}
			assert.Equal(t, list[1].ID, snapshot(t, cfg, "incremental").Base)
		})
	}
}

// goForth changes a database, and leaves some of its files as they are.
func goForth(t *testing.T, path string) {
	t.Helper()
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		put(t, db, "default", 99, 50)
		require.NoError(t, db.Flush())
	})
}

// sameFiles counts the bytes of a snapshot's tables and blob files that a database has.
func sameFiles(m *host.Manifest, path string) (bytes int64) {
	for _, f := range m.Contents {
		content, err := os.ReadFile(filepath.Join(path, f.Name))
		if err == nil && (f.Kind == abi.KindTable || f.Kind == abi.KindBlob) && hashOf(content) == f.Digest {
			bytes += f.Size
		}
	}
	return bytes
}

func hashOf(content []byte) string {
	sum := blake3.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// TestDeltaIntoNothing fetches everything.
func TestDeltaIntoNothing(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "native-full")
	for _, target := range []string{filepath.Join(t.TempDir(), "absent"), t.TempDir()} {
		restored := delta(t, cfg, m.ID, target)
		assert.Zero(t, restored.Reused)
		assert.Equal(t, m.BytesFull, restored.Bytes)
		assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
	}
}

// TestDeltaDamage: a file that has rotted is fetched.
func TestDeltaDamage(t *testing.T) {
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "native-full")
	table := tableOf(t, m)
	flipByte(t, filepath.Join(path, table.Name), int(table.Size/2))
	same := sameFiles(m, path)
	restored := delta(t, cfg, m.ID, path)
	assert.Equal(t, same, restored.Reused)
	assert.Equal(t, m.BytesFull-same, restored.Bytes)
	assert.Equal(t, want, dbtest.Digest(t, path))
}

// TestDeltaOfAFork: a file of another fork has the name and the size of the one that
// is wanted, and is another.
func TestDeltaOfAFork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	dbtest.Edit(t, path, blobs, func(*rocks.DB) {})
	dbtest.Fill(t, path, "default", 1, 200)
	cfg := dbtest.Config(t, path)
	fork := restore(t, cfg, snapshot(t, cfg, "native-full").ID)
	diverge(t, path, 0, 0)
	diverge(t, fork, 1, 0)
	m := snapshot(t, cfg, "native-full")
	require.True(t, slices.ContainsFunc(m.Contents, func(f host.File) bool {
		info, err := os.Stat(filepath.Join(fork, f.Name))
		content, _ := os.ReadFile(filepath.Join(fork, f.Name))
		return f.Kind == abi.KindBlob && err == nil && info.Size() == f.Size && hashOf(content) != f.Digest
	}))
	same := sameFiles(m, fork)
	require.Positive(t, same)
	restored := delta(t, cfg, m.ID, fork)
	assert.Equal(t, same, restored.Reused)
	assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, fork))
}

// TestDeltaShares no file that has a further name: that may be the repository's.
func TestDeltaShares(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "native-full")
	target := filepath.Join(t.TempDir(), "linked")
	_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Target: target, Link: true})
	require.NoError(t, err)
	table := tableOf(t, m)
	object := filepath.Join(cfg.Repository.Dir(), table.Object)
	require.True(t, sameFile(t, object, filepath.Join(target, table.Name)))

	restored := delta(t, cfg, m.ID, target)
	assert.Positive(t, restored.Reused)
	assert.False(t, sameFile(t, object, filepath.Join(target, table.Name)))
	own, err := os.Stat(filepath.Join(target, table.Name))
	require.NoError(t, err)
	delta(t, cfg, m.ID, target)
	again, err := os.Stat(filepath.Join(target, table.Name))
	require.NoError(t, err)
	assert.True(t, os.SameFile(own, again), "one of its own is not copied")
}

func sameFile(t *testing.T, a, b string) bool {
	t.Helper()
	infoA, err := os.Stat(a)
	require.NoError(t, err)
	infoB, err := os.Stat(b)
	require.NoError(t, err)
	return os.SameFile(infoA, infoB)
}

// TestDeltaOfEncrypted fetches everything: no manifest knows what is in the files.
func TestDeltaOfEncrypted(t *testing.T) {
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg, _ := withKey(t, path)
	m := snapshot(t, cfg, "native-full")
	restored := delta(t, cfg, m.ID, path)
	assert.Zero(t, restored.Reused)
	assert.Equal(t, want, dbtest.Digest(t, path))
}

// TestDeltaRefuses what it cannot do, or what would take more than a database away.
func TestDeltaRefuses(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	m := snapshots(t, cfg, "native-full", "canonical")
	place := func(name string) func(t *testing.T) {
		return func(t *testing.T) {
			require.NoError(t, os.WriteFile(filepath.Join(path, name), []byte("mine"), 0o600))
			t.Cleanup(func() { require.NoError(t, os.Remove(filepath.Join(path, name))) })
		}
	}
	cases := []struct {
		name    string
		prepare func(t *testing.T)
		options host.RestoreOptions
		code    host.Code
		says    string
	}{
		{"foreign file", place("notes.txt"), host.RestoreOptions{}, host.CodeFailed, "holds notes.txt, which is no file of a database"},
		{"foreign table", place("12.sst"), host.RestoreOptions{}, host.CodeFailed, "holds 12.sst"},
		{"folder", func(t *testing.T) {
			require.NoError(t, os.Mkdir(filepath.Join(path, "000001.sst"), 0o700))
			t.Cleanup(func() { require.NoError(t, os.Remove(filepath.Join(path, "000001.sst"))) })
		}, host.RestoreOptions{}, host.CodeFailed, "holds 000001.sst"},
		{"open database", func(t *testing.T) {
			db, err := rocks.Open(path, rocks.Options{})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
		}, host.RestoreOptions{}, host.CodeFenced, "database is in use"},
		{"canonical", nil, host.RestoreOptions{Snapshots: []string{m[1].ID}}, host.CodeUsage, "no files can be reused: snapshot " + m[1].ID + " is canonical"},
		{"engine", nil, host.RestoreOptions{Engine: "pebble"}, host.CodeUsage, "only files of RocksDB"},
		{"records", nil, host.RestoreOptions{Method: host.ByRecords}, host.CodeUsage, "only files of RocksDB"},
		{"part", nil, host.RestoreOptions{KeyGroups: &keygroup.Range{}}, host.CodeUsage, "cannot replace a database"},
		{"several", nil, host.RestoreOptions{Snapshots: []string{m[0].ID, m[1].ID}}, host.CodeUsage, "cannot replace a database"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if c.prepare != nil {
				c.prepare(t)
			}
			c.options.Target, c.options.Delta = path, true
			if c.options.Snapshots == nil {
				c.options.Snapshots = []string{m[0].ID}
			}
			before, err := os.ReadDir(path)
			require.NoError(t, err)
			_, err = repository(t, cfg).Restore(t.Context(), c.options)
			require.ErrorContains(t, err, c.says)
			assert.Equal(t, c.code, host.CodeOf(err))
			after, err := os.ReadDir(path)
			require.NoError(t, err)
			assert.Len(t, after, len(before))
			assert.Empty(t, leftovers(t, path))
		})
	}
	other := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(other, "LOG"), nil, 0o600))
	_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Target: other, Delta: true})
	require.ErrorContains(t, err, "is no database")
	assert.NotEmpty(t, dbtest.Digest(t, path))
}

// TestDeltaKeepsWritersOut while the old database is about to be replaced, and finds
// the database that takes its place in the middle of it.
func TestDeltaKeepsWritersOut(t *testing.T) {
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	snapshot(t, cfg, "native-full")
	goForth(t, path)
	aside := path + "-aside"
	var moved atomic.Bool
	r, err := host.OpenRepository(t.Context(), cfg, host.WithStore(blob.Observe(store(t, cfg), func(op blob.Op) {
		if !isObject(op.Verb, op.Name) || moved.Swap(true) {
			return
		}
		_, err := rocks.Open(path, rocks.Options{})
		assert.ErrorIs(t, err, rocks.ErrLocked)
		assert.NoError(t, os.Rename(path, aside))
		assert.NoError(t, os.CopyFS(path, os.DirFS(aside)))
	})))
	require.NoError(t, err)
	_, err = r.Restore(t.Context(), host.RestoreOptions{Target: path, Delta: true})
	require.True(t, moved.Load())
	require.ErrorContains(t, err, "is another directory than it was")
	assert.Empty(t, leftovers(t, path))
	goOnWith := dbtest.Digest(t, aside)
	assert.NotEqual(t, want, goOnWith)
	assert.Equal(t, goOnWith, dbtest.Digest(t, path))
}

// TestDeltaUnsynced leaves the old database alone while a power cut could bring its
// name back.
func TestDeltaUnsynced(t *testing.T) {
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "native-full")
	goForth(t, path)
	old := dbtest.Digest(t, path)
	var exchanged atomic.Bool // files are made side by side
	unhook := durable.Intercept(func(op durable.Op, change func() error) error {
		if exchanged.Load() && op.Verb == "sync" {
			return errStopped
		}
		if op.Verb == "rename" && op.Path == path {
			exchanged.Store(true)
		}
		return change()
	})
	_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: path, Delta: true})
	unhook()
	require.ErrorIs(t, err, durable.ErrUnsynced)
	assert.Equal(t, want, dbtest.Digest(t, path))
	assert.Equal(t, old, dbtest.Digest(t, leftover(t, path)))
	delta(t, cfg, m.ID, path)
	assert.Equal(t, want, dbtest.Digest(t, path))
}

// TestDeltaTidiesWhatIsDurable: the database that a killed restore has replaced may be
// the target again after a power cut, so it stays until the exchange is durable.
func TestDeltaTidiesWhatIsDurable(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "native-full")
	goForth(t, path)
	again := func() error {
		_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: path, Delta: true})
		return err
	}
	var killed atomic.Bool // files are made side by side
	unhook := durable.Intercept(func(op durable.Op, change func() error) error {
		if killed.Load() {
			return errStopped
		}
		if op.Verb == "rename" && op.Path == path {
			killed.Store(true)
		}
		return change()
	})
	err := again()
	unhook()
	require.ErrorIs(t, err, errStopped)
	left := leftover(t, path)

	var synced, tidied atomic.Bool
	unhook = durable.Intercept(func(op durable.Op, change func() error) error {
		switch {
		case op.Verb == "sync" && op.Path == filepath.Dir(path):
			synced.Store(true)
		case op.Verb == "remove" && op.Path == left:
			tidied.Store(true)
			assert.True(t, synced.Load())
		}
		return change()
	})
	err = again()
	unhook()
	require.NoError(t, err)
	require.True(t, tidied.Load())
}

// deltaDeed replaces the database of the first snapshot by that of the second: the
// target is the one or the other, whatever happens.
func deltaDeed(calls, changes unit) deed {
	do := func(ctx context.Context, w *world, store blob.Store) error {
		r, err := host.OpenRepository(ctx, w.cfg, host.WithStore(store))
		if err != nil {
			return err
		}
		restored, err := r.Restore(ctx, host.RestoreOptions{Snapshots: []string{w.of("incremental").ID}, Target: w.target(restored), Delta: true})
		if err == nil && restored.Reused+restored.Resumed == 0 {
			err = os.ErrInvalid
		}
		return err
	}
	return deed{
		"restore --delta",
		func(t *testing.T, w *world) {
			_, err := w.repository(t, w.store).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{w.of("native-full").ID}, Target: w.target(restored)})
			require.NoError(t, err)
		},
		func(ctx context.Context, w *world, store, _ blob.Store) error { return do(ctx, w, store) },
		func(t *testing.T, w *world, err error) {
			before, after := w.must[w.of("native-full").ID], w.must[w.of("incremental").ID]
			found := dbtest.Digest(t, w.target(restored))
			if err != nil {
				require.Contains(t, []string{before, after}, found)
			} else {
				require.Equal(t, after, found)
			}
			if err != nil || len(leftovers(t, w.target(restored))) > 0 {
				require.NoError(t, do(t.Context(), w, w.store))
			}
			require.Equal(t, after, dbtest.Digest(t, w.target(restored)))
			requireAlone(t, w.target(""), restored)
			require.NoError(t, os.RemoveAll(w.target(restored)))
		},
		calls, changes,
	}
}

// TestDeltaKnowsNames of what RocksDB leaves in a directory.
func TestDeltaKnowsNames(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "native-full")
	for _, name := range strings.Fields("LOG.old.1700000000000000 000077.dbtmp MANIFEST-000078.dbtmp IDENTITY.dbtmp 000079.sst.trash 000080.log") {
		require.NoError(t, os.WriteFile(filepath.Join(path, name), nil, 0o600))
	}
	require.NoError(t, os.Remove(filepath.Join(path, "CURRENT"))) // lost
	restored := delta(t, cfg, m.ID, path)
	assert.Positive(t, restored.Reused)
	assert.NotEmpty(t, dbtest.Digest(t, path))
}
