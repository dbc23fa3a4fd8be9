package catalog

import (
	"cmp"
	"slices"
	"time"
)

// Order sorts the snapshots of one database from old to new: by their slots, as
// clocks jump and slots do not. A snapshot that was copied from another repository
// has its slot from the copy, perhaps years later, so it is placed by its date.
func Order(list []Summary) {
	slices.SortFunc(list, func(a, b Summary) int { return cmp.Compare(a.Slot, b.Slot) })
	when := make(map[uint64]time.Time, len(list)) // by slot; it never goes back among those that were taken here
	var latest time.Time
	for i := range list {
		s := &list[i]
		if !s.Copied && s.Created.After(latest) {
			latest = s.Created
		}
		when[s.Slot] = latest
		if s.Copied {
			when[s.Slot] = s.Created
		}
	}
	slices.SortStableFunc(list, func(a, b Summary) int { return when[a.Slot].Compare(when[b.Slot]) })
}
