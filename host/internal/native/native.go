// Package native has the built-in strategies without a sandbox, for measuring what
// the sandbox costs, and for tests that take many snapshots.
package native

import (
	"context"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
)

// Options have the built-in strategies run without a sandbox: each does what the
// module of its name does.
func Options() []host.Option {
	return []host.Option{
		host.WithStrategy("native-full", func() abi.Strategy { return Files{} }),
		host.WithStrategy("incremental", func() abi.Strategy { return Files{Increment: true} }),
		host.WithStrategy("canonical", func() abi.Strategy { return &Records{} }),
	}
}

// Files uploads all files, or those that the newest base does not share.
type Files struct{ Increment bool }

// Init is that of abi.Strategy.
func (Files) Init(context.Context, abi.Session) error { return nil }

// Prepare is that of abi.Strategy.
func (f Files) Prepare(_ context.Context, s abi.Session) error {
	if f.Increment {
		base := make([]abi.Base, 1)
		found, err := s.BasesRead(0, base)
		if err == nil && found > 0 {
			err = s.BaseUse(base[0].Slot)
		}
		if err != nil {
			return err
		}
	}
	_, err := s.Checkpoint()
	return err
}

// Snapshot is that of abi.Strategy.
func (Files) Snapshot(ctx context.Context, s abi.Session) error {
	return abi.Transfer(ctx, s, func(file abi.File) abi.Choice {
		const recognisable = abi.FileImmutable | abi.FileIdentified
		switch {
		case file.Flags&abi.FileInBase != 0:
			return abi.Choice{Reuse: true, Scope: abi.ScopeShared}
		case file.Flags&recognisable == recognisable:
			return abi.Choice{Scope: abi.ScopeShared}
		}
		return abi.Choice{Scope: abi.ScopePrivate}
	})
}

// Records exports all records of all column families.
type Records struct{ Families int } // of the view, once it is open

// Init is that of abi.Strategy.
func (*Records) Init(context.Context, abi.Session) error { return nil }

// Prepare is that of abi.Strategy.
func (r *Records) Prepare(_ context.Context, s abi.Session) (err error) {
	r.Families, err = s.View()
	return err
}

// Snapshot is that of abi.Strategy.
func (r *Records) Snapshot(ctx context.Context, s abi.Session) error {
	families := make([]abi.Family, r.Families)
	if _, err := s.FamiliesRead(0, families); err != nil {
		return err
	}
	info, err := s.Info()
	if err != nil {
		return err
	}
	exports := make([]abi.Export, len(families))
	for i, f := range families {
		exports[i] = abi.Export{Family: f.ID, FirstGroup: info.GroupFirst, LastGroup: info.GroupLast, Codec: abi.CodecNone}
	}
	return abi.ExportAll(ctx, s, exports)
}
