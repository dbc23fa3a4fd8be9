// Package canonical reads and writes the public, engine-independent snapshot
// format: the records of one column family and one range of key groups, in key
// order. It needs neither RocksDB nor WebAssembly.
//
// CANONICAL.md, in the folder above, is the normative description. A [Writer]
// makes a file out of blocks of packed records. A [StreamReader] reads a whole
// file once, front to back, and proves it complete; a [Reader] finds a range of
// key groups in a file that allows random access.
//
// The package also defines the content digest ([Sum] and [Database]), which
// depends on the live records alone and not on the file that holds them.
package canonical

import (
	"fmt"
	"math"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/keygroup"
)

// Version is the version of the format that this package writes, and the
// highest that it reads.
const Version = 1

// BytewiseComparator is RocksDB's name for the order of unsigned bytes. Files
// with this comparator are checked to be in strictly ascending order of keys; of
// other orders only the application knows what they mean.
const BytewiseComparator = "leveldb.BytewiseComparator"

// Frame sizes in bytes before compression.
const (
	DefaultFrameBytes = 1 << 20
	MaxFrameBytes     = 16 << 20 // a longer frame holds a single record
)

// Errors of the readers.
var (
	// ErrCorrupt reports bytes that are not a whole, undamaged file. It is an
	// [abi.ECORRUPT].
	ErrCorrupt error = &abi.Error{Errno: abi.ECORRUPT, Text: "corrupt canonical file"}

	// ErrVersion reports an undamaged file that uses what this package does not
	// know. It is an [abi.ENOSYS].
	ErrVersion error = &abi.Error{Errno: abi.ENOSYS, Text: "canonical file needs a newer reader"}
)

// Header says what the records of a file are.
type Header struct {
	Family     string // name of the column family
	Comparator string // name of its comparator
	GroupCount uint32 // key groups of the application; 0 when it declares none
	FirstGroup uint32 // first key group that the file may hold; 0 without key groups
	LastGroup  uint32 // last key group that the file may hold, inclusive
}

func (h Header) groups() keygroup.Range {
	return keygroup.Range{First: h.FirstGroup, Last: h.LastGroup}
}

func (h Header) check() error {
	for _, name := range []string{h.Family, h.Comparator} {
		if len(name) > math.MaxUint16 {
			return fmt.Errorf("name %.32q… is %d bytes long", name, len(name))
		}
	}
	return h.groups().Check(h.GroupCount)
}

// FrameInfo describes a frame, as the index of a file does.
type FrameInfo struct {
	Offset     int64  // of the frame's first byte in the file
	Stored     uint32 // bytes of the payload as stored
	Raw        uint32 // bytes of the packed records
	Records    uint32
	FirstGroup uint32
	LastGroup  uint32 // inclusive
	FirstKey   string // of the first record, cut to 1,024 bytes
}

// end returns the offset of what follows the frame.
func (f FrameInfo) end() int64 { return f.Offset + frameHeaderBytes + int64(f.Stored) }

// add counts a record that comes to lie in the frame.
func (f *FrameInfo) add(r record, group uint32) {
	if f.Records == 0 {
		f.FirstGroup = group
		f.FirstKey = string(r.key()[:min(r.keyLen, maxIndexKey)])
	}
	f.Records++
	f.Raw += uint32(len(r.packed))
	f.LastGroup = group
}

// Totals describes all records of a file.
type Totals struct {
	Records uint64
	Bytes   uint64 // of keys and values
	Frames  int
	Digest  Sum
}

func totalsOf(sum Sum, frames []FrameInfo) Totals {
	return Totals{Records: sum.Records, Bytes: sum.Bytes, Frames: len(frames), Digest: sum}
}

// corrupt returns an [ErrCorrupt] that says what is wrong.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrCorrupt, fmt.Errorf(format, args...))
}
