package rocks

// Flush says what becomes of records that are only in memtables and the WAL when
// a checkpoint is made.
type Flush string

// The choices.
const (
	FlushAuto   Flush = "auto"   // flush when the WAL is long or may be off
	FlushAlways Flush = "always" // flush; the checkpoint needs no WAL
	FlushNever  Flush = "never"  // the WAL travels with the checkpoint
)
