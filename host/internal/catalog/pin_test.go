package catalog

import (
	"errors"
	"io/fs"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/mem"
)

// pair takes two snapshots that share nothing.
func pair(c *clocked) (first, second *Manifest) {
	c.t.Helper()
	w := acquire(c.t, c.Catalog)
	return c.take(w, nil, "a"), c.take(w, nil, "b")
}

func TestPins(t *testing.T) {
	c := newClocked(t)
	first, second := pair(c)
	one, err := c.Pin(t.Context(), &first.Summary, "audit", owner)
	require.NoError(t, err)
	two, err := c.Pin(t.Context(), &first.Summary, "", owner)
	require.NoError(t, err)
	_, err = c.Pin(t.Context(), &second.Summary, "", owner)
	require.NoError(t, err)
	var found []Pin
	for p, err := range c.Pins(t.Context()) {
		require.NoError(t, err)
		if p.Snapshot == first.ID {
			found = append(found, p)
		}
	}
	assert.ElementsMatch(t, []Pin{one, two}, found)

	c.spoil(c.pinName(one))
	damaged := 0
	for _, err := range c.Pins(t.Context()) {
		if errors.Is(err, ErrDamaged) {
			damaged++
		}
	}
	assert.Equal(t, 1, damaged)
	n, err := c.Unpin(t.Context(), first.ID)
	require.NoError(t, err)
	assert.Equal(t, 2, n, "the damaged one too")
	n, err = c.Unpin(t.Context(), first.ID)
	require.NoError(t, err)
	assert.Zero(t, n)
	assert.Len(t, c.names("db/orders/pins/"), 1)
	_, err = c.Unpin(t.Context(), "00000000-0000-7000-8000-000000000000")
	assert.ErrorIs(t, err, fs.ErrNotExist)
}

func TestAPinThatComesTooLate(t *testing.T) {
	c := newClocked(t)
	first, _ := pair(c)
	c.prune(PruneOptions{Policy: Policy{Last: 1}, Grace: time.Hour})
	_, err := c.Pin(t.Context(), &first.Summary, "", owner)
	assert.ErrorIs(t, err, ErrRemoved)
	release, err := c.Hold(t.Context(), &first.Summary, "restore", owner)
	assert.ErrorIs(t, err, ErrRemoved)
	release()
	assert.Empty(t, c.names("db/orders/pins/"))
}

// TestAPinThatPruneHasNotSeen: it came between the judgement and the declaration, so
// the removal is taken back, in this run.
func TestAPinThatPruneHasNotSeen(t *testing.T) {
	c := newClocked(t)
	first, second := pair(c)
	store := &asleep{Store: c.store, meanwhile: func() {
		_, err := c.Pin(t.Context(), &first.Summary, "", owner)
		require.NoError(t, err)
	}}
	p, err := (&Catalog{store: store, database: "orders"}).Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}})
	require.NoError(t, err)
	assert.Zero(t, p.Objects)
	assert.Equal(t, []string{first.ID, second.ID}, c.ids())
}

// TestAPinThatAKilledPruneHasNotSeen is in no list until the next prune.
func TestAPinThatAKilledPruneHasNotSeen(t *testing.T) {
	c := newClocked(t)
	first, second := pair(c)
	killed := false
	store := blob.Faulty(c.store, func(call blob.Call) blob.Fault {
		if killed {
			return blob.Fault{Mode: blob.Fail}
		}
		if killed = call.Verb == blob.VerbCreate && IsEntry(call.Name); killed {
			_, err := c.Pin(t.Context(), &first.Summary, "", owner)
			require.NoError(t, err)
		}
		return blob.Fault{}
	})
	_, err := (&Catalog{store: store, database: "orders"}).Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}})
	require.Error(t, err)
	require.Equal(t, []string{second.ID}, c.ids())
	p := c.prune(PruneOptions{Policy: Policy{Last: 1}})
	require.Len(t, p.Verdicts, 2)
	assert.Equal(t, []string{first.ID, second.ID}, c.ids())
}

// TestHoldIsRenewed: as long as it is held, no sweep takes its reader for dead.
func TestHoldIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClocked(t)
		begin, now := time.Now(), c.now
		c.store = mem.New(mem.WithClock(func() time.Time { return now.Add(time.Since(begin)) }))
		c.Catalog = &Catalog{store: c.store, database: "orders"}
		first, _ := pair(c)
		release, err := c.Hold(t.Context(), &first.Summary, "restore", owner)
		require.NoError(t, err)
		for range 30 {
			time.Sleep(readerEvery)
			synctest.Wait()
			assert.Len(t, c.names("db/orders/pins/reader-"), 1)
			p := c.prune(PruneOptions{Policy: Policy{Last: 1}})
			assert.Zero(t, p.Objects)
		}
		release()
		assert.Empty(t, c.names("db/orders/pins/"))
		assert.Equal(t, 1, c.prune(PruneOptions{Policy: Policy{Last: 1}}).Objects)
	})
}

// TestAReaderThatDied keeps nothing for longer than an hour of the store's clock.
func TestAReaderThatDied(t *testing.T) {
	c := newClocked(t)
	first, _ := pair(c)
	_, err := c.putPin(t.Context(), Pin{ID: "00000000-0000-7000-8000-000000000000", Kind: readerPin, Snapshot: first.ID, Slot: first.Slot})
	require.NoError(t, err)
	c.spoil(c.names("db/orders/pins/")[0]) // nobody has to read it
	o := PruneOptions{Policy: Policy{Last: 1}}
	assert.Zero(t, c.prune(o).Objects)
	c.now = c.now.Add(readerAge - time.Second)
	assert.Zero(t, c.prune(o).Objects)
	assert.NotEmpty(t, c.names("db/orders/pins/"))
	c.now = c.now.Add(time.Second)
	assert.Equal(t, 1, c.prune(o).Objects)
	assert.Empty(t, c.names("db/orders/pins/"))
}

// TestHoldWithoutWriting: in a store that cannot be written, reading goes on.
func TestHoldWithoutWriting(t *testing.T) {
	c := newClocked(t)
	first, _ := pair(c)
	refusing := blob.Faulty(c.store, func(call blob.Call) blob.Fault {
		if call.Verb == blob.VerbCreate {
			return blob.Fault{Mode: blob.Fail, Err: fs.ErrPermission}
		}
		return blob.Fault{}
	})
	release, err := (&Catalog{store: refusing, database: "orders"}).Hold(t.Context(), &first.Summary, "", owner)
	assert.ErrorIs(t, err, fs.ErrPermission)
	release()
}
