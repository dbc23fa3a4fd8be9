package abi

// Session is what a strategy can do during one run. The host implements it over
// the database and the store, the guest SDK over the wire; method names are the
// wire names (FilesRead is files_read), so that a search crosses the boundary.
//
// No method takes or returns a path or the name of a stored object. Methods are
// not safe for concurrent use: a session belongs to the goroutine that runs the
// strategy.
//
// Errors carry an [Errno]; test them with errors.Is.
type Session interface {
	Control
	Capture
	Files
	Records
}

// Control is available in every phase.
type Control interface {
	// Info describes the run: versions, time, key groups.
	Info() (Info, error)

	// Config returns the strategy's own table of the configuration as JSON.
	Config() ([]byte, error)

	// StateGet returns a value of the strategy's persistent state, as it was
	// committed with the latest snapshot of this lineage by a strategy of the
	// same name, overlaid with this session's changes. [ENOENT] when absent.
	StateGet(key string) ([]byte, error)

	// StatePut changes the state. It becomes durable when, and only when, this
	// session's snapshot commits. [EQUOTA] beyond [MaxState].
	StatePut(key string, value []byte) error

	// StateDelete removes a key; removing an absent one is no error.
	StateDelete(key string) error

	// MetaPut attaches opaque metadata to the snapshot's manifest.
	MetaPut(key string, value []byte) error

	// Log writes one line to the host's log, marked with the strategy's name.
	Log(level Level, message string)

	// Progress reports bytes done of a total, for display only.
	Progress(done, total uint64)
}

// Capture fixes the instant of the snapshot. It is available in Prepare only.
type Capture interface {
	// Checkpoint makes the checkpoint (hard links to RocksDB's files) and
	// returns how many files it has. There is one per session; a second call
	// returns the same.
	Checkpoint() (files int, err error)

	// View opens a read view at one sequence number and returns how many
	// column families it has. There is one per session.
	View() (families int, err error)

	// BasesRead lists committed native snapshots of this lineage that share
	// objects, newest first, starting at index start, and returns how many it
	// stored.
	BasesRead(start int, dst []Base) (int, error)

	// BaseUse chooses the base of an increment by its slot, before the files
	// are read. The files that it shares with the checkpoint are then marked
	// [FileInBase]. [ENOENT] when no such base is committed.
	BaseUse(slot uint64) error
}

// Files works on the checkpoint (in a restore, on the files of the manifest).
type Files interface {
	// FilesRead stores file records starting at index start and returns how
	// many it stored; 0 is the end.
	FilesRead(start int, dst []File) (int, error)

	// FileName returns the name of a file, for display.
	FileName(id uint32) (string, error)

	// Upload submits files to be stored and returns how many were accepted;
	// fewer than given, possibly none, when the queue is full: Wait, then submit
	// the rest. Each accepted request ends in one [Completion].
	Upload(reqs []Upload) (int, error)

	// Reuse submits files to be taken over from the base, as Upload does. A
	// request whose stored object is gone completes with [ENOENT]; upload the
	// file then.
	Reuse(reqs []Reuse) (int, error)

	// Fetch submits files to be restored. Restore phase only.
	Fetch(reqs []Fetch) (int, error)

	// Wait blocks until at least one submitted request has ended, stores
	// completions and returns how many. It returns 0 when nothing is under way.
	Wait(dst []Completion) (int, error)
}

// Records works on the view: the key-value data itself.
type Records interface {
	// FamiliesRead stores column family records starting at index start and
	// returns how many it stored; 0 is the end.
	FamiliesRead(start int, dst []Family) (int, error)

	// FamilyName returns the name of a column family.
	FamilyName(id uint32) (string, error)

	// Export submits ranges that the host writes in the canonical format,
	// without the records ever entering the guest. See Upload for the result.
	Export(reqs []Export) (int, error)

	// ScanOpen starts to read a column family's records of a key-group range
	// (both inclusive), in key order.
	ScanOpen(family, firstGroup, lastGroup uint32) (Scan, error)

	// StreamOpen starts a stored object that the guest fills.
	StreamOpen(spec StreamSpec) (Stream, error)

	// Pump moves the next block from a scan into a records stream and also
	// leaves it in buf for inspection. It returns the block's length; 0 is the
	// end. Errors are those of [Scan.Next] and [Stream.Write].
	Pump(from Scan, to Stream, buf []byte) (int, error)
}

// Scan reads packed records: u32 key length, u32 value length, key, value, one
// after the other, little-endian.
type Scan interface {
	// Next fills buf with whole records and returns the length; 0 is the end.
	// When the next record does not fit, it fails with [EBUF] and Need tells
	// the length that it takes.
	Next(buf []byte) (int, error)

	// Need returns the length of the next record after an [EBUF].
	Need() int

	// Close ends the scan. Closing twice is no error.
	Close() error
}

// Stream is a stored object being written.
type Stream interface {
	// Write appends bytes: whole packed records for [StreamRecords], anything
	// for [StreamRaw]. The host checks the order and key groups of records.
	Write(p []byte) (int, error)

	// Close ends the stream, waits until it is stored, and enters it in the
	// ledger. A stream that is not closed fails the snapshot.
	Close() error
}

// Limits that every host grants.
const (
	MaxState   = 1 << 20 // bytes of keys and values in a strategy's state
	MaxMeta    = 1 << 20 // bytes of keys and values given to MetaPut
	MaxKey     = 256     // bytes of a state or metadata key
	MaxLogLine = 4 << 10 // bytes of a log line; longer ones are cut
)

// Level is the severity of a log line.
type Level uint32

// The levels, in wire order.
const (
	LevelDebug Level = iota
	LevelInfo
	LevelWarn
	LevelError
)
