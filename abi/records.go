package abi

import (
	"fmt"
	"structs"
	"unsafe"
)

// The records below cross the boundary as they lie in memory: little-endian,
// naturally aligned, without padding. A guest hands its slice to the host and
// the host fills it; nothing is encoded. HostLayout makes the compiler promise
// the layout, tests pin every offset, and the generated headers for other
// languages are made from these types, whose field tags become their comments.
//
// A record may grow at its end in a minor version. The guest passes the size it
// knows; the host fills what both know, and zeroes the rest.

// Info describes a run.
type Info struct {
	_ structs.HostLayout

	ABI         uint32 `wire:"version of the host's ABI, major<<16|minor"`
	Phase       Phase  `wire:"current phase, one bit"`
	Features    uint64 `wire:"bit set of optional features; none are defined in 1.0"`
	TimeMs      int64  `wire:"start of the snapshot, milliseconds since 1970"`
	GroupCount  uint32 `wire:"number of key groups of the application; 0 when it declares none"`
	GroupFirst  uint32 `wire:"first key group that this database holds"`
	GroupLast   uint32 `wire:"last key group that this database holds, inclusive"`
	PrefixBytes uint32 `wire:"length of the key-group prefix of a key: 0, 1 or 2 bytes, big-endian"`
}

// Kind is the kind of a file.
type Kind uint16

// The kinds, in wire order.
const (
	KindTable     Kind = 1 // SST
	KindBlob      Kind = 2 // BlobDB value file
	KindManifest  Kind = 3 // RocksDB's MANIFEST
	KindCurrent   Kind = 4 // RocksDB's CURRENT
	KindOptions   Kind = 5 // RocksDB's OPTIONS
	KindWAL       Kind = 6 // write-ahead log
	KindCanonical Kind = 7 // records in the canonical format
	KindStream    Kind = 8 // opaque bytes written by a strategy
)

var kindNames = [...]string{"", "table", "blob", "manifest", "current", "options", "wal", "canonical", "stream"}

// String returns the kind's name as it stands in manifests.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// MarshalText writes the name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a name, and fails on one that is unknown.
func (k *Kind) UnmarshalText(text []byte) error {
	for i, name := range kindNames {
		if i > 0 && name == string(text) {
			*k = Kind(i)
			return nil
		}
	}
	return fmt.Errorf("unknown kind of file %q", text)
}

// Flags of a [File].
const (
	FileImmutable  uint16 = 1 << iota // never changes once written: tables and blob files
	FileInBase                        // the chosen base holds this very file in shared scope
	FileIdentified                    // has an identity, so later snapshots can recognise it
)

// NoFamily is the Family of a file that belongs to no single column family.
const NoFamily = ^uint32(0)

// File is one file of the checkpoint.
type File struct {
	_ structs.HostLayout

	ID          uint32 `wire:"number of the file in this session, from 0"`
	Kind        Kind   `wire:"1 table 2 blob 3 manifest 4 current 5 options 6 wal 7 canonical 8 stream"`
	Flags       uint16 `wire:"1 immutable, 2 in the base, 4 identified"`
	Size        uint64 `wire:"bytes"`
	Number      uint64 `wire:"RocksDB's file number; no identity"`
	Family      uint32 `wire:"column family id; 0xffffffff none"`
	Level       int32  `wire:"level in the LSM tree; -1 none"`
	SmallestSeq uint64 `wire:"smallest sequence number"`
	LargestSeq  uint64 `wire:"largest sequence number"`
	OldestBlob  uint64 `wire:"lowest blob file number that the table refers to; 0 none"`
	reserved    uint64
}

// Scope says who may refer to a stored object.
type Scope uint16

// The scopes, in wire order.
const (
	ScopePrivate Scope = 0 // this snapshot only; dies with it
	ScopeShared  Scope = 1 // later snapshots may reuse it
)

// String returns the scope's name as it stands in manifests.
func (s Scope) String() string {
	if s == ScopeShared {
		return "shared"
	}
	return "private"
}

// MarshalText writes the name.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a name, and fails on one that is unknown.
func (s *Scope) UnmarshalText(text []byte) error {
	for _, scope := range []Scope{ScopePrivate, ScopeShared} {
		if scope.String() == string(text) {
			*s = scope
			return nil
		}
	}
	return fmt.Errorf("unknown scope %q", text)
}

// Upload asks the host to store a file.
type Upload struct {
	_ structs.HostLayout

	File  uint32 `wire:"file id"`
	Scope Scope  `wire:"0 private, 1 shared"`
	Flags uint16 `wire:"must be 0"`
	User  uint64 `wire:"returned in the completion"`
}

