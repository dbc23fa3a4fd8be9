// Package version reads and writes RocksDB's MANIFEST, the log of version edits
// that tells which files are live. It needs no RocksDB, so that what RocksDB says
// about itself can be checked against an independent reader, and so that metadata
// is judged before a library that aborts on bad metadata sees it.
//
// The format is that of RocksDB 7.8.3: db/log_format.h for the framing,
// db/version_edit.cc for the edits, db/version_builder.cc for what becomes of
// files. What this package does not know it refuses; it never guesses.
package version

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
)

// ErrCorrupt reports a MANIFEST, or a CURRENT, that contradicts itself or its
// checksums.
var ErrCorrupt = errors.New("corrupt")

// ErrUnsupported reports a MANIFEST that is sound as far as it can be read, but
// says something that this package does not know.
var ErrUnsupported = errors.New("unsupported")

// Set is the live set: everything that a MANIFEST says a database consists of.
type Set struct {
	Manifest      string // name of the MANIFEST
	ManifestBytes int64  // length of what was replayed, to the end of the last edit in force

	// Tail is the number of bytes after ManifestBytes: the beginning of an edit
	// or of an atomic group that was never finished. RocksDB opens such a
	// database without them, so it is no error here. But damage to a length
	// near the end of a file looks the same: whoever reads a MANIFEST that
	// nobody is writing, such as that of a checkpoint, should insist on 0.
	Tail int64

	NextFile     uint64 // all file numbers are below it
	LastSequence uint64 // sequence number at the latest edit; the WAL may hold higher ones
	PrevLog      uint64 // WAL of an unfinished recovery by very old versions; 0 none
	MinLogToKeep uint64 // lowest WAL number that RocksDB had not released; 0 not recorded
	MaxFamily    uint32 // highest id that a column family has ever had

	Families []Family // by id
}

// MinLog returns the lowest number of a WAL that recovery may need: the least
// of the families' log numbers, PrevLog and MinLogToKeep, where they are set.
// WALs below it may be left out of a copy.
func (s *Set) MinLog() uint64 {
	low := s.NextFile
	for _, f := range s.Families {
		low = min(low, f.LogNumber)
	}
	for _, n := range []uint64{s.PrevLog, s.MinLogToKeep} {
		if n > 0 {
			low = min(low, n)
		}
	}
	return low
}

// Family is a column family with its live files.
type Family struct {
	ID         uint32
	Name       string
	Comparator string  // name of the comparator; "" not recorded
	LogNumber  uint64  // WALs below it hold nothing unflushed of this family
	Tables     []Table // by level, then by number
	Blobs      []Blob  // by number
}

// Table is a live SST.
type Table struct {
	Number      uint64
	Level       int
	Size        int64 // bytes
	Smallest    Key   // bounds of what the table covers, range deletions included
	Largest     Key
	SmallestSeq uint64
	LargestSeq  uint64

	// UniqueID is the internal form of RocksDB's unique id of a table
	// (table/unique_id.cc), in the order in which it is stored; zero when
	// absent, as in tables from before 7.3.
	UniqueID [2]uint64

	ChecksumFunc string // name of the function behind Checksum; "" none
	Checksum     []byte // of the whole file, as that function encodes it
	OldestBlob   uint64 // lowest blob file number that the table refers to; 0 none
	CreatedUnix  uint64 // seconds since 1970; 0 unknown

	Fields []Field // what else the MANIFEST says of the table, as it stands there

	Cause Cause // what wrote it, as far as the MANIFEST goes back; [Write] leaves it out
}

// Field is a custom field of a table (enum NewFileCustomTag in
// db/version_edit.h) that this package passes on without a look at it.
type Field struct {
	Tag   uint32
	Value []byte
}

// Name returns the name of the table's file.
func (t Table) Name() string { return fileName(t.Number, ".sst") }

// Blob is a live blob file.
type Blob struct {
	Number       uint64
	Count        uint64 // number of values, garbage included
	Bytes        uint64 // bytes of the values, garbage included; less than the file's size
	GarbageCount uint64 // number of values that no table refers to any more
	GarbageBytes uint64 // bytes of those values
	ChecksumFunc string // name of the function behind Checksum; "" none
	Checksum     []byte // of the whole file, as that function encodes it
	Cause        Cause  // as of a [Table]
}

// Name returns the name of the blob file.
func (b Blob) Name() string { return fileName(b.Number, ".blob") }

// Key is an internal key: a user key with the sequence number and the type of
// operation (ValueType in db/dbformat.h). With user-defined timestamps, User
// ends with the timestamp.
type Key struct {
	User []byte
	Seq  uint64
	Type byte
}

// Read replays the MANIFEST that CURRENT of dir names. It fails as [Replay]
// does, and with fs.ErrNotExist when there is no CURRENT or no such MANIFEST.
func Read(dir string) (*Set, error) {
	name, err := current(filepath.Join(dir, "CURRENT"))
	if err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		if next, again := current(filepath.Join(dir, "CURRENT")); again == nil && next != name {
			return Read(dir) // RocksDB has begun another one meanwhile
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open MANIFEST: %w", err)
	}
	defer f.Close()
	return Replay(f, name)
}

// current returns the name of the MANIFEST that the CURRENT file holds.
func current(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open CURRENT: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 64)) // a name has 29 bytes at most, and a newline
	if err != nil {
		return "", fmt.Errorf("read CURRENT: %w", err)
	}
	name, ended := strings.CutSuffix(string(text), "\n")
	if kind, _, ok := FileKind(name); !ended || !ok || kind != abi.KindManifest {
		return "", fmt.Errorf("read CURRENT: %w: %q names no MANIFEST", ErrCorrupt, text)
	}
	return name, nil
}
