//go:build !cgo

package bench

import (
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// lend does nothing: without RocksDB there is no database to lend.
func lend(*rocks.DB) host.Option { return host.Offline() }
