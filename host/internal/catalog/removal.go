package catalog

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// removal is the document of a removal entry. It declares entries removed: readers
// pass over them from now on, whether or not they are still there. It repeats what
// the removals before it have declared, so that the newest one says everything.
type removal struct {
	Version  int       `json:"version"`
	Slot     uint64    `json:"removal"`
	ID       string    `json:"id"` // UUID, by which its publisher knows it again
	Database string    `json:"database"`
	Parent   string    `json:"parent"`
	Created  time.Time `json:"created"` // by the publisher's clock; decides nothing
	Owner    Owner     `json:"owner"`
	Removed  slots     `json:"removed"`
}

func (r *removal) id() string             { return r.ID }
func (r *removal) term() uint64           { return 0 }
func (r *removal) parent() string         { return r.Parent }
func (r *removal) home() (uint64, string) { return r.Slot, r.Database }

func (r *removal) validate() error {
	for i, run := range r.Removed {
		if run.First < 1 || run.Last < run.First || run.By > r.Slot || run.Last >= run.By ||
			i > 0 && run.First <= r.Removed[i-1].Last {
			return errors.New("removed slots are out of order")
		}
	}
	return nil
}

// run is a range of removed slots, both ends included, with the slot of the
// removal entry that declared them so.
type run struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
	By    uint64 `json:"by"`
}

// slots is a set of removed slots: runs in ascending order.
type slots []run

// by returns the slot of the removal that declared a slot removed.
func (s slots) by(slot uint64) (removal uint64, ok bool) {
	i, found := slices.BinarySearchFunc(s, slot, func(r run, slot uint64) int {
		switch {
		case r.Last < slot:
			return -1
		case r.First > slot:
			return 1
		}
		return 0
	})
	if !found {
		return 0, false
	}
	return s[i].By, true
}

func (s slots) has(slot uint64) bool {
	_, ok := s.by(slot)
	return ok
}

// add returns the set with more slots. Who declared a slot first stays its
// remover.
func (s slots) add(by uint64, more ...uint64) slots {
	all := slices.Clone(s)
	for _, slot := range more {
		if !s.has(slot) {
			all = append(all, run{slot, slot, by})
		}
	}
	return all.joined()
}

// without returns the set less some slots.
func (s slots) without(kept map[uint64]bool) slots {
	var rest slots
	for _, r := range s {
		for slot := r.First; slot <= r.Last; slot++ {
			if !kept[slot] {
				rest = append(rest, run{slot, slot, r.By})
			}
		}
	}
	return rest.joined()
}

// joined puts runs in order and joins neighbours.
func (s slots) joined() slots {
	slices.SortFunc(s, func(a, b run) int { return cmp.Compare(a.First, b.First) })
	var joined slots
	for _, r := range s {
		if n := len(joined); n > 0 && joined[n-1].By == r.By && joined[n-1].Last+1 >= r.First {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// spent returns the set with every run in which no entry is left ascribed to one
// removal, so that such runs join: who declared them no longer matters.
func (s slots) spent(there map[uint64]bool, removal uint64) slots {
	list := slices.Clone(s)
	for i := range list {
		gone := true
		for slot := list[i].First; slot <= list[i].Last && gone; slot++ {
			gone = !there[slot]
		}
		if gone {
			list[i].By = removal
		}
	}
	return list.joined()
}