// Reuse asks the host to refer to the object that the base has for a file.
type Reuse struct {
	_ structs.HostLayout

	File  uint32 `wire:"file id"`
	Flags uint32 `wire:"must be 0"`
	User  uint64 `wire:"returned in the completion"`
}

// Fetch asks the host to restore a file.
type Fetch struct {
	_ structs.HostLayout

	File  uint32 `wire:"file id"`
	Flags uint32 `wire:"must be 0"`
	User  uint64 `wire:"returned in the completion"`
}

// Op is the kind of request that a [Completion] ends.
type Op uint32

// The kinds of request, in wire order.
const (
	OpUpload Op = 1
	OpReuse  Op = 2
	OpExport Op = 3
	OpFetch  Op = 4
)

// Completion is the end of one submitted request.
type Completion struct {
	_ structs.HostLayout

	User    uint64 `wire:"the request's user value"`
	Status  int32  `wire:"0, or a negative errno; error_get has the text of the latest"`
	Op      Op     `wire:"1 upload 2 reuse 3 export 4 fetch"`
	Bytes   uint64 `wire:"bytes stored, reused or fetched"`
	Records uint64 `wire:"records exported"`
}

// Err returns nil for a request that succeeded, else its [Errno].
func (c Completion) Err() error {
	if c.Status == 0 {
		return nil
	}
	return Errno(-c.Status)
}

// Base is a committed snapshot that an increment can be computed against.
type Base struct {
	_ structs.HostLayout

	Slot        uint64 `wire:"slot in the catalog"`
	CreatedMs   int64  `wire:"milliseconds since 1970"`
	Files       uint64 `wire:"number of files"`
	BytesFull   uint64 `wire:"bytes of all its files"`
	BytesNew    uint64 `wire:"bytes that it stored itself"`
	BytesReused uint64 `wire:"bytes that it took over from its own base"`
}

// Flags of a [Family].
const (
	FamilyBytewise uint32 = 1 << iota // keys are ordered as unsigned bytes
)

// Family is a column family of the view.
type Family struct {
	_ structs.HostLayout

	ID      uint32 `wire:"column family id"`
	Flags   uint32 `wire:"1 ordered bytewise"`
	Records uint64 `wire:"estimated number of records"`
	Bytes   uint64 `wire:"estimated bytes on disk"`
}

// Codec is the compression of canonical frames.
type Codec uint16

// The codecs, in wire order.
const (
	CodecNone Codec = 0
	CodecZstd Codec = 1
)

// Export asks the host to write a range of records in the canonical format.
type Export struct {
	_ structs.HostLayout

	Family     uint32 `wire:"column family id"`
	FirstGroup uint32 `wire:"first key group; 0 when the application declares none"`
	LastGroup  uint32 `wire:"last key group, inclusive; 0 when the application declares none"`
	Codec      Codec  `wire:"0 none, 1 zstd"`
	Flags      uint16 `wire:"must be 0"`
	FrameBytes uint32 `wire:"target size of a frame before compression; 0 for the host's choice"`
	reserved   uint32
	User       uint64 `wire:"returned in the completion"`
}

// StreamKind says what a stream holds.
type StreamKind uint32

// The kinds of stream, in wire order.
const (
	StreamRaw     StreamKind = 1 // opaque bytes
	StreamRecords StreamKind = 2 // packed records, stored in the canonical format
)

// StreamTransformed marks a records stream whose content is meant to differ from
// the database. Without it the host compares what was written with what was
// scanned, and refuses a difference.
const StreamTransformed uint32 = 1

// StreamSpec describes a stream.
type StreamSpec struct {
	_ structs.HostLayout

	Kind       StreamKind `wire:"1 raw, 2 records"`
	Flags      uint32     `wire:"1 transformed"`
	Family     uint32     `wire:"column family id of a records stream"`
	FirstGroup uint32     `wire:"first key group of a records stream"`
	LastGroup  uint32     `wire:"last key group of a records stream, inclusive"`
	Codec      Codec      `wire:"compression of a records stream: 0 none, 1 zstd"`
	reserved   uint16
}

// Record is any of the fixed-width records of the ABI.
type Record interface {
	Info | File | Upload | Reuse | Fetch | Completion | Base | Family | Export | StreamSpec
}

// Bytes returns the memory of records, for the boundary. Records are
// little-endian by definition, as is every machine that the host's compiler
// supports and WebAssembly itself.
func Bytes[R Record](records []R) []byte {
	if len(records) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(&records[0])), len(records)*Size[R]())
}

// Size returns the length in bytes of a record.
func Size[R Record]() int {
	var r R
	return int(unsafe.Sizeof(r))
}
