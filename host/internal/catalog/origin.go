package catalog

import (
	"context"
	"fmt"
	"io/fs"
)

// Origin is a snapshot that a database was made of. It may be of another database
// in the repository.
type Origin struct {
	Database string `json:"database"`
	Snapshot string `json:"snapshot"` // id
	Slot     uint64 `json:"slot"`
}

// MaxOrigins bounds the origins that a session may have, so that its intent, which
// protects no others, stays within maxDocument.
const MaxOrigins = 128

// Origin reads a snapshot that a session has named as an origin when it began:
// nothing of it is swept until the session ends. It fails with [ErrRemoved] when
// prune came first, with fs.ErrNotExist when there is no such snapshot, and with
// [ErrDamaged] when it, or what may be its removal, cannot be read.
//
// The session has stored its intent before the removals are read here. Prune reads
// what is final before the intents. So if this finds nothing, prune finds the
// intent.
func (c *Catalog) Origin(ctx context.Context, o Origin) (*Manifest, error) {
	if !isName(o.Database) || o.Slot == 0 {
		return nil, fmt.Errorf("origin %s of %q: %w", o.Snapshot, o.Database, fs.ErrNotExist)
	}
	home := c.beside(o.Database)
	declared, err := home.removedSince(ctx, o.Slot)
	if err == nil && declared.has(o.Slot) {
		err = ErrRemoved
	}
	if err != nil {
		return nil, fmt.Errorf("origin %s of %s: %w", o.Snapshot, o.Database, err)
	}
	m, err := home.Manifest(ctx, o.Slot)
	if err == nil && m.ID != o.Snapshot { // of another repository, or of a copy
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("origin %s of %s: %w", o.Snapshot, o.Database, err)
	}
	return m, nil
}

// beside returns the catalog of another database in the same repository.
func (c *Catalog) beside(database string) *Catalog {
	return &Catalog{store: c.store, database: database, format: c.format}
}
