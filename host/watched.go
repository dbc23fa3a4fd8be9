package host

import (
	"context"

	"github.com/rocksnap/rocksnap/abi"
)

// watched is an instance whose sessions a test wraps; see [WithSessionWrapper].
type watched struct {
	instance
	wrap func(abi.Session) abi.Session
}

func (w watched) Init(ctx context.Context, s abi.Session) error {
	return w.instance.Init(ctx, w.wrap(s))
}

func (w watched) Prepare(ctx context.Context, s abi.Session) error {
	return w.instance.Prepare(ctx, w.wrap(s))
}

func (w watched) Snapshot(ctx context.Context, s abi.Session) error {
	return w.instance.Snapshot(ctx, w.wrap(s))
}

func (w watched) Notify(ctx context.Context, s abi.Session, n abi.Notification) error {
	return w.instance.Notify(ctx, w.wrap(s), n)
}

func (w watched) Restore(ctx context.Context, s abi.Session) error {
	return w.instance.Restore(ctx, w.wrap(s))
}
