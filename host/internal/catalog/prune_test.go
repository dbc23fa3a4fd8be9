package catalog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

func TestPruneInTwoPhases(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	first := c.take(w, nil, "a", "b")
	second := c.take(w, first, "b", "c")
	objects := c.names("objects/")
	require.Len(t, objects, 3)
	c.now = c.now.Add(10 * time.Hour) // they are old, their removal will not be

	o := PruneOptions{Policy: Policy{Last: 1}, Grace: time.Hour}
	p := c.prune(o)
	require.Len(t, p.Verdicts, 2)
	assert.False(t, p.Verdicts[0].Keep)
	assert.Equal(t, []string{second.ID}, c.ids(), "it is in no list from now on")
	assert.Equal(t, objects, c.names("objects/"), "its objects wait for the grace")
	assert.Equal(t, Swept{ObjectsLater: 1, BytesLater: first.Contents[0].Size, FreeAt: c.now.Add(time.Hour)}, p.Swept)

	c.now = c.now.Add(time.Hour)
	p = c.prune(o)
	assert.Equal(t, Swept{Objects: 1, Bytes: first.Contents[0].Size}, p.Swept)
	assert.NotContains(t, c.names("objects/"), first.Contents[0].Object)
	assert.Contains(t, c.names("objects/"), first.Contents[1].Object, "the second snapshot refers to it")
	_, err := c.Manifest(t.Context(), first.Slot)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	sound, errs := check(t, c.Catalog)
	assert.Equal(t, 1, sound)
	assert.Empty(t, errs)
}

func TestPruneWithoutGraceDeletesAtOnce(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	first := c.take(w, nil, "a")
	c.take(w, nil, "a")
	p := c.prune(PruneOptions{Remove: []string{first.ID}})
	assert.Equal(t, 1, p.Objects)
	assert.Equal(t, []string{"removed by name"}, p.Verdicts[0].Reasons)
}

func TestPruneLeavesTheEndOfTheCatalog(t *testing.T) {
	c := newClocked(t)
	var all []string
	for range 3 {
		w := acquire(t, c.Catalog)
		all = append(all, c.take(w, nil, "a").ID)
	}
	for range 2 {
		c.prune(PruneOptions{Remove: all})
		all = nil
		c.prune(PruneOptions{Sweep: true})
	}
	assert.Empty(t, c.ids())
	assert.Empty(t, c.names("objects/"))
	left := c.names(entriesPrefix("orders"))
	s, err := c.survey(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 5, s.epoch(), "the largest epoch")
	assert.NotNil(t, s.heads[len(s.heads)-1].entry.removal, "the newest removal, which is the last entry")
	assert.Less(t, len(left), 8)
	assert.Greater(t, commit(t, acquire(t, c.Catalog)).Slot, s.heads[len(s.heads)-1].slot+1, "slots go on growing")
}

func TestEmptyPolicyRemovesNothing(t *testing.T) {
	c := newClocked(t)
	old := acquire(t, c.Catalog)
	c.take(old, nil, "a")
	c.begin(old, nil, "left over")
	c.take(acquire(t, c.Catalog), nil, "b")
	before := c.names("")
	c.now = c.now.Add(1000 * time.Hour)
	p := c.prune(PruneOptions{})
	assert.Equal(t, before, c.names(""))
	for _, v := range p.Verdicts {
		assert.True(t, v.Keep)
	}
	assert.Equal(t, 1, c.prune(PruneOptions{Sweep: true}).Objects, "unless it is told to sweep")
	assert.Len(t, c.ids(), 2)
}

