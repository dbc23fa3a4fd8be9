// Command native-full is the strategy that uploads every file of RocksDB's
// checkpoint, as it is. Nothing is read key by key and nothing is shared with
// any other snapshot, so each one stands alone and is deleted alone.
package main

import (
	"context"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/guest"
)

func init() { guest.Register(nativeFull{}) }

func main() {}

type nativeFull struct{}

// Init accepts no options.
func (nativeFull) Init(_ context.Context, s abi.Session) error {
	return guest.Config(s, &struct{}{})
}

// Prepare takes the checkpoint.
func (nativeFull) Prepare(_ context.Context, s abi.Session) error {
	_, err := s.Checkpoint()
	return err
}

// Snapshot uploads every file in private scope.
func (nativeFull) Snapshot(ctx context.Context, s abi.Session) error {
	return abi.UploadAll(ctx, s, abi.ScopePrivate)
}
