// Command incremental is the strategy that uploads only what is new. Tables and
// blob files never change once RocksDB has written them, so those that the
// latest committed snapshot already holds are referred to instead of uploaded.
package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/guest"
)

func init() { guest.Register(&incremental{}) }

func main() {}

// sinceFull is the state key that counts increments since the last full upload.
const sinceFull = "snapshots_since_full"

type incremental struct {
	// FullEvery makes every n-th snapshot upload everything; 0 never does.
	FullEvery int `json:"full_every"`
}

// Init reads full_every.
func (i *incremental) Init(_ context.Context, s abi.Session) error {
	if err := guest.Config(s, i); err != nil {
		return err
	}
	if i.FullEvery < 0 {
		return fmt.Errorf("full_every must be 0 or more, not %d: %w", i.FullEvery, abi.EINVAL)
	}
	return nil
}

// Prepare chooses the base, from committed snapshots only, and then takes the
// checkpoint: in this order the base is never newer than the files.
func (i *incremental) Prepare(_ context.Context, s abi.Session) error {
	if err := i.chooseBase(s); err != nil {
		return err
	}
	_, err := s.Checkpoint()
	return err
}

// Snapshot reuses what the base shares and uploads the rest. What can never be
// reused (MANIFEST, CURRENT, OPTIONS, the WAL) belongs to this snapshot alone.
func (i *incremental) Snapshot(ctx context.Context, s abi.Session) error {
	return abi.Transfer(ctx, s, func(f abi.File) abi.Choice {
		const recognisable = abi.FileImmutable | abi.FileIdentified
		switch {
		case f.Flags&abi.FileInBase != 0:
			return abi.Choice{Reuse: true, Scope: abi.ScopeShared}
		case f.Flags&recognisable == recognisable:
			return abi.Choice{Scope: abi.ScopeShared}
		}
		return abi.Choice{Scope: abi.ScopePrivate}
	})
}

func (i *incremental) chooseBase(s abi.Session) error {
	count, err := i.count(s)
	if err != nil {
		return err
	}
	base := make([]abi.Base, 1)
	n, err := s.BasesRead(0, base)
	if err != nil {
		return err
	}
	if n == 0 || i.FullEvery > 0 && count+1 >= i.FullEvery {
		return s.StatePut(sinceFull, []byte("0"))
	}
	if err := s.BaseUse(base[0].Slot); err != nil {
		return err
	}
	return s.StatePut(sinceFull, []byte(strconv.Itoa(count+1)))
}

func (i *incremental) count(s abi.Session) (int, error) {
	text, err := s.StateGet(sinceFull)
	if errors.Is(err, abi.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(text))
}
