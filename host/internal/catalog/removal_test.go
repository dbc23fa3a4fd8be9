package catalog

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func never(uint64) bool { return false }
func TestRemovedSlotsAreASet(t *testing.T) {
	s := slots(nil).add(9, 3, 2, 7, 3)
	assert.Equal(t, slots{{2, 3, 9, false}, {7, 7, 9, false}}, s)
	for slot, want := range map[uint64]bool{1: false, 2: true, 3: true, 4: false, 7: true, 8: false} {
		assert.Equal(t, want, s.has(slot), "slot %d", slot)
	}
	s = s.add(12, 3, 4, 1)
	assert.Equal(t, slots{{1, 1, 12, false}, {2, 3, 9, false}, {4, 4, 12, false}, {7, 7, 9, false}}, s,
		"who declared a slot first stays its remover")
}

func TestSettledSlots(t *testing.T) {
	s := slots{{1, 2, 9, true}, {3, 5, 9, false}, {7, 7, 12, false}}
	pinned := map[uint64]bool{1: true, 4: true}
	assert.Equal(t, slots{{1, 2, 9, true}, {3, 3, 9, false}, {5, 5, 9, false}, {7, 7, 12, false}}, s.settled(pinned, never),
		"a pin takes back what is not final")
	assert.Equal(t, slots{{1, 5, 9, true}, {7, 7, 12, false}}, s.settled(nil, func(by uint64) bool { return by == 9 }),
		"what is ripe is final, and runs join")
	assert.Equal(t, s, slots{{1, 2, 9, true}, {3, 5, 9, false}, {7, 7, 12, false}}, "the set itself does not change")
}

func TestSpentRunsJoin(t *testing.T) {
	s := slots{{1, 2, 5, true}, {3, 3, 9, true}, {4, 4, 9, false}, {6, 6, 9, true}}
	assert.Equal(t, slots{{1, 3, 20, true}, {4, 4, 9, false}, {6, 6, 9, true}}, s.spent(map[uint64]bool{6: true}, 20))
}

func TestRemovalsInDisorderAreDamage(t *testing.T) {
	for name, s := range map[string]slots{
		"slot 0":        {{0, 1, 9, false}},
		"backwards":     {{3, 2, 9, false}},
		"overlap":       {{1, 3, 9, false}, {3, 4, 9, false}},
		"out of order":  {{5, 5, 9, false}, {1, 1, 9, false}},
		"by itself":     {{9, 9, 9, false}},
		"by the future": {{1, 1, 21, false}},
	} {
		head, err := encodeHead(&removal{Version: FormatVersion, Slot: 20, Database: "orders", Removed: s})
		require.NoError(t, err)
		_, err = decodeEntry(sealEntry(typeRemoval, head, nil))
		assert.ErrorContains(t, err, "out of order", name)
	}
}

func TestRemovalsRepeatEachOther(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	var newest []slots
	for range 3 {
		c.take(w, nil, "a")
		c.take(w, nil, "b")
		c.prune(PruneOptions{Policy: Policy{Last: 1}})
		s, err := c.survey(t.Context())
		require.NoError(t, err)
		newest = append(newest, s.declared)
	}
	for _, before := range newest[:2] {
		for _, r := range before {
			for slot := r.First; slot <= r.Last; slot++ {
				assert.True(t, newest[2].has(slot), "slot %d", slot)
			}
		}
	}
	assert.Len(t, newest[2], 2, "what is spent has joined: %v", newest[2])
	assert.Len(t, c.ids(), 1)
}