func TestPinnedIsExempt(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	first := c.take(w, nil, "a")
	c.take(w, nil, "b")
	_, err := c.Pin(t.Context(), &first.Summary, "audit", owner)
	require.NoError(t, err)

	p := c.prune(PruneOptions{Policy: Policy{Last: 1}})
	assert.Equal(t, []string{"pinned: audit"}, p.Verdicts[0].Reasons)
	assert.Len(t, c.ids(), 2)
	_, err = c.Prune(t.Context(), PruneOptions{Remove: []string{first.ID}})
	assert.ErrorIs(t, err, ErrPinned)

	n, err := c.Unpin(t.Context(), first.ID)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	c.prune(PruneOptions{Policy: Policy{Last: 1}})
	assert.Len(t, c.ids(), 1)
	_, err = c.Prune(t.Context(), PruneOptions{Remove: []string{first.ID}})
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

// TestGraceIsOfTheStoresClock: the host of the test has the clock of the test run,
// which is hours or years away from that of the store, either way.
func TestGraceIsOfTheStoresClock(t *testing.T) {
	for name, offset := range map[string]time.Duration{"ahead": 5 * time.Hour, "behind": -5 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			c := newClocked(t)
			c.now = time.Now().Add(offset)
			w := acquire(t, c.Catalog)
			c.take(w, nil, "a")
			c.take(w, nil, "b")
			o := PruneOptions{Policy: Policy{Last: 1}, Grace: time.Hour}
			assert.Zero(t, c.prune(o).Objects)
			c.now = c.now.Add(59 * time.Minute)
			assert.Zero(t, c.prune(o).Objects)
			c.now = c.now.Add(time.Minute)
			assert.Equal(t, 1, c.prune(o).Objects)
		})
	}
}

func TestDryRunChangesNothingAndForetells(t *testing.T) {
	for _, grace := range []time.Duration{0, time.Hour} {
		c := newClocked(t)
		c.now = time.Now() // a dry run does not ask the store for its time
		w := acquire(t, c.Catalog)
		first := c.take(w, nil, "a", "b")
		c.take(w, first, "b", "c")
		c.begin(w, nil, "under way")
		last := acquire(t, c.Catalog)
		c.take(last, nil, "d")
		c.begin(last, nil, "under way as well")
		c.now = c.now.Add(-2 * time.Hour)
		o := PruneOptions{Policy: Policy{Last: 1}, Grace: grace}
		dry := o
		dry.DryRun = true

		before := c.names("")
		foretold := c.prune(dry)
		assert.Equal(t, before, c.names(""))
		c.now = time.Now()
		done := c.prune(o)
		assert.WithinDuration(t, done.FreeAt, foretold.FreeAt, time.Minute)
		foretold.FreeAt = done.FreeAt
		assert.Equal(t, done, foretold)
		assert.NotZero(t, done.Objects+done.ObjectsLater)
		c.prune(dry)
	}
}

func TestSweepLooksAtAllDatabases(t *testing.T) {
	c := newClocked(t)
	other := *c
	other.Catalog = &Catalog{store: c.store, database: "users"}
	theirs := acquire(t, other.Catalog)
	kept := other.take(theirs, nil, "a")
	finish := other.begin(theirs, nil, "b")
	dead := acquire(t, c.Catalog)
	c.begin(dead, nil, "left over")
	c.take(acquire(t, c.Catalog), nil, "c")

	c.now = c.now.Add(time.Hour)
	p := c.prune(PruneOptions{Sweep: true})
	assert.Equal(t, 1, p.Objects)
	require.Len(t, p.Held, 1)
	assert.Contains(t, p.Held[0], "of users")
	m, err := finish()
	require.NoError(t, err)
	for _, s := range []*Manifest{kept, m} {
		_, err := c.store.Stat(t.Context(), s.Contents[0].Object)
		assert.NoError(t, err)
	}
	assert.Len(t, other.ids(), 2)
}

