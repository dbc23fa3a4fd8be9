// Package listener is a strategy for tests: it stores every file, and says what it
// hears of its snapshots.
package listener

import (
	"context"
	"errors"
	"fmt"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/guest"
)

// Strategy is the listener. Its options say what goes wrong.
type Strategy struct {
	Fail  bool   `json:"fail"`  // Snapshot fails once everything is stored
	Wrong string `json:"wrong"` // of Notify: fail, panic or loop, once it has said what it hears
}

// Init reads the options.
func (l *Strategy) Init(_ context.Context, s abi.Session) error { return guest.Config(s, l) }

// Prepare takes the checkpoint.
func (l *Strategy) Prepare(_ context.Context, s abi.Session) error {
	_, err := s.Checkpoint()
	return err
}

// Snapshot stores every file. Those that a later run would recognise are shared.
func (l *Strategy) Snapshot(ctx context.Context, s abi.Session) error {
	err := abi.Transfer(ctx, s, func(f abi.File) abi.Choice {
		const recognisable = abi.FileImmutable | abi.FileIdentified
		if f.Flags&recognisable == recognisable {
			return abi.Choice{Scope: abi.ScopeShared}
		}
		return abi.Choice{}
	})
	if err == nil && l.Fail {
		return errors.New("it fails, as it was told to")
	}
	return err
}

// Notify says what it hears.
func (l *Strategy) Notify(_ context.Context, s abi.Session, n abi.Notification) error {
	s.Log(abi.LevelInfo, fmt.Sprintf("hears %s %d", n.Event, n.Slot))
	switch l.Wrong {
	case "fail":
		return errors.New("it does not want to know")
	case "panic":
		panic("it cannot bear to hear it")
	case "loop":
		for {
		}
	}
	return nil
}
