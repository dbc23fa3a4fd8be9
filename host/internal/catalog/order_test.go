package catalog

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOrderPlacesCopiesByDate(t *testing.T) {
	day := func(d int) time.Time { return time.Date(2026, 11, d, 0, 0, 0, 0, time.UTC) }
	list := []Summary{
		{ID: "copied later", Slot: 6, Created: day(2), Copied: true},
		{ID: "clock back", Slot: 3, Created: day(1)},
		{ID: "first", Slot: 2, Created: day(3)},
		{ID: "last", Slot: 5, Created: day(9)},
		{ID: "copied new", Slot: 4, Created: day(12), Copied: true},
	}
	Order(list)
	var ids []string
	for _, s := range list {
		ids = append(ids, s.ID)
	}
	assert.Equal(t, []string{"copied later", "first", "clock back", "last", "copied new"}, ids)
}

func TestLatestIsNotWhatWasCopiedLast(t *testing.T) {
	store, _ := repository(t)
	c := open(t, store)
	w := acquire(t, c)
	mine := commit(t, w)
	old := manifest()
	old.ID, old.Copied, old.Created = "0190f3a2-7f5e-7c31-8d6b-1f2e3d4c5b6a", true, mine.Created.Add(-time.Hour)
	require.NoError(t, w.commit(t.Context(), old))
	found, err := c.Find(t.Context(), Latest)
	require.NoError(t, err)
	assert.Equal(t, mine.ID, found.ID)
	verdicts := Policy{Last: 1}.Apply([]Summary{mine.Summary, old.Summary}, nil, mine.Created)
	assert.False(t, verdicts[0].Keep)
	assert.Equal(t, mine.ID, verdicts[1].Snapshot.ID)
	assert.True(t, verdicts[1].Keep)
}
