//go:build cgo

package host

import (
	"fmt"
	"os"

	"github.com/linxGnu/grocksdb"

	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// lent is a database that the program has open.
type lent struct {
	db       *grocksdb.DB
	families []*grocksdb.ColumnFamilyHandle
}

// WithDB lends the host a RocksDB instance that the program has open at the
// configuration's [database] path, with the handles of all its column families.
// The host never closes it; close the host first. Until then the handles are
// needed; that of a column family that the program drops, until snapshots that
// began before are over.
func WithDB(db *grocksdb.DB, families ...*grocksdb.ColumnFamilyHandle) Option {
	return func(s *settings) { s.lent = &lent{db, families} }
}

// borrow wraps the database, which must be the one that the configuration names.
func (l *lent) borrow(path string) (database, error) {
	open, err := os.Stat(l.db.Name())
	if err != nil {
		return nil, fmt.Errorf("borrow database: %w", err)
	}
	if named, err := os.Stat(path); err != nil || !os.SameFile(open, named) {
		return nil, problem(CodeUsage, fmt.Errorf("borrow database: %s was lent, [database] path is %s", l.db.Name(), path),
			"correct [database] path, or lend the database that it names")
	}
	db, err := rocks.Borrow(l.db, path, l.families)
	if err != nil {
		return nil, err
	}
	return db, nil
}
