package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// shape is a kind of database that snapshots have to cope with.
type shape struct {
	name     string
	creation rocks.Creation
	fill     func(t *testing.T, db *rocks.DB)
}

// shapes lists databases that differ in where RocksDB keeps their records.
var shapes = []shape{
	{"families", rocks.Creation{Families: []string{"orders", "users"}}, func(t *testing.T, db *rocks.DB) {
		for i, family := range []string{"default", "orders", "users"} {
			put(t, db, family, uint64(i), 500)
		}
		require.NoError(t, db.Flush())
		put(t, db, "orders", 7, 400)
		require.NoError(t, db.CompactAll())
		put(t, db, "users", 8, 100)
		require.NoError(t, db.Flush())
	}},
	{"blobs", rocks.Creation{BlobFiles: true, MinBlobBytes: 64}, func(t *testing.T, db *rocks.DB) {
		put(t, db, "default", 1, 800)
		require.NoError(t, db.Flush())
		put(t, db, "default", 2, 300)
		require.NoError(t, db.Flush())
	}},
	{"wal", rocks.Creation{Families: []string{"orders"}}, func(t *testing.T, db *rocks.DB) {
		put(t, db, "default", 1, 300)
		require.NoError(t, db.Flush())
		put(t, db, "default", 2, 300)
		put(t, db, "orders", 3, 300)
	}},
	{"ingested", rocks.Creation{Families: []string{"orders"}}, func(t *testing.T, db *rocks.DB) {
		put(t, db, "orders", 1, 300)
		ingest(t, db, "orders", "key-0000100", "key-0000900")
		ingest(t, db, "default", "a", "b")
		ingest(t, db, "orders", "key-0000200", "key-0000901") // above the first, with a sequence number of its own
	}},
}

func (s shape) make(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	dbtest.Edit(t, path, s.creation, func(db *rocks.DB) { s.fill(t, db) })
	return path
}

func put(t testing.TB, db *rocks.DB, family string, seed uint64, count int) {
	t.Helper()
	require.NoError(t, db.PutBlock(family, dbtest.Block(seed, count)))
}

// ingest adds a table with the given keys, made outside of the database.
func ingest(t *testing.T, db *rocks.DB, family string, keys ...string) {
	t.Helper()
	w, err := rocks.NewTableWriter(db, family, t.TempDir())
	require.NoError(t, err)
	defer w.Close()
	for _, key := range keys {
		require.NoError(t, w.AddBlock(record(key, "ingested "+key)))
	}
	files, err := w.Finish()
	require.NoError(t, err)
	require.NoError(t, db.Ingest(family, files))
}

// open opens a host that is closed when the test ends, or before.
func open(t testing.TB, cfg *config.Config, options ...host.Option) *host.Host {
	t.Helper()
	h, err := host.Open(t.Context(), cfg, append(options, host.WithModuleCache(dbtest.Cache()))...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, h.Close()) })
	return h
}

// snapshot takes one snapshot of a database at rest.
func snapshot(t testing.TB, cfg *config.Config, strategy string) *host.Manifest {
	t.Helper()
	return snapshots(t, cfg, strategy)[0]
}

// snapshots takes a snapshot of a database at rest with each of the strategies.
func snapshots(t testing.TB, cfg *config.Config, strategies ...string) []*host.Manifest {
	t.Helper()
	own := *cfg
	own.Snapshot.Strategy = strategies[0] // so that no other module is loaded
	h := open(t, &own, host.Offline())
	list := make([]*host.Manifest, len(strategies))
	for i, strategy := range strategies {
		m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
		require.NoError(t, err)
		list[i] = m
	}
	require.NoError(t, h.Close())
	return list
}

// at returns the configuration of another database that shares the repository
// and the name.
func at(cfg *config.Config, path string) *config.Config {
	other := *cfg
	other.Database.Path = path
	return &other
}

func repository(t testing.TB, cfg *config.Config) *host.Repository {
	t.Helper()
	r, err := host.OpenRepository(t.Context(), cfg)
	require.NoError(t, err)
	return r
}

// restore restores a snapshot into a new directory.
func restore(t testing.TB, cfg *config.Config, id string) string {
	t.Helper()
	restored, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: filepath.Join(t.TempDir(), "restored")})
	require.NoError(t, err)
	return restored.Target
}

// listed returns the ids of all snapshots.
func listed(t testing.TB, cfg *config.Config) []string {
	t.Helper()
	list, err := repository(t, cfg).List(t.Context())
	require.NoError(t, err)
	ids := make([]string, len(list))
	for i, s := range list {
		ids[i] = s.ID
	}
	return ids
}

// record packs one record.
func record(key, value string) []byte {
	return canonical.AppendRecord(nil, []byte(key), []byte(value))
}

// requireClean demands that nothing of a snapshot is left beside the database.
func requireClean(t testing.TB, path string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(rocks.Staging(path), "*"))
	require.NoError(t, err)
	require.Empty(t, left)
	require.NoDirExists(t, rocks.Staging(path))
}

// requireAlone demands that a folder holds nothing but the given names.
func requireAlone(t testing.TB, folder string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	found := []string{}
	for _, e := range entries {
		found = append(found, e.Name())
	}
	require.ElementsMatch(t, names, found)
}
