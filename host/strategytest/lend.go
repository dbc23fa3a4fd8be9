//go:build cgo

package strategytest

import (
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// lend has a host borrow a database.
func lend(db *rocks.DB) host.Option {
	native, families := db.Lend()
	return host.WithDB(native, families...)
}
