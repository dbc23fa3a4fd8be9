package version

import "fmt"

// Cause is what wrote a table or a blob file. The zero Cause is unknown: the file is
// older than the MANIFEST, which begins with what there is and not with how it came
// about. RocksDB begins another one whenever it opens a database for writing.
type Cause struct {
	By       Writer
	From, To int // levels of a compaction
}

// Writer is the part of RocksDB that wrote a file.
type Writer uint8

// The writers.
const (
	Unknown    Writer = iota
	Flush             // of a memtable, or of a WAL that was recovered
	Compaction        // from level From, the uppermost of several, to level To
	Ingest            // of a table that was made outside of RocksDB
	BlobGC            // a compaction that moved values out of blob files full of garbage
)

// String returns the cause in words, as in "compaction L0->L6"; "" for the unknown.
func (c Cause) String() string {
	switch c.By {
	case Flush:
		return "flush"
	case Compaction:
		return fmt.Sprintf("compaction L%d->L%d", c.From, c.To)
	case Ingest:
		return "ingest"
	case BlobGC:
		return "blob GC"
	}
	return ""
}

// explain sets the causes of the files that an edit adds. It has to come before the
// edit is applied, because a table that moves to another level keeps its cause.
//
// Only an edit that makes history has a next file number, which those lack that
// state what there was when the MANIFEST began. A flush says from which WAL on
// records are unflushed; a compaction takes away what it has read; an ingestion does
// neither.
func (f *family) explain(e *edit) {
	if e.nextFile == nil {
		return
	}
	moved, from := f.movedBy(e)
	for _, t := range e.tables {
		switch old := f.tables[t.Number]; {
		case moved[t.Number] && old != nil:
			t.Cause = old.Cause
		case from >= 0:
			t.Cause = Cause{Compaction, from, t.Level}
		case e.logNumber != nil:
			t.Cause = Cause{By: Flush}
		default:
			t.Cause = Cause{By: Ingest}
		}
	}
	for i := range e.blobs {
		e.blobs[i].Cause = e.blobCause(from)
	}
}

// movedBy returns the tables that an edit only moves, and the uppermost level of
// those that it takes away for good, or -1.
func (f *family) movedBy(e *edit) (moved map[uint64]bool, from int) {
	added := make(map[uint64]bool, len(e.tables))
	for _, t := range e.tables {
		added[t.Number] = true
	}
	moved, from = make(map[uint64]bool), -1
	for _, at := range e.deleted {
		switch {
		case added[at.number]:
			moved[at.number] = true
		case from < 0 || at.level < from:
			from = at.level
		}
	}
	return moved, from
}

// blobCause tells of a new blob file who wrote it. A compaction writes values into
// one when it takes them out of others, which leaves garbage there, or out of tables.
func (e *edit) blobCause(from int) Cause {
	switch {
	case from < 0:
		return Cause{By: Flush}
	case len(e.garbage) > 0 || len(e.tables) == 0:
		return Cause{By: BlobGC}
	}
	return Cause{Compaction, from, e.tables[0].Level}
}
