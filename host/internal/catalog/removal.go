package catalog

import (
	"cmp"
	"errors"
	"slices"
	"time"
)

// removal is the document of a removal entry. It declares entries removed: readers
// pass over them from now on, whether or not they are still there. It repeats what
// the removals before it have declared, so that the newest one says everything. It
// takes back what an operator pinned just before it was declared, unless that is
// final. What is final is so for ever, and only that is ever deleted.
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
	Final bool   `json:"final,omitempty"` // no pin came before it
}

// slots is a set of removed slots: runs in ascending order.
type slots []run

// find returns the run that a slot is in.
func (s slots) find(slot uint64) (r run, ok bool) {
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
		return run{}, false
	}
	return s[i], true
}

func (s slots) has(slot uint64) bool {
	_, ok := s.find(slot)
	return ok
}

// add returns the set with more slots. Who declared a slot first stays its
// remover.
func (s slots) add(by uint64, more ...uint64) slots {
	all := slices.Clone(s)
	for _, slot := range more {
		if !s.has(slot) {
			all = append(all, run{First: slot, Last: slot, By: by})
		}
	}
	return all.joined()
}

// settled returns the set as the next removal states it: what is not final yet is
// taken back where it is pinned, and is final where the removal that declared it
// is ripe.
func (s slots) settled(pinned map[uint64]bool, ripe func(removal uint64) bool) slots {
	var next slots
	for _, r := range s {
		if r.Final {
			next = append(next, r)
			continue
		}
		for slot := r.First; slot <= r.Last; slot++ {
			if !pinned[slot] {
				next = append(next, run{slot, slot, r.By, ripe(r.By)})
			}
		}
	}
	return next.joined()
}

// joined puts runs in order and joins neighbours.
func (s slots) joined() slots {
	slices.SortFunc(s, func(a, b run) int { return cmp.Compare(a.First, b.First) })
	var joined slots
	for _, r := range s {
		if n := len(joined); n > 0 && joined[n-1].By == r.By && joined[n-1].Final == r.Final && joined[n-1].Last+1 >= r.First {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	return joined
}

// spent returns the set with every final run in which no entry is left ascribed to
// one removal, so that such runs join: who declared them no longer matters.
func (s slots) spent(there map[uint64]bool, removal uint64) slots {
	list := slices.Clone(s)
	for i := range list {
		gone := list[i].Final
		for slot := list[i].First; slot <= list[i].Last && gone; slot++ {
			gone = !there[slot]
		}
		if gone {
			list[i].By = removal
		}
	}
	return list.joined()
}
