// Command hybrid is a strategy that takes increments as long as they pay, and a
// full snapshot when too little of the last one could be reused, or after a
// number of increments.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/guest"
)

func init() { guest.Register(&hybrid{LeastReused: 30}) }

func main() {}

// sinceFull is the state key that counts increments since the last full snapshot.
const sinceFull = "increments_since_full"

type hybrid struct {
	LeastReused    int `json:"least_reused"`    // percent of the bytes below which everything is stored anew
	MostIncrements int `json:"most_increments"` // in a row; 0 for any number
}

// Init reads least_reused and most_increments.
func (h *hybrid) Init(_ context.Context, s abi.Session) error {
	if err := guest.Config(s, h); err != nil {
		return err
	}
	if h.LeastReused < 0 || h.LeastReused > 100 {
		return fmt.Errorf("least_reused must be 0 to 100 percent, not %d: %w", h.LeastReused, abi.EINVAL)
	}
	if h.MostIncrements < 0 {
		return fmt.Errorf("most_increments must be 0 or more, not %d: %w", h.MostIncrements, abi.EINVAL)
	}
	return nil
}

// Prepare chooses the latest snapshot as the base, and then takes the checkpoint.
// Whether the base is used is decided later: writers may be waiting now.
func (h *hybrid) Prepare(_ context.Context, s abi.Session) error {
	base := make([]abi.Base, 1)
	n, err := s.BasesRead(0, base)
	if err != nil {
		return err
	}
	if n > 0 {
		if err := s.BaseUse(base[0].Slot); err != nil {
			return err
		}
	}
	_, err = s.Checkpoint()
	return err
}

// Snapshot decides, and moves the files accordingly.
func (h *hybrid) Snapshot(ctx context.Context, s abi.Session) error {
	count, err := increments(s)
	if err != nil {
		return err
	}
	total, shared, err := sizes(s)
	if err != nil {
		return err
	}
	full := h.full(count, total, shared)
	if full {
		count = -1
	}
	if err := s.StatePut(sinceFull, []byte(strconv.Itoa(count+1))); err != nil {
		return err
	}
	s.Log(abi.LevelInfo, fmt.Sprintf("%d of %d bytes are in the base; full snapshot: %t", shared, total, full))
	return abi.Transfer(ctx, s, func(f abi.File) abi.Choice { return choose(f, full) })
}

// full tells whether everything is to be stored anew.
func (h *hybrid) full(count int, total, shared uint64) bool {
	few := shared*100 < total*uint64(h.LeastReused)
	return few || shared == 0 || h.MostIncrements > 0 && count >= h.MostIncrements
}

// choose shares what later snapshots can recognise, in a full snapshot too.
func choose(f abi.File, full bool) abi.Choice {
	const recognisable = abi.FileImmutable | abi.FileIdentified
	switch {
	case f.Flags&abi.FileInBase != 0 && !full:
		return abi.Choice{Reuse: true, Scope: abi.ScopeShared}
	case f.Flags&recognisable == recognisable:
		return abi.Choice{Scope: abi.ScopeShared}
	}
	return abi.Choice{Scope: abi.ScopePrivate}
}

// sizes sums up the files of the checkpoint, and those that the base shares.
func sizes(s abi.Session) (total, shared uint64, err error) {
	page := make([]abi.File, 1024)
	for start := 0; ; {
		n, err := s.FilesRead(start, page)
		if err != nil || n == 0 {
			return total, shared, err
		}
		for _, f := range page[:n] {
			total += f.Size
			if f.Flags&abi.FileInBase != 0 {
				shared += f.Size
			}
		}
		start += n
	}
}

func increments(s abi.Session) (int, error) {
	text, err := s.StateGet(sinceFull)
	if errors.Is(err, abi.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}
