package catalog

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

// joined has a database join a group snapshot of two.
func joined(t testing.TB, store blob.Store, database, group string, timeout time.Duration) (*Membership, *Writer, error) {
	t.Helper()
	c, err := Open(t.Context(), store, database)
	require.NoError(t, err)
	part, err := c.Join(t.Context(), GroupPlan{Group: group, Members: []string{"orders", "users"}, TimeoutMs: timeout.Milliseconds(), Owner: owner})
	return part, acquire(t, c), err
}

// posts commits a member's snapshot and posts it, and does not wait for the others.
func posts(t testing.TB, part *Membership, w *Writer) *Manifest {
	t.Helper()
	m := manifest()
	m.Database, m.Group = w.catalog.database, part.plan.Group
	s, err := part.Begin(t.Context(), w, uuid.NewString(), "")
	require.NoError(t, err)
	m.ID = s.intent.Session
	require.NoError(t, s.Commit(t.Context(), m))
	require.NoError(t, part.post(t.Context(), m))
	return m
}

// TestLateMemberTakesNoSnapshot has one member be killed after it has posted, and the
// other be called long after the time is over, with nobody having looked meanwhile:
// its snapshot would be of another moment.
func TestLateMemberTakesNoSnapshot(t *testing.T) {
	store, root := repository(t)
	part, w, err := joined(t, store, "orders", "shop/1", time.Minute)
	require.NoError(t, err)
	posts(t, part, w)
	before := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(filepath.Join(root, filepath.FromSlash(planName("shop/1"))), before, before))

	_, _, err = joined(t, store, "users", "shop/1", time.Minute)
	require.ErrorIs(t, err, ErrGroupAborted)
	assert.ErrorContains(t, err, "users")
	_, err = part.Await(t.Context())
	require.ErrorIs(t, err, ErrGroupAborted)
}

// TestGroupsThatCrossAreNotTorn has two group snapshots be under way at a time, of
// which each database commits another one first. All prunes keep the same one.
func TestGroupsThatCrossAreNotTorn(t *testing.T) {
	store, _ := repository(t)
	take := func(database, id string) *Membership {
		part, w, err := joined(t, store, database, id, time.Minute)
		require.NoError(t, err)
		posts(t, part, w)
		return part
	}
	take("orders", "shop/1")
	for _, id := range []string{"shop/2", "shop/1"} {
		if id == "shop/2" {
			take("orders", id)
		}
		_, err := take("users", id).Await(t.Context())
		require.NoError(t, err)
	}
	for _, database := range []string{"orders", "users"} {
		c, err := Open(t.Context(), store, database)
		require.NoError(t, err)
		_, err = c.Prune(t.Context(), PruneOptions{Policy: Policy{Last: 1}, Owner: owner})
		require.NoError(t, err)
	}
	g, err := open(t, store).FindGroup(t.Context(), "shop", Latest)
	require.NoError(t, err, "no group is whole any more")
	assert.Equal(t, "2", g.ID)
}

// TestLatestGroupIsDamaged has the newest group snapshot be one of which an entry is
// damaged: no older one is given out in its place, and nobody says it was removed.
func TestLatestGroupIsDamaged(t *testing.T) {
	store, root := repository(t)
	var last *Manifest
	for _, id := range []string{"shop/1", "shop/2"} {
		orders, w, err := joined(t, store, "orders", id, time.Minute)
		require.NoError(t, err)
		last = posts(t, orders, w)
		users, w, err := joined(t, store, "users", id, time.Minute)
		require.NoError(t, err)
		posts(t, users, w)
		_, err = users.Await(t.Context())
		require.NoError(t, err)
		time.Sleep(10 * time.Millisecond)
	}
	c := open(t, store)
	g, err := c.FindGroup(t.Context(), "shop", Latest)
	require.NoError(t, err)
	require.Equal(t, "2", g.ID)

	path := entryFile(root, last.Slot)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	data[100] ^= 1
	overwrite(t, path, data)
	c = open(t, store)
	_, err = c.FindGroup(t.Context(), "shop", Latest)
	require.ErrorIs(t, err, ErrDamaged)
	g, err = c.FindGroup(t.Context(), "shop", "1")
	require.NoError(t, err)
	require.True(t, g.Whole())
	_, err = c.FindGroup(t.Context(), "shop", "2")
	require.ErrorIs(t, err, ErrDamaged)
}
