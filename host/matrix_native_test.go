package host_test

import (
	"context"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
)

// native has the built-in strategies run without a sandbox, for tests that take
// many snapshots: each does what the module of its name does.
var native = []host.Option{
	host.WithStrategy("native-full", func() abi.Strategy { return nativeFiles{} }),
	host.WithStrategy("incremental", func() abi.Strategy { return nativeFiles{increment: true} }),
	host.WithStrategy("canonical", func() abi.Strategy { return &nativeRecords{} }),
}

// nativeFiles uploads all files, or those that the newest base does not share.
type nativeFiles struct{ increment bool }

func (nativeFiles) Init(context.Context, abi.Session) error { return nil }

func (n nativeFiles) Prepare(_ context.Context, s abi.Session) error {
	if n.increment {
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

func (nativeFiles) Snapshot(ctx context.Context, s abi.Session) error {
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

// nativeRecords exports all records of all column families.
type nativeRecords struct{ families int }

func (*nativeRecords) Init(context.Context, abi.Session) error { return nil }

func (n *nativeRecords) Prepare(_ context.Context, s abi.Session) (err error) {
	n.families, err = s.View()
	return err
}

func (n *nativeRecords) Snapshot(ctx context.Context, s abi.Session) error {
	families := make([]abi.Family, n.families)
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
