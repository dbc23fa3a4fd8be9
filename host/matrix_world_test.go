package host_test

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// provider opens the empty repository called name of the world in a folder.
type provider func(t testing.TB, folder, name string) blob.Store

// world is a database, a repository of its snapshots and a folder for restores:
// all that a run of rocksnap can touch.
type world struct {
	folder string // with "db", "targets", and "repo" and "other" where stores are directories
	open   provider
	cfg    *config.Config
	store  blob.Store        // of the repository
	other  blob.Store        // a second repository, to copy to
	now    string            // content digest of the database
	must   map[string]string // content digests of the snapshots that have to be there, by id
	list   []*host.Manifest  // of these, as they were taken
	turn   int               // says which of them is restored; the digests of all are compared
}

// newWorld makes a world of three snapshots, with what a session left that failed
// at its commit, and a database that went on since.
func newWorld(t testing.TB, folder string, open provider) *world {
	t.Helper()
	w := &world{folder: folder, open: open, must: make(map[string]string)}
	w.write(t, func(db *rocks.DB) {
		put(t, db, "default", 1, 60)
		put(t, db, "orders", 2, 60)
		require.NoError(t, db.Flush())
	})
	w.cfg = dbtest.Config(t, w.db(), "[retention]", `grace = "0s"`)
	w.cfg.Repository.Transfer.Workers = 1 // so that operations have an order
	require.NoError(t, os.Mkdir(filepath.Join(folder, "targets"), 0o755))
	w.store, w.other = open(t, folder, "repo"), open(t, folder, "other")
	for _, store := range []blob.Store{w.store, w.other} {
		_, err := catalog.Init(t.Context(), store, catalog.Format{})
		require.NoError(t, err)
	}
	w.take(t, "native-full")
	w.write(t, func(db *rocks.DB) {
		put(t, db, "orders", 3, 40)
		require.NoError(t, db.Flush())
	})
	w.take(t, "incremental")
	w.take(t, "canonical")
	w.write(t, func(db *rocks.DB) {
		put(t, db, "default", 4, 40)
		require.NoError(t, db.Flush())
		put(t, db, "orders", 5, 20) // stays in the WAL
	})
	w.fail(t)
	return w
}

func (w *world) db() string                { return filepath.Join(w.folder, "db") }
func (w *world) target(name string) string { return filepath.Join(w.folder, "targets", name) }

// write changes the database.
func (w *world) write(t testing.TB, edit func(*rocks.DB)) {
	t.Helper()
	dbtest.Edit(t, w.db(), rocks.Creation{Families: []string{"orders"}}, edit)
	w.now = dbtest.Digest(t, w.db())
}

// snapshot opens a host on a store and takes a snapshot.
func (w *world) snapshot(ctx context.Context, store blob.Store, strategy string, options ...host.Option) (*host.Manifest, error) {
	own := *w.cfg
	own.Snapshot.Strategy = strategy
	h, err := host.Open(ctx, &own, append(options, host.Offline(), host.WithStore(store), host.WithModuleCache(dbtest.Cache()))...)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return h.Snapshot(ctx, host.SnapshotOptions{})
}

// take takes a snapshot that stays.
func (w *world) take(t testing.TB, strategy string) {
	t.Helper()
	m, err := w.snapshot(t.Context(), w.store, strategy, native...)
	require.NoError(t, err)
	w.must[m.ID] = w.now
	w.list = append(w.list, m)
}

// fail takes a snapshot that cannot be committed.
func (w *world) fail(t testing.TB) {
	t.Helper()
	entries := 0
	_, err := w.snapshot(t.Context(), blob.Faulty(w.store, func(c blob.Call) blob.Fault {
		if c.Verb == blob.VerbCreate && strings.Contains(c.Name, "/entries/") {
			entries++
		}
		if entries == 2 { // after the epoch
			entries++
			return blob.Fault{Mode: blob.Fail}
		}
		return blob.Fault{}
	}), "native-full", native...)
	require.ErrorIs(t, err, blob.ErrFault)
	require.NotEmpty(t, names(t, w.store, "db/db/notes/"))
}

// clone copies the world into an empty folder.
func (w *world) clone(t testing.TB, folder string) *world {
	t.Helper()
	c := *w
	c.folder, c.must = folder, maps.Clone(w.must)
	for _, name := range []string{"db", "targets"} {
		require.NoError(t, os.CopyFS(filepath.Join(folder, name), os.DirFS(filepath.Join(w.folder, name))))
	}
	c.cfg = at(w.cfg, c.db())
	c.store, c.other = c.open(t, folder, "repo"), c.open(t, folder, "other")
	copyObjects(t, w.store, c.store)
	copyObjects(t, w.other, c.other)
	return &c
}

func copyObjects(t testing.TB, from, to blob.Store) {
	t.Helper()
	for info, err := range from.List(t.Context(), "", "") {
		require.NoError(t, err)
		body, err := from.Open(t.Context(), info.Name, 0, -1)
		require.NoError(t, err)
		require.NoError(t, to.Create(t.Context(), info.Name, body))
		require.NoError(t, body.Close())
	}
}

