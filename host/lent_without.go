//go:build !cgo

package host

import "github.com/rocksnap/rocksnap/host/internal/rocks"

// lent would be a database that the program has open: no program has, without
// RocksDB.
type lent struct{}

func (*lent) borrow(string) (database, error) { return nil, rocks.ErrNoRocksDB }
