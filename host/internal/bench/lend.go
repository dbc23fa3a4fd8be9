//go:build cgo

package bench

import (
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// lend has a host borrow a database.
func lend(db *rocks.DB) host.Option {
	own, families := db.Lend()
	return host.WithDB(own, families...)
}