// TestDamageStopsDeletion: while nobody knows what a document refers to, every
// object stays.
func TestDamageStopsDeletion(t *testing.T) {
	var newest *Manifest
	for what, name := range map[string]func(*clocked) string{
		"manifest": func(c *clocked) string { return entryName("orders", newest.Slot) },
		"intent":   func(c *clocked) string { return c.names("db/orders/intents/")[0] },
		"pin":      func(c *clocked) string { return c.names("db/orders/pins/")[0] },
	} {
		t.Run(what, func(t *testing.T) {
			c := newClocked(t)
			w := acquire(t, c.Catalog)
			c.take(w, nil, "a")
			second := c.take(w, nil, "b")
			newest = c.take(w, nil, "c")
			c.begin(w, nil, "under way")
			_, err := c.Pin(t.Context(), &second.Summary, "", owner)
			require.NoError(t, err)
			c.spoil(name(c))
			damaged := name(c)

			before := c.names("objects/")
			p, err := c.Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}})
			err = errors.Join(append(p.Damaged, err)...)
			assert.ErrorIs(t, err, ErrDamaged)
			assert.ErrorContains(t, err, damaged)
			assert.Equal(t, before, c.names("objects/"))
		})
	}
}

func TestDamagedEntryIsGivenUpByName(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	c.take(w, nil, "a")
	bad := c.take(w, nil, "b")
	good := c.take(w, nil, "c")
	name := entryName("orders", bad.Slot)
	c.spoil(name)
	p := c.prune(PruneOptions{Remove: []string{name}, Policy: Policy{Last: 1}})
	assert.Empty(t, p.Damaged)
	assert.Equal(t, 2, p.Objects)
	assert.Equal(t, []string{good.ID}, c.ids())
	_, err := c.Prune(t.Context(), PruneOptions{Remove: []string{entryName("orders", good.Slot)}})
	assert.ErrorIs(t, err, fs.ErrNotExist, "it is sound, and has an id")
}

// TestWhatMayBeARemovalIsNotForgotten: a prune that cannot read an entry, which may
// be the newest removal, must not publish one that does not repeat it.
func TestWhatMayBeARemovalIsNotForgotten(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	c.take(w, nil, "a")
	c.take(w, nil, "b")
	c.prune(PruneOptions{Policy: Policy{Last: 1}, Grace: time.Hour})
	c.take(w, nil, "c")
	before := c.names(entriesPrefix("orders"))
	o := PruneOptions{Policy: Policy{Last: 1}, Grace: time.Hour}

	broken := open(t, blob.Faulty(c.withFormat(), func(call blob.Call) blob.Fault {
		if call.Verb == blob.VerbOpen && call.Name == entryName("orders", 4) {
			return blob.Fault{Mode: blob.Fail}
		}
		return blob.Fault{}
	}))
	_, err := broken.Prune(t.Context(), o)
	assert.ErrorIs(t, err, blob.ErrFault)
	c.spoil(entryName("orders", 4))
	p := c.prune(o)
	assert.NotEmpty(t, p.Damaged)
	assert.Equal(t, before, c.names(entriesPrefix("orders")))
}

// withFormat makes a repository of the store.
func (c *clocked) withFormat() blob.Store {
	_, err := Init(c.t.Context(), c.store, Format{})
	require.NoError(c.t, err)
	return c.store
}

// asleep is a store that runs something before a create of an entry goes on: its
// user is suspended there.
type asleep struct {
	blob.Store
	meanwhile func()
}

func (a *asleep) Create(ctx context.Context, name string, r io.Reader) error {
	body, err := io.ReadAll(r)
	if a.meanwhile != nil && IsEntry(name) {
		do := a.meanwhile
		a.meanwhile = nil
		do()
	}
	return errors.Join(err, a.Store.Create(ctx, name, bytes.NewReader(body)))
}

