package strategy

import (
	"cmp"
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
)

const maxHandles = 64 // scans and streams that can be open at a time

// handles holds what a guest has open. A handle is 31 bits: its slot in the
// lowest six, above them the generation of the slot, so that a handle which was
// closed does not come to life again with the slot's next use.
type handles struct {
	limit int // 0 for all there are
	slots [maxHandles]struct {
		value      any // abi.Scan, abi.Stream, or nil when free
		generation uint32
	}
}

func (h *handles) add(value any) (int, error) {
	limit := cmp.Or(h.limit, maxHandles)
	for n := range h.slots[:min(limit, maxHandles)] {
		s := &h.slots[n]
		if s.value != nil {
			continue
		}
		s.generation = s.generation%(1<<25-1) + 1 // 25 bits, never 0
		s.value = value
		return int(s.generation<<6) | n, nil
	}
	return 0, fmt.Errorf("%d scans and streams are open: %w", limit, abi.EQUOTA)
}

// handle returns what a handle of the given type stands for.
func handle[T any](h *handles, number uint32) (T, error) {
	s := &h.slots[number%maxHandles]
	value, ok := s.value.(T)
	if !ok || s.generation != number>>6 {
		return value, fmt.Errorf("handle %#x: %w", number, abi.EBADH)
	}
	return value, nil
}

func (h *handles) remove(number uint32) { h.slots[number%maxHandles].value = nil }

// release ends what the guest left open. Streams are left to the session: one
// that was not closed fails the snapshot, and closing it here would store it.
func (h *handles) release() {
	for n := range h.slots {
		if scan, ok := h.slots[n].value.(abi.Scan); ok {
			scan.Close() // nobody is left to hear of an error
		}
		h.slots[n].value = nil
	}
}
