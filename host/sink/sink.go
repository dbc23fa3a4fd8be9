// Package sink is what the records of a snapshot can be restored into: a database
// of RocksDB or of another kind, behind one interface.
//
// Whoever restores creates a [Sink], writes sorted records into any number of
// runs in parallel, and then loads the files of all runs of a column family at
// once. A run that is finished outlives a process that is killed; the database
// that is being made does not, so that it is never taken for a complete one.
package sink

import (
	"context"
	"fmt"
	"io/fs"
	"os"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// Sink makes one new database. Runs may be written in parallel, with one another
// and before anything is loaded; all other methods serve one goroutine.
type Sink interface {
	// NewRun starts a run of records of a column family. Its files go into dir,
	// which exists and is on the file system of the database. It fails with
	// fs.ErrNotExist when the Spec has no such column family.
	NewRun(family, dir string) (Run, error)

	// Load takes all files of all runs of a column family, in key order, once. It
	// may take the files away or leave them. The runs of a column family must not
	// overlap.
	Load(family string, files []string) error

	// Close completes the database: afterwards it is durable, except for its
	// directory's own name.
	Close() error

	// Abort gives up. What is in the directory is worthless then. After Close, and
	// further times, it does nothing.
	Abort()
}

// Run is records of one column family in key order. It serves one goroutine.
type Run interface {
	// AddBlock appends packed records, and does not keep the slice. Keys ascend
	// within a block and from block to block.
	AddBlock(packed []byte) error

	// Finish completes the files, durably but for their names, and returns their
	// paths in key order. There are none when there were no records. The files are
	// good for any Sink of the same kind and the same Spec.
	Finish() (files []string, err error)

	// Close ends the run. Without a successful Finish it removes what was written.
	Close() error
}

// Spec describes the database that is to be made.
type Spec struct {
	Families []Family
	Options  string // text of a RocksDB OPTIONS file; other databases have no use for it
}

// Family is a column family. Its name may be any bytes.
type Family struct {
	Name       string
	Comparator string // RocksDB's name for the order of its keys
}

// Find returns a column family by its name.
func (s Spec) Find(name string) (Family, bool) {
	for _, f := range s.Families {
		if f.Name == name {
			return f, true
		}
	}
	return Family{}, false
}

// CheckBytewise refuses column families whose keys are not in the order of bytes.
// It is for databases that know no other order.
func (s Spec) CheckBytewise() error {
	for _, f := range s.Families {
		if f.Comparator != canonical.BytewiseComparator {
			return fmt.Errorf("column family %q is in the order of %s, and this database orders keys bytewise", f.Name, f.Comparator)
		}
	}
	return nil
}

// Vacant makes a directory. It fails with fs.ErrExist when that holds anything.
func Vacant(dir string) error {
	if err := durable.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		err = fmt.Errorf("directory %s is not empty: %w", dir, fs.ErrExist)
	}
	return err
}

// Visit is called with packed records of a column family, in key order. It must
// not keep the slice. For a column family without records it is called once,
// with nil.
type Visit func(family string, packed []byte) error

// Kind is a kind of database that can be restored into.
type Kind interface {
	// Name is how a user names the kind.
	Name() string

	// Create starts a new database in a directory that is absent or empty. It
	// fails with fs.ErrExist, and changes nothing, when the directory holds
	// anything.
	Create(dir string, spec Spec) (Sink, error)

	// Read visits all records of a database that nobody has open. It changes
	// nothing. It fails with fs.ErrNotExist when there is none, and with
	// [abi.ECORRUPT] where damage is known.
	Read(ctx context.Context, dir string, visit Visit) error
}
