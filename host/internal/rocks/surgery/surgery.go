// Package surgery cuts and joins RocksDB databases that are closed, by choosing
// files and writing another MANIFEST: no record is read. It makes every check of
// metadata that RocksDB leaves out, or answers by aborting the process, and
// refuses what it cannot prove; then records have to be copied instead.
//
// A range of keys is cut out in two steps: [Subset] leaves out the tables that do
// not touch it, and deletions of ranges, which RocksDB has to write, hide what
// the other tables hold besides. [Merge] joins databases of disjoint keys.
//
// The format and the checks are those of RocksDB 7.8.3.
package surgery

import (
	"fmt"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// Range is a range of user keys: Lower is inclusive, Upper exclusive, and nil
// leaves an end open.
type Range = version.Range

// Reason says what keeps databases from being cut or joined by their files.
type Reason string

// The reasons.
const (
	Log           Reason = "wal"            // a WAL holds records that are in no table
	Overlap       Reason = "overlap"        // bounds of tables of two sources overlap
	Comparator    Reason = "comparator"     // an order of keys that is not bytewise
	Timestamps    Reason = "timestamps"     // user-defined timestamps
	Fields        Reason = "fields"         // a newer RocksDB says more of a table than is understood here
	UniqueID      Reason = "unique-id"      // one table in two sources
	BlobNumber    Reason = "blob-number"    // one number for blob files of two sources
	FamilyID      Reason = "family-id"      // blob files of a column family that cannot keep its id
	Level0        Reason = "level0"         // more layers of tables than there are levels
	Sequence      Reason = "sequence"       // a table with a sequence number that was not given out
	Order         Reason = "order"          // tables of a level out of order
	FIFO          Reason = "fifo"           // FIFO compaction
	Universal     Reason = "universal"      // universal compaction, and not compacted
	MergeOperator Reason = "merge-operator" // different merge operators
	TableFormat   Reason = "table-format"   // tables that are not block-based
	Options       Reason = "options"        // no OPTIONS, or none for a column family
	Numbers       Reason = "numbers"        // no file numbers left
)

// Refusal is an error of [Subset] and [Merge]: what is wanted cannot be had by
// choosing files.
type Refusal struct {
	Source int // index of the source
	Reason Reason
	Text   string // what is wrong, in a line

	// Curable says that there is hope when the source is opened, flushed,
	// compacted in full and closed. A source that is refused again for the
	// same reason is past cure.
	Curable bool
}

// Error returns the text.
func (r *Refusal) Error() string { return r.Text }

func refuse(source int, reason Reason, format string, args ...any) *Refusal {
	return &Refusal{Source: source, Reason: reason, Text: fmt.Sprintf(format, args...)}
}

func (r *Refusal) curable() *Refusal {
	r.Curable = true
	return r
}

// bytewise is RocksDB's name for the order of unsigned bytes.
const bytewise = "leveldb.BytewiseComparator"
