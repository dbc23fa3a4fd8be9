//go:build !cgo

// Package rocks stands in for the one that owns RocksDB, in a program that is
// built without cgo. Whatever takes RocksDB fails with [ErrNoRocksDB]. As nothing
// here makes a DB, an Offline, or what these would hand out, their methods are
// never called.
package rocks

import (
	"time"

	"github.com/rocksnap/rocksnap/host/internal/expiry"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// Built tells whether the program has RocksDB.
const Built = false

// Version returns "none": there is no RocksDB library.
func Version() string { return "none" }

// DB would be a database that is open for reading and writing.
type DB struct{ absent }

// Open fails with [ErrNoRocksDB].
func Open(string, Options) (*DB, error) { return nil, ErrNoRocksDB }

// Create fails with [ErrNoRocksDB].
func Create(_, _ string, _ []string) (*DB, error) { return nil, ErrNoRocksDB }

// Offline would be a database directory that no process has open.
type Offline struct{ absent }

// OpenOffline fails with [ErrNoRocksDB].
func OpenOffline(string) (*Offline, error) { return nil, ErrNoRocksDB }

// absent is what every database can do.
type absent struct{}

// Path returns nothing.
func (absent) Path() string { return "" }

// Identity fails with [ErrNoRocksDB].
func (absent) Identity() (string, error) { return "", ErrNoRocksDB }

// Acquire fails with [ErrNoRocksDB].
func (absent) Acquire() (release func(), err error) { return nil, ErrNoRocksDB }

// Checkpoint fails with [ErrNoRocksDB].
func (absent) Checkpoint(string, Flush) error { return ErrNoRocksDB }

// View fails with [ErrNoRocksDB].
func (absent) View() (*View, error) { return nil, ErrNoRocksDB }

// Empty fails with [ErrNoRocksDB].
func (absent) Empty() (bool, error) { return false, ErrNoRocksDB }

// Close does nothing.
func (absent) Close() error { return nil }

// Live fails with [ErrNoRocksDB].
func (*DB) Live() ([]LiveFile, error) { return nil, ErrNoRocksDB }

// Property returns nothing.
func (*DB) Property(_, _ string) string { return "" }

// PutBlock fails with [ErrNoRocksDB].
func (*DB) PutBlock(string, []byte) error { return ErrNoRocksDB }

// Ingest fails with [ErrNoRocksDB].
func (*DB) Ingest(string, []string) error { return ErrNoRocksDB }

// FlushFor fails with [ErrNoRocksDB].
func FlushFor(Source, Flush, uint64) (flushed bool, err error) { return false, ErrNoRocksDB }

// FlushBetween fails with [ErrNoRocksDB].
func FlushBetween(Source, Flush, uint64) (flushed bool, err error) { return false, ErrNoRocksDB }

// Flush fails with [ErrNoRocksDB].
func (*DB) Flush() error { return ErrNoRocksDB }

// CompactAll fails with [ErrNoRocksDB].
func (*DB) CompactAll() error { return ErrNoRocksDB }

// Trim fails with [ErrNoRocksDB].
func Trim(string, map[string]version.Range, bool) (int64, error) { return 0, ErrNoRocksDB }

// DeleteRange fails with [ErrNoRocksDB].
func (*DB) DeleteRange(_ string, _, _ []byte) error { return ErrNoRocksDB }

// CompactRange fails with [ErrNoRocksDB].
func (*DB) CompactRange(_ string, _, _ []byte) error { return ErrNoRocksDB }

// View would read a database at one sequence number.
type View struct{}

// Families lists nothing.
func (*View) Families() []Family { return nil }

// Scan fails with [ErrNoRocksDB].
func (*View) Scan(uint32, []byte, []byte) (*Scan, error) { return nil, ErrNoRocksDB }

// Split returns nothing.
func (*View) Split(uint32, int) [][]byte { return nil }

// Hide does nothing.
func (*View) Hide(expiry.Rules, time.Time) {}

// Close does nothing.
func (*View) Close() {}

// Scan would yield the records of a key range.
type Scan struct{}

// Next fails with [ErrNoRocksDB].
func (*Scan) Next([]byte) (n, records int, err error) { return 0, 0, ErrNoRocksDB }

// Need returns 0.
func (*Scan) Need() int { return 0 }

// Close does nothing.
func (*Scan) Close() {}

// TableWriter would write sorted records to SSTs.
type TableWriter struct{}

// NewTableWriter fails with [ErrNoRocksDB].
func NewTableWriter(*DB, string, string) (*TableWriter, error) { return nil, ErrNoRocksDB }

// AddBlock fails with [ErrNoRocksDB].
func (*TableWriter) AddBlock([]byte) error { return ErrNoRocksDB }

// Finish fails with [ErrNoRocksDB].
func (*TableWriter) Finish() ([]string, error) { return nil, ErrNoRocksDB }

// Close does nothing.
func (*TableWriter) Close() error { return nil }

// PlainScan fails with [ErrNoRocksDB].
func PlainScan(string) (took time.Duration, bytes int64, err error) { return 0, 0, ErrNoRocksDB }

// LimitTables does nothing.
func (*DB) LimitTables() (end func() error, err error) { return nil, ErrNoRocksDB }