// names lists the objects under a prefix.
func names(t testing.TB, store blob.Store, prefix string) []string {
	t.Helper()
	list := []string{}
	for info, err := range store.List(t.Context(), prefix, "") {
		require.NoError(t, err)
		list = append(list, info.Name)
	}
	return list
}

// repository opens a repository that is in a store.
func (w *world) repository(t testing.TB, store blob.Store) *host.Repository {
	t.Helper()
	r, err := host.OpenRepository(t.Context(), w.cfg, host.WithStore(store))
	require.NoError(t, err)
	return r
}

// listed returns the ids of all snapshots in a store.
func (w *world) listed(t testing.TB, store blob.Store) []string {
	t.Helper()
	list, err := w.repository(t, store).List(t.Context())
	require.NoError(t, err)
	ids := make([]string, len(list))
	for i, s := range list {
		ids[i] = s.ID
	}
	return ids
}

// requireSnapshots demands that exactly the given snapshots are in a store, that
// nothing ails them, and that they restore to their content. Of the snapshots that
// were there before, it restores one, and another one in the next world.
func (w *world) requireSnapshots(t testing.TB, store blob.Store, want map[string]string) {
	t.Helper()
	require.ElementsMatch(t, slices.Collect(maps.Keys(want)), w.listed(t, store))
	r := w.repository(t, store)
	verified, err := r.Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	require.Empty(t, verified.Problems)
	for id, digest := range want {
		old := slices.IndexFunc(w.list, func(m *host.Manifest) bool { return m.ID == id })
		if old >= 0 && old != w.turn%len(w.list) {
			continue
		}
		target := w.target(id)
		_, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: target})
		require.NoError(t, err)
		require.Equal(t, digest, dbtest.Digest(t, target), id)
		require.NoError(t, os.RemoveAll(target))
	}
}

// requireNothingElse takes one more snapshot and prunes. Then nothing may be left
// of what failed, neither in the repository nor on this machine.
func (w *world) requireNothingElse(t testing.TB) {
	t.Helper()
	m, err := w.snapshot(t.Context(), w.store, "native-full", native...)
	require.NoError(t, err)
	w.must[m.ID] = w.now
	w.requirePruned(t, w.store)
	requireClean(t, w.db())
	requireAlone(t, w.target(""))
	w.requireNothingBeside(t)
}

// requirePruned demands that prune leaves in a store what its snapshots need.
func (w *world) requirePruned(t testing.TB, store blob.Store) {
	t.Helper()
	aged := w.grow(t)
	r := w.repository(t, store)
	pruned, err := r.Prune(t.Context(), host.PruneOptions{Sweep: true})
	require.NoError(t, err)
	require.Zero(t, pruned.ObjectsLater, pruned.Held)
	require.ElementsMatch(t, referenced(t, r), names(t, store, "objects/"))
	gone := []string{"notes/", "intents/"}
	if aged {
		gone = append(gone, "pins/", "clock/") // of readers and of prunes that died
	}
	for _, folder := range gone {
		require.Empty(t, names(t, store, "db/db/"+folder))
	}
	verified, err := r.Verify(t.Context(), host.VerifyOptions{Level: host.LevelObjects})
	require.NoError(t, err)
	require.Empty(t, verified.Problems)
	require.Zero(t, verified.Orphans)
}

// referenced lists the objects that the snapshots of a repository name.
func referenced(t testing.TB, r *host.Repository) []string {
	t.Helper()
	list, err := r.List(t.Context())
	require.NoError(t, err)
	objects := make(map[string]bool)
	for _, s := range list {
		m, err := r.Find(t.Context(), s.ID)
		require.NoError(t, err)
		for _, f := range m.Contents {
			objects[f.Object] = true
		}
	}
	return slices.Collect(maps.Keys(objects))
}

// grow makes what is in directory stores old enough for a reader's pin and a
// temporary file to be given up. Elsewhere nobody can turn the clock.
func (w *world) grow(t testing.TB) (grown bool) {
	t.Helper()
	old := time.Now().Add(-8 * 24 * time.Hour)
	for _, name := range []string{"repo", "other"} {
		root := filepath.Join(w.folder, name)
		if _, err := os.Stat(root); err != nil {
			return false
		}
		require.NoError(t, filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				err = os.Chtimes(path, old, old)
			}
			return err
		}))
	}
	return true
}

// requireNothingBeside demands that the folder of the world holds no more than it
// did, and that no directory store has a temporary file.
func (w *world) requireNothingBeside(t testing.TB) {
	t.Helper()
	entries, err := os.ReadDir(w.folder)
	require.NoError(t, err)
	for _, e := range entries {
		assert.Contains(t, []string{"db", "targets", "repo", "other"}, e.Name())
	}
	left, err := filepath.Glob(filepath.Join(w.folder, "*", ".tmp", "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

// native has the built-in strategies run without a sandbox.
var native = dbtest.Native()
