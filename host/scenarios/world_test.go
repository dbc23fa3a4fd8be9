package scenarios

import (
	"context"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// world is an application with its database, a host to which it lends it, and a
// repository in a directory. All of it is closed when the test ends.
type world struct {
	t     testing.TB
	cfg   *config.Config
	db    *rocks.DB
	host  *host.Host
	store *hooked
	model content // what the database holds
}

// content is what a database holds: records by column family.
type content map[string]map[string]string

// newWorld makes a world with an empty database; lines are of its configuration.
func newWorld(t testing.TB, c rocks.Creation, lines ...string) *world {
	t.Helper()
	return newWorldFor(t, "incremental", c, lines...)
}

// newWorldFor makes a world whose host loads no more than a strategy, unless another
// is asked for.
func newWorldFor(t testing.TB, strategy string, c rocks.Creation, lines ...string) *world {
	t.Helper()
	w := &world{t: t, cfg: dbtest.Config(t, dbtest.New(t, c), lines...)}
	w.cfg.Snapshot.Strategy = strategy
	w.cfg.Retention.Grace = 0
	s, err := dir.Open(w.cfg.Repository.Dir())
	require.NoError(t, err)
	w.store = &hooked{Store: s}
	w.model = content{"default": {}}
	for _, family := range c.Families {
		w.model[family] = make(map[string]string)
	}
	w.open()
	t.Cleanup(w.close)
	return w
}

// open opens the database and a host on it.
func (w *world) open(options ...host.Option) {
	w.t.Helper()
	db, err := rocks.Open(w.cfg.Database.Path, rocks.Options{})
	require.NoError(w.t, err)
	w.db = db
	w.host = w.lend(options...)
}

// lend opens one more host on the database, which takes over from the one before.
func (w *world) lend(options ...host.Option) *host.Host {
	w.t.Helper()
	db, families := w.db.Lend()
	options = append(options, host.WithDB(db, families...), host.WithStore(w.store), host.WithModuleCache(dbtest.Cache()))
	h, err := host.Open(w.t.Context(), w.cfg, options...)
	require.NoError(w.t, err)
	return h
}

// close closes what is open.
func (w *world) close() {
	if w.db == nil {
		return
	}
	require.NoError(w.t, w.host.Close())
	require.NoError(w.t, w.db.Close())
	w.db = nil
}

// put writes one record.
func (w *world) put(family, key, value string) {
	w.t.Helper()
	w.load(family, canonical.AppendRecord(nil, []byte(key), []byte(value)))
}

// write writes records that follow from a seed, into a table of their own.
func (w *world) write(seed uint64) {
	w.t.Helper()
	w.load("default", dbtest.Block(seed, 50))
	require.NoError(w.t, w.db.Flush())
}

// load writes packed records.
func (w *world) load(family string, packed []byte) {
	w.t.Helper()
	require.NoError(w.t, w.db.PutBlock(family, packed))
	for key, value := range canonical.Records(packed) {
		w.model[family][string(key)] = string(value)
	}
}

// content is what the database holds now. Reading it would have RocksDB compact.
func (w *world) content() content {
	c := make(content)
	for family, records := range w.model {
		c[family] = maps.Clone(records)
	}
	return c
}

// begin captures the instant of a snapshot.
func (w *world) begin(strategy string) *host.Operation {
	w.t.Helper()
	op, err := w.host.Begin(w.t.Context(), host.SnapshotOptions{Strategy: strategy})
	require.NoError(w.t, err)
	return op
}

// take takes a snapshot.
func (w *world) take(strategy string) *host.Manifest {
	w.t.Helper()
	m, err := w.begin(strategy).Wait()
	require.NoError(w.t, err)
	return m
}

// savepoint takes a snapshot that shares nothing.
func (w *world) savepoint(strategy string) *host.Manifest {
	w.t.Helper()
	m, err := w.host.Snapshot(w.t.Context(), host.SnapshotOptions{Strategy: strategy, Savepoint: true})
	require.NoError(w.t, err)
	return m
}

// restore restores a snapshot into a new directory.
func (w *world) restore(id string) string {
	w.t.Helper()
	return w.restoreAs(host.RestoreOptions{Snapshots: []string{id}}).Target
}

// restoreAs restores as the options say; into a new directory unless they name one.
func (w *world) restoreAs(o host.RestoreOptions) *host.Restored {
	w.t.Helper()
	if o.Target == "" {
		o.Target = filepath.Join(w.t.TempDir(), "restored")
	}
	restored, err := w.repository().Restore(w.t.Context(), o)
	require.NoError(w.t, err)
	return restored
}

// moveOn closes the database and goes on with another.
func (w *world) moveOn(path string) {
	w.t.Helper()
	w.close()
	cfg := *w.cfg
	cfg.Database.Path = path
	w.cfg = &cfg
	w.open()
}

func (w *world) repository() *host.Repository {
	w.t.Helper()
	r, err := host.OpenRepository(w.t.Context(), w.cfg, host.WithStore(w.store), host.WithModuleCache(dbtest.Cache()))
	require.NoError(w.t, err)
	return r
}

// listed returns the ids of the committed snapshots, oldest first.
func (w *world) listed() []string {
	w.t.Helper()
	list, err := w.repository().List(w.t.Context())
	require.NoError(w.t, err)
	ids := []string{}
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	return ids
}

// remove removes snapshots, and whatever nothing refers to.
func (w *world) remove(ids ...string) {
	w.t.Helper()
	_, err := w.repository().Prune(w.t.Context(), host.PruneOptions{Remove: ids, Sweep: true})
	require.NoError(w.t, err)
}

// stored returns the names of all data objects.
func (w *world) stored() []string {
	w.t.Helper()
	names := []string{}
	for info, err := range w.store.List(w.t.Context(), "objects/", "") {
		require.NoError(w.t, err)
		names = append(names, info.Name)
	}
	return names
}

// holds demands that the repository has just these snapshots, each with the content
// that is given, and no object that none of them refers to.
func (w *world) holds(want map[string]content) {
	w.t.Helper()
	w.lists(want)
	referenced := make(map[string]bool)
	for id := range want {
		require.Equal(w.t, want[id], contents(w.t, w.restore(id)))
		m, err := w.repository().Find(w.t.Context(), id)
		require.NoError(w.t, err)
		for _, f := range m.Contents {
			referenced[f.Object] = true
		}
	}
	for _, name := range w.stored() {
		require.Contains(w.t, referenced, name)
	}
}

// lists demands that just these snapshots are listed.
func (w *world) lists(want map[string]content) {
	w.t.Helper()
	require.ElementsMatch(w.t, slices.Collect(maps.Keys(want)), w.listed())
}

// isClean demands that no snapshot has left anything beside the database.
func (w *world) isClean() {
	w.t.Helper()
	require.NoDirExists(w.t, rocks.Staging(w.cfg.Database.Path))
	require.Equal(w.t, []string{filepath.Base(w.cfg.Database.Path)}, names(w.t, filepath.Dir(w.cfg.Database.Path)))
}

// names lists a folder.
func names(t testing.TB, folder string) []string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	list := make([]string, len(entries))
	for i, e := range entries {
		list[i] = e.Name()
	}
	return list
}

