package catalog

import (
	"time"

	"github.com/rocksnap/rocksnap/abi"
)

// FormatVersion is the version of the manifest's schema. A reader refuses a
// higher one.
const FormatVersion = 1

// The kinds of snapshot.
const (
	KindNative    = "native"    // RocksDB's own files
	KindCanonical = "canonical" // records in the canonical format
	KindCustom    = "custom"    // objects whose meaning only the strategy knows
	KindEmpty     = "empty"     // a database without files or records
)

// Summary is what a list of snapshots shows: everything about a snapshot that
// does not grow with its number of files.
type Summary struct {
	Version  int       `json:"version"` // FormatVersion, set by Commit
	ID       string    `json:"id"`      // UUID, version 7
	Slot     uint64    `json:"slot"`    // place in the catalog, set by Commit
	Epoch    uint64    `json:"epoch"`   // slot of the writer's epoch entry, set by Commit
	Parent   string    `json:"parent"`  // digest of the entry in the slot before, set by Commit
	Database string    `json:"database"`
	Lineage  string    `json:"lineage"` // identity of the database's history
	Created  time.Time `json:"created"` // when the instant was captured
	Kind     string    `json:"kind"`

	Strategy Strategy `json:"strategy"`
	Base     string   `json:"base,omitempty"` // id of the snapshot it was computed against

	Files       int               `json:"files"`
	BytesFull   int64             `json:"bytes_full"`   // bytes of all files
	BytesNew    int64             `json:"bytes_new"`    // bytes stored by this snapshot
	BytesReused int64             `json:"bytes_reused"` // bytes taken over from the base
	BytesShared int64             `json:"bytes_shared"` // bytes that later snapshots may reuse
	Records     uint64            `json:"records"`      // canonical only
	PrepareMs   float64           `json:"prepare_ms"`   // synchronous phase
	TotalMs     float64           `json:"total_ms"`     // until the seal
	Labels      map[string]string `json:"labels,omitempty"`
	Copied      bool              `json:"copied,omitempty"`    // taken elsewhere, and copied into this repository
	Savepoint   bool              `json:"savepoint,omitempty"` // kept until it is removed by name; shares nothing
	Linked      bool              `json:"linked,omitempty"`    // objects of it are files of the database itself: it is not a backup
	Group       string            `json:"group,omitempty"`     // NAME/ID of the group snapshot that it is part of; it counts once that is committed
	Keys        string            `json:"keys,omitempty"`      // names the set of recipients that can decrypt it; "" when it is not encrypted
}

// Strategy says what took a snapshot.
type Strategy struct {
	Name   string `json:"name"`
	Module string `json:"module,omitempty"` // sha256 of the module, hex; empty when run natively
	ABI    string `json:"abi"`              // as in "1.0"

	Signer    string `json:"signer,omitempty"`    // trusted key that has signed the module, as in the configuration
	Isolation string `json:"isolation,omitempty"` // of the module, as in the configuration

	// Of a snapshot that another strategy was to take: which, and why it has not.
	FallbackFor    string `json:"fallback_for,omitempty"`
	FallbackReason string `json:"fallback_reason,omitempty"`
}

// Manifest is the immutable document that a snapshot is. It lists every file in
// full, so that no other manifest is needed to restore. An entry stores its two
// parts apart, so that a list of snapshots reads the small one only; as JSON
// they are one flat object.
type Manifest struct {
	Summary
	Detail
}

// Detail is what a manifest says beyond its Summary: the files, and everything
// that a restore needs to know about the database.
type Detail struct {
	RocksDB          string            `json:"rocksdb"`           // library version
	DatabaseIdentity string            `json:"database_identity"` // content of RocksDB's IDENTITY
	Families         []Family          `json:"column_families"`   // in id order
	Options          string            `json:"options,omitempty"` // text of RocksDB's OPTIONS file
	KeyGroups        *KeyGroups        `json:"keygroups,omitempty"`
	ContentDigest    string            `json:"content_digest,omitempty"` // where it is known
	Contents         []File            `json:"contents"`
	State            map[string][]byte `json:"state,omitempty"`  // of the strategy
	Known            []uint64          `json:"known,omitempty"`  // slots of earlier snapshots by the strategy which it was not told are gone
	Deaf             bool              `json:"deaf,omitempty"`   // whether the strategy does not want to be told
	Meta             map[string][]byte `json:"meta,omitempty"`   // given by the strategy and the application
	Sealed           []byte            `json:"sealed,omitempty"` // the rest, encrypted; see Conceal
}

