package scenarios

import (
	"context"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
)

// inHost runs the strategies for files without a sandbox, where many workers would
// each load the same module.
var inHost = []host.Option{
	host.WithStrategy("native-full", func() abi.Strategy { return files{} }),
	host.WithStrategy("incremental", func() abi.Strategy { return files{increment: true} }),
}

// files uploads all files, or those that the newest base does not share.
type files struct{ increment bool }

func (files) Init(context.Context, abi.Session) error { return nil }

func (f files) Prepare(_ context.Context, s abi.Session) error {
	if f.increment {
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

func (files) Snapshot(ctx context.Context, s abi.Session) error {
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

// noted is the strategy of increments, and writes down what it is told.
type noted struct {
	files
	heard *notes
}

// notes are notifications, in order.
type notes struct {
	mu   sync.Mutex
	list []abi.Notification
}

func (n noted) Notify(_ context.Context, _ abi.Session, note abi.Notification) error {
	n.heard.mu.Lock()
	defer n.heard.mu.Unlock()
	n.heard.list = append(n.heard.list, note)
	return nil
}
