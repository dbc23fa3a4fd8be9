package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// seen checks a history against what was seen of it before.
func seen(t *testing.T, c *Catalog, head Head) (errs []error) {
	t.Helper()
	for _, err := range c.Check(t.Context(), head) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func TestHeadFindsARollback(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	empty, err := newClocked(t).Head(t.Context())
	require.NoError(t, err)
	assert.Zero(t, empty)
	c.take(w, nil, "a")
	c.take(w, nil, "b")
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, 3, head.Slot)
	assert.Empty(t, seen(t, c.Catalog, head))

	require.NoError(t, c.store.Delete(t.Context(), entryName("orders", 3)))
	assert.Empty(t, seen(t, c.Catalog, Head{}), "the history by itself is sound")
	errs := seen(t, c.Catalog, head)
	require.Len(t, errs, 1)
	assert.ErrorIs(t, errs[0], ErrDamaged)
	assert.ErrorContains(t, errs[0], "rolled back")

	next := acquire(t, c.Catalog) // goes on from there
	errs = seen(t, c.Catalog, head)
	require.Len(t, errs, 1)
	assert.ErrorContains(t, errs[0], "another entry was there before")
	c.take(next, nil, "c")
	c.take(next, nil, "d")
	c.prune(PruneOptions{Policy: Policy{Last: 1}})
	assert.Empty(t, seen(t, c.Catalog, Head{}))
}

func TestHeadOfWhatIsRemoved(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	c.take(w, nil, "a")
	head, err := c.Head(t.Context())
	require.NoError(t, err)
	c.take(w, nil, "b")
	c.prune(PruneOptions{Policy: Policy{Last: 1}, Grace: time.Hour})
	assert.Empty(t, seen(t, c.Catalog, head))
	c.now = c.now.Add(time.Hour)
	c.prune(PruneOptions{Policy: Policy{Last: 1}, Grace: time.Hour})
	require.NotContains(t, c.names(""), entryName("orders", head.Slot))
	assert.Empty(t, seen(t, c.Catalog, head))
}

func TestCheckPassesOverWhatIsRemoved(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	c.take(w, nil, "a")
	c.take(w, nil, "b")
	c.prune(PruneOptions{Policy: Policy{Last: 1}, Grace: time.Hour})
	c.spoil(entryName("orders", 2))
	sound, errs := check(t, c.Catalog)
	assert.Equal(t, 1, sound)
	assert.Empty(t, errs)

	require.NoError(t, c.store.Delete(t.Context(), entryName("orders", 1)))
	_, errs = check(t, c.Catalog)
	require.Len(t, errs, 1, "nobody has removed that one")
	assert.ErrorContains(t, errs[0], entryName("orders", 1))
}
