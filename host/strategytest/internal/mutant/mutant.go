// Package mutant holds strategies that do one thing wrong each. They run natively
// and, chosen by an option, as one module.
package mutant

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
)

// Mutant is a strategy with one fault, and how the host has to refuse it.
type Mutant struct {
	Name     string
	Base     bool   // a snapshot is taken beforehand that it can build on
	Groups   uint32 // count of key groups of its database; 0 for none
	Prepare  func(context.Context, abi.Session) error
	Snapshot func(context.Context, abi.Session) error
	Errno    abi.Errno
	Text     string // part of what the author reads
}

// Good is the option for a strategy without a fault: it stores everything, and
// shares what can be shared.
const Good = "none"

// Strategy is the strategy that the option mutation names.
type Strategy struct {
	Mutation string // before Init, the one to use when the configuration names none
	chosen   Mutant
}

// Init reads the option.
func (m *Strategy) Init(_ context.Context, s abi.Session) error {
	text, err := s.Config()
	if err != nil {
		return err
	}
	options := struct {
		Mutation string `json:"mutation"`
	}{m.Mutation}
	if err := json.Unmarshal(text, &options); err != nil {
		return err
	}
	m.chosen = Mutant{Name: Good, Prepare: checkpoint, Snapshot: share}
	if options.Mutation == Good {
		return nil
	}
	i := slices.IndexFunc(All, func(c Mutant) bool { return c.Name == options.Mutation })
	if i < 0 {
		return fmt.Errorf("no mutation %q: %w", options.Mutation, abi.EINVAL)
	}
	m.chosen = All[i]
	return nil
}

// Prepare implements [abi.Strategy].
func (m *Strategy) Prepare(ctx context.Context, s abi.Session) error { return m.chosen.Prepare(ctx, s) }

// Snapshot implements [abi.Strategy].
func (m *Strategy) Snapshot(ctx context.Context, s abi.Session) error {
	return m.chosen.Snapshot(ctx, s)
}

func checkpoint(_ context.Context, s abi.Session) error {
	_, err := s.Checkpoint()
	return err
}

func view(_ context.Context, s abi.Session) error {
	_, err := s.View()
	return err
}

// increment takes the newest base and the checkpoint.
func increment(ctx context.Context, s abi.Session) error {
	base := make([]abi.Base, 1)
	n, err := s.BasesRead(0, base)
	if err != nil {
		return err
	}
	if n == 0 {
		return fmt.Errorf("there is no base: %w", abi.ENOENT)
	}
	if err := s.BaseUse(base[0].Slot); err != nil {
		return err
	}
	return checkpoint(ctx, s)
}

func nothing(context.Context, abi.Session) error { return nil }

const shareable = abi.FileImmutable | abi.FileIdentified

func share(ctx context.Context, s abi.Session) error {
	return abi.Transfer(ctx, s, func(f abi.File) abi.Choice {
		if f.Flags&shareable == shareable {
			return abi.Choice{Scope: abi.ScopeShared}
		}
		return abi.Choice{}
	})
}