// TestZombiesInAPrunedSlot: somebody has read that slot 4 is free and is suspended.
// Others fill it and more, and prune empties it again. The create then succeeds, and
// must be of no account.
func TestZombiesInAPrunedSlot(t *testing.T) {
	for name, zombie := range map[string]struct {
		begin func(*testing.T, *Catalog) func() error
		err   error
	}{
		"a writer": {func(t *testing.T, c *Catalog) func() error {
			w := acquire(t, c)
			return func() error { return w.commit(t.Context(), manifest()) }
		}, ErrFenced},
		"who wants to be one": {func(t *testing.T, c *Catalog) func() error {
			return func() error { _, err := c.Acquire(t.Context(), owner); return err }
		}, nil},
		"a prune": {func(t *testing.T, c *Catalog) func() error {
			return func() error { _, err := c.Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}}); return err }
		}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClocked(t)
			w := acquire(t, c.Catalog)
			c.take(w, nil, "a")
			c.take(w, nil, "b")
			store := &asleep{Store: c.store}
			act := zombie.begin(t, &Catalog{store: store, database: "orders"})
			var slot uint64
			store.meanwhile = func() {
				slot = c.end() + 1
				w := acquire(t, c.Catalog)
				for range 2 {
					c.take(w, nil, "c")
					w = acquire(t, c.Catalog)
					c.prune(PruneOptions{Policy: Policy{Last: 1}})
				}
				require.NotContains(t, c.names(entriesPrefix("orders")), entryName("orders", slot), "it is free again")
			}
			before, end := []string(nil), uint64(0)
			sleep := store.meanwhile
			store.meanwhile = func() { sleep(); before, end = c.ids(), c.end() }
			err := act()
			if name == "a prune" { // it looks again, and sweeps its own void entry
				require.NoError(t, err)
			} else {
				assert.Contains(t, c.names(entriesPrefix("orders")), entryName("orders", slot), "the create succeeds")
				require.Error(t, err)
				assert.NotErrorIs(t, err, blob.ErrUnknownOutcome)
				assert.Equal(t, end, c.end())
			}
			if zombie.err != nil {
				assert.ErrorIs(t, err, zombie.err)
			}
			assert.Equal(t, before, c.ids())
			_, errs := check(t, c.Catalog)
			assert.Empty(t, errs, "it is no damage either")
			c.take(acquire(t, c.Catalog), nil, "d")
			c.prune(PruneOptions{Policy: Policy{Last: 1}})
			c.prune(PruneOptions{Policy: Policy{Last: 1}})
			assert.NotContains(t, c.names(entriesPrefix("orders")), entryName("orders", slot), "and is swept")
		})
	}
}

// end returns the last slot.
func (c *clocked) end() uint64 {
	c.t.Helper()
	names := c.names(entriesPrefix("orders"))
	slot, ok := parseSlot(strings.TrimPrefix(names[len(names)-1], entriesPrefix("orders")))
	require.True(c.t, ok)
	return slot
}

// TestVoidEpochFencesNobody: a zombie's epoch in a slot that was pruned is larger
// than that of the writer, and means nothing.
func TestVoidEpochFencesNobody(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	c.take(w, nil, "a")
	idle := &Writer{catalog: w.catalog, epoch: w.epoch, tail: w.tail} // has read no further than this
	store := &asleep{Store: c.store}
	store.meanwhile = func() {
		c.take(w, nil, "b")
		c.take(w, nil, "c")
		c.prune(PruneOptions{Policy: Policy{Last: 1}})
	}
	_, err := (&Catalog{store: store, database: "orders"}).Acquire(t.Context(), owner)
	require.ErrorContains(t, err, "was removed before it was taken")
	assert.NoError(t, idle.commit(t.Context(), manifest()))

	finish := c.begin(w, nil, "d")
	c.now = c.now.Add(time.Hour)
	c.prune(PruneOptions{Sweep: true})
	m, err := finish()
	require.NoError(t, err)
	_, err = c.store.Stat(t.Context(), m.Contents[0].Object)
	assert.NoError(t, err, "nor is a session dead because of it")
	_, errs := check(t, c.Catalog)
	assert.Empty(t, errs)
}
