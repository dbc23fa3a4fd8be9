package catalogtest

import (
	"bytes"
	"cmp"
	"maps"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// snapshots is how many there are: 200, or as many as ROCKSNAP_TEST_SNAPSHOTS says.
func snapshots(t *testing.T) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("ROCKSNAP_TEST_SNAPSHOTS"), "200"))
	require.NoError(t, err)
	return n
}

// counted is a store that counts what is asked of it.
type counted struct {
	blob.Store
	mu    sync.Mutex
	verbs map[blob.Verb]int
}

func count(s blob.Store) *counted {
	c := &counted{verbs: make(map[blob.Verb]int)}
	c.Store = blob.Observe(s, func(op blob.Op) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.verbs[op.Verb]++
	})
	return c
}

// since returns what was counted since it was called last.
func (c *counted) since() map[blob.Verb]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer clear(c.verbs)
	return maps.Clone(c.verbs)
}

// shelf is one in memory.
type shelf struct{ data []byte }

func (s *shelf) shelf() catalog.Shelf {
	return catalog.Shelf{
		Load: func() ([]byte, error) { return s.data, nil },
		Save: func(data []byte) error { s.data = data; return nil },
	}
}

func open(t *testing.T, store blob.Store, kept *shelf) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(t.Context(), store, "orders")
	require.NoError(t, err)
	c.Remember(kept.shelf())
	return c
}

func list(t *testing.T, c *catalog.Catalog) (all []catalog.Summary) {
	t.Helper()
	for s, err := range c.Snapshots(t.Context()) {
		require.NoError(t, err)
		all = append(all, s)
	}
	return all
}

func filled(t *testing.T, s Shape) blob.Store {
	t.Helper()
	store, err := dir.Create(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, Fill(t.Context(), store, "orders", s))
	return store
}

// TestFill finds in a catalog what its shape says, and nothing wrong with it.
func TestFill(t *testing.T) {
	s := Shape{Snapshots: 30, Files: 10, New: 3}
	store := filled(t, s)
	c := open(t, store, &shelf{})
	sound := 0
	for m, err := range c.Check(t.Context(), catalog.Head{}) {
		require.NoError(t, err)
		require.Len(t, m.Contents, s.Files)
		for _, f := range m.Contents {
			info, err := store.Stat(t.Context(), f.Object)
			require.NoError(t, err)
			require.Equal(t, f.Size, info.Size)
		}
		sound++
	}
	assert.Equal(t, s.Snapshots, sound)
	all := list(t, c)
	assert.EqualValues(t, s.New*16, all[s.Snapshots-1].BytesNew)
	assert.Equal(t, time.Hour, all[1].Created.Sub(all[0].Created))
}

// TestRequests says what a long catalog costs: the first list reads every entry, the
// next ones, in another process too, those only that are new; and what concerns the
// newest snapshot does not depend on how many there are.
func TestRequests(t *testing.T) {
	n := snapshots(t)
	store, kept := count(filled(t, Shape{Snapshots: n, Files: 10, New: 1})), &shelf{}
	read := func(c *catalog.Catalog, most int, what string, do func(*catalog.Catalog)) {
		t.Helper()
		store.since()
		began := time.Now()
		do(c)
		took := time.Since(began)
		got := store.since()[blob.VerbOpen]
		assert.LessOrEqual(t, got, most, what)
		t.Logf("%d snapshots, %s: %d reads, %v", n, what, got, took)
	}
	listAll := func(c *catalog.Catalog) { require.Len(t, list(t, c), n) }
	latest := func(c *catalog.Catalog) {
		m, err := c.Find(t.Context(), catalog.Latest)
		require.NoError(t, err)
		release, err := c.Hold(t.Context(), &m.Summary, "", catalog.Owner{})
		require.NoError(t, err)
		release()
	}
	plan := func(c *catalog.Catalog) {
		p, err := c.Prune(t.Context(), catalog.PruneOptions{DryRun: true, Policy: catalog.Policy{Last: n / 2}})
		require.NoError(t, err)
		require.Len(t, p.Verdicts, n)
	}
	read(open(t, store, &shelf{}), 2, "latest and hold", latest)
	c := open(t, store, kept)
	read(c, n+1, "first list", listAll)
	read(c, 0, "list", listAll)
	read(open(t, store, kept), 0, "list by another process", listAll)
	read(open(t, store, kept), n+2, "plan of a prune", plan)
	read(open(t, store, kept), 2, "second plan", plan)
	oldest := list(t, c)[0]
	read(open(t, store, kept), 0, "hold of the oldest", func(c *catalog.Catalog) {
		release, err := c.Hold(t.Context(), &oldest, "", catalog.Owner{})
		require.NoError(t, err)
		release()
	})
}