// Family is a column family of the snapshot.
type Family struct {
	ID            uint32 `json:"id"`
	Name          string `json:"name"`
	Comparator    string `json:"comparator"`
	MergeOperator string `json:"merge_operator,omitempty"`
	TTL           *TTL   `json:"ttl,omitempty"` // nil when its records do not expire
}

// TTL says when the records of a column family expire.
type TTL struct {
	Format  string `json:"format"`  // where a record has its time: "rocksdb" or "ms-prefix"
	Seconds uint64 `json:"seconds"` // from that time on
}

// KeyGroups says which key groups the database held.
type KeyGroups struct {
	Count uint32 `json:"count"`
	First uint32 `json:"first"`
	Last  uint32 `json:"last"` // inclusive
}

// File is one file of a snapshot and the object that holds its bytes.
type File struct {
	Name     string    `json:"name"` // within the database directory, never a path
	Kind     abi.Kind  `json:"kind"`
	Scope    abi.Scope `json:"scope"`
	Reused   bool      `json:"reused,omitempty"`
	Linked   bool      `json:"linked,omitempty"` // the object is the database's own file, not a copy
	Object   string    `json:"object"`           // name of the stored object, or of the pack
	Size     int64     `json:"size"`             // bytes of the file
	Stored   int64     `json:"stored,omitempty"` // bytes as stored where they are not those of the file: it is encrypted
	Digest   string    `json:"digest"`           // BLAKE3-256 of the bytes as stored, hex
	CRC32C   uint32    `json:"crc32c"`           // of the same, Castagnoli
	Identity string    `json:"identity,omitempty"`
	Segment  *Segment  `json:"segment,omitempty"` // nil when the file has its object to itself

	Number      uint64 `json:"number,omitempty"` // RocksDB's file number
	Family      string `json:"column_family,omitempty"`
	Level       int    `json:"level"` // -1 none
	SmallestKey []byte `json:"smallest_key,omitempty"`
	LargestKey  []byte `json:"largest_key,omitempty"`
	SmallestSeq uint64 `json:"smallest_seq,omitempty"`
	LargestSeq  uint64 `json:"largest_seq,omitempty"`
	OldestBlob  uint64 `json:"oldest_blob,omitempty"`
	Cause       string `json:"cause,omitempty"` // what wrote it, as in "flush", of a file that is new; "" unknown

	Records    uint64 `json:"records,omitempty"`     // canonical only
	FirstGroup uint32 `json:"first_group,omitempty"` // canonical only
	LastGroup  uint32 `json:"last_group,omitempty"`  // canonical only
}

// Segment is the place of a file in a pack: an object that holds several files.
type Segment struct {
	Offset int64  `json:"offset"` // of the file's first stored byte
	Pack   int64  `json:"pack"`   // bytes of the whole object
	CRC32C uint32 `json:"crc32c"` // of the whole object, Castagnoli
}

// StoredSize returns the number of bytes that the file takes in its object.
func (f *File) StoredSize() int64 {
	if f.Stored > 0 {
		return f.Stored
	}
	return f.Size
}

// ObjectSize returns the size of the object that holds the file, in bytes.
func (f *File) ObjectSize() int64 {
	if f.Segment != nil {
		return f.Segment.Pack
	}
	return f.StoredSize()
}

// ObjectCRC32C returns the checksum of the object that holds the file.
func (f *File) ObjectCRC32C() uint32 {
	if f.Segment != nil {
		return f.Segment.CRC32C
	}
	return f.CRC32C
}

// Offset returns where the file begins in its object, in bytes.
func (f *File) Offset() int64 {
	if f.Segment != nil {
		return f.Segment.Offset
	}
	return 0
}
