package catalog

import (
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/mem"
)

// remembered makes an empty repository in memory, for the tests that need thousands
// of them.
func remembered(t testing.TB) blob.Store {
	t.Helper()
	store := mem.New()
	_, err := Init(t.Context(), store, Format{})
	require.NoError(t, err)
	return store
}

// clocked is a catalog in memory. Its store has a clock that the test sets.
type clocked struct {
	*Catalog
	t     testing.TB
	store *mem.Store
	now   time.Time
}

func newClocked(t testing.TB) *clocked {
	c := &clocked{t: t, now: time.Date(2026, 11, 20, 18, 0, 0, 0, time.UTC)}
	c.store = mem.New(mem.WithClock(func() time.Time { return c.now }))
	c.Catalog = &Catalog{store: c.store, database: "orders"}
	return c
}

// names lists the objects under a prefix.
func (c *clocked) names(prefix string) []string {
	c.t.Helper()
	names := []string{}
	for info, err := range c.store.List(c.t.Context(), prefix, "") {
		require.NoError(c.t, err)
		names = append(names, info.Name)
	}
	return names
}

// spoil replaces an object by other bytes.
func (c *clocked) spoil(name string) {
	c.t.Helper()
	require.NoError(c.t, c.store.Delete(c.t.Context(), name))
	require.NoError(c.t, c.store.Create(c.t.Context(), name, strings.NewReader("spoilt")))
}

// prune fails the test when it fails.
func (c *clocked) prune(o PruneOptions) *Pruned {
	c.t.Helper()
	p, err := c.Prune(c.t.Context(), o)
	require.NoError(c.t, err)
	return p
}

// take takes a snapshot of files, as a host does: those that the base has are
// reused.
func (c *clocked) take(w *Writer, base *Manifest, identities ...string) *Manifest {
	c.t.Helper()
	m, _ := c.begin(w, base, identities...)()
	return m
}

// begin begins a session and stores the files; the function that it returns
// commits and ends it.
func (c *clocked) begin(w *Writer, base *Manifest, identities ...string) func() (*Manifest, error) {
	c.t.Helper()
	s, err := w.Begin(c.t.Context(), uuid.Must(uuid.NewV7()).String())
	require.NoError(c.t, err)
	m := plain(s.intent.Session, w.catalog.database)
	if base != nil {
		m.Base = base.ID
	}
	for _, identity := range identities {
		m.Contents = append(m.Contents, c.keep(s, base, identity))
	}
	m.SumUp()
	return func() (*Manifest, error) {
		err := s.Commit(c.t.Context(), m)
		require.NoError(c.t, s.Close(c.t.Context(), err))
		return m, err
	}
}

func (c *clocked) keep(s *Session, base *Manifest, identity string) File {
	if base != nil {
		for _, f := range base.Contents {
			if f.Identity == identity {
				return file(identity, f.Object, true)
			}
		}
	}
	object := s.Mint()
	require.NoError(c.t, c.store.Create(c.t.Context(), object, strings.NewReader(content(identity))))
	f := file(identity, object, false)
	require.NoError(c.t, s.Note(c.t.Context(), Stored{Key: identity, Object: object, Size: f.Size, Stored: f.Size, Digest: f.Digest}))
	return f
}

// plain returns a manifest without files.
func plain(id, database string) *Manifest {
	return &Manifest{Summary: Summary{
		ID: id, Database: database, Kind: KindNative, Strategy: Strategy{Name: "incremental", ABI: "1.0"},
		Created: time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
	}}
}

// ids lists the snapshots.
func (c *clocked) ids() []string {
	c.t.Helper()
	ids := []string{}
	for s, err := range c.Snapshots(c.t.Context()) {
		require.NoError(c.t, err)
		ids = append(ids, s.ID)
	}
	return ids
}