// What a plan says is what the prune then does, although it reads less.
func TestPlanIsWhatPruneDoes(t *testing.T) {
	store := filled(t, Shape{Snapshots: 40, Files: 10, New: 2})
	o := catalog.PruneOptions{Policy: catalog.Policy{Last: 3, Daily: 2}}
	o.DryRun = true
	plan, err := open(t, store, &shelf{}).Prune(t.Context(), o)
	require.NoError(t, err)
	o.DryRun = false
	done, err := open(t, store, &shelf{}).Prune(t.Context(), o)
	require.NoError(t, err)
	assert.Positive(t, done.Objects)
	assert.Equal(t, plan.Swept, done.Swept)
	for i := range done.Verdicts {
		assert.Equal(t, plan.Verdicts[i].Keep, done.Verdicts[i].Keep)
	}
}

// A shelf can make nothing true: whatever it holds, the list is that of the store.
func TestSpoiltShelf(t *testing.T) {
	store := filled(t, Shape{Snapshots: 120, Files: 2, New: 1})
	kept := &shelf{}
	want := list(t, open(t, store, kept))
	require.NotEmpty(t, kept.data)
	whole := kept.data
	for at := 0; at < len(whole); at += 4999 {
		bad := append([]byte(nil), whole...)
		bad[at] ^= 0x10
		for _, data := range [][]byte{bad, whole[:at]} {
			require.Equal(t, want, list(t, open(t, store, &shelf{data})), at)
		}
	}
	other := filled(t, Shape{Snapshots: 120, Files: 2, New: 1}) // the same slots and sizes
	foreign := list(t, open(t, other, &shelf{}))
	require.Equal(t, foreign, list(t, open(t, other, &shelf{whole})))
}

// An entry that is gone, or another, is not remembered.
func TestShelfFollowsTheStore(t *testing.T) {
	store := filled(t, Shape{Snapshots: 120, Files: 2, New: 1})
	kept := &shelf{}
	c := open(t, store, kept)
	want := list(t, c)
	var names []string
	for info, err := range store.List(t.Context(), "db/orders/entries/", "") {
		require.NoError(t, err)
		names = append(names, info.Name)
	}
	require.NoError(t, store.Delete(t.Context(), names[5]))
	require.NoError(t, replace(t, store, names[7]))
	for _, c := range []*catalog.Catalog{c, open(t, store, kept)} {
		var left []catalog.Summary
		damaged := 0
		for s, err := range c.Snapshots(t.Context()) {
			if err != nil {
				require.ErrorIs(t, err, catalog.ErrDamaged)
				damaged++
				continue
			}
			left = append(left, s)
		}
		assert.Equal(t, 1, damaged)
		assert.Len(t, left, len(want)-2)
	}
}

// replace puts as many other bytes in the place of an object.
func replace(t *testing.T, store blob.Store, name string) error {
	info, err := store.Stat(t.Context(), name)
	require.NoError(t, err)
	require.NoError(t, store.Delete(t.Context(), name))
	return store.Create(t.Context(), name, bytes.NewReader(make([]byte, info.Size)))
}