// tables returns the tables of a snapshot.
func tables(m *host.Manifest) []host.File {
	return slices.DeleteFunc(slices.Clone(m.Contents), func(f host.File) bool { return f.Kind != abi.KindTable })
}

// contents returns the records of a closed database, by column family.
func contents(t testing.TB, path string) content {
	t.Helper()
	db, err := rocks.OpenOffline(path)
	require.NoError(t, err)
	defer db.Close()
	view, err := db.View()
	require.NoError(t, err)
	defer view.Close()
	found := make(content)
	block := make([]byte, 1<<20)
	for _, f := range view.Families() {
		found[f.Name] = make(map[string]string)
		scan, err := view.Scan(f.ID, nil, nil)
		require.NoError(t, err)
		for n := 1; n > 0; {
			n, _, err = scan.Next(block)
			require.NoError(t, err)
			for key, value := range canonical.Records(block[:n]) {
				found[f.Name][string(key)] = string(value)
			}
		}
		scan.Close()
	}
	return found
}

// hook is asked before a call is made, and may hold it up or fail it.
type hook func(ctx context.Context, name string) error

// hooked is a store with hooks. Unlike [blob.Faulty] it holds up one call while
// others go on.
type hooked struct {
	blob.Store
	create, open atomic.Pointer[hook]
}

func (h *hooked) Create(ctx context.Context, name string, r io.Reader) error {
	if ask := h.create.Load(); ask != nil {
		if err := (*ask)(ctx, name); err != nil {
			return err
		}
	}
	return h.Store.Create(ctx, name, r)
}

func (h *hooked) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if ask := h.open.Load(); ask != nil {
		if err := (*ask)(ctx, name); err != nil {
			return nil, err
		}
	}
	return h.Store.Open(ctx, name, offset, length)
}

// onCreate and onOpen set a hook; nil takes it away.
func (h *hooked) onCreate(ask hook) { set(&h.create, ask) }
func (h *hooked) onOpen(ask hook)   { set(&h.open, ask) }

func set(p *atomic.Pointer[hook], ask hook) {
	if ask == nil {
		p.Store(nil)
		return
	}
	p.Store(&ask)
}
