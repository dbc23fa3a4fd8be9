package version

import (
	"bytes"
	"encoding/binary"
	"math"
)

// Tags of a version edit, from enum Tag in db/version_edit.h. Forms that only
// earlier releases wrote are missing on purpose: RocksDB 7.8 writes a new
// MANIFEST whenever it opens a database for writing.
const (
	tagComparator   = 1
	tagLogNumber    = 2
	tagNextFile     = 3
	tagLastSequence = 4
	tagCursor       = 5
	tagDeletedFile  = 6
	tagPrevLog      = 9
	tagMinLogToKeep = 10
	tagNewFile4     = 103
	tagFamily       = 200
	tagFamilyAdd    = 201
	tagFamilyDrop   = 202
	tagMaxFamily    = 203
	tagAtomicGroup  = 300
	tagBlob         = 400
	tagBlobGarbage  = 401

	// A tag with this bit is followed by a string and may be skipped. The
	// four bare ones were written before that rule was kept.
	tagSkippable = 1 << 13
	tagFirstBare = tagSkippable + 2
	tagLastBare  = tagSkippable + 5
)

// Tags of the custom fields of a table and of a blob file.
const (
	tableTagEnd    = 1
	tableTagMinLog = 3
	tableTagBlob   = 4
	tableTagTime   = 6
	tableTagSum    = 7
	tableTagFunc   = 8
	tableTagUnique = 12

	blobTagEnd = 0

	// A field with this bit must be understood.
	customRequired = 1 << 6
)

// edit is one record of the MANIFEST. Numbers that it does not set are nil.
type edit struct {
	family     uint32
	add, drop  bool // creates, or drops, the family
	name       string
	comparator string

	logNumber, prevLog, nextFile, lastSequence, minLog *uint64

	maxFamily uint32

	deleted []place
	tables  []*Table
	blobs   []Blob
	garbage []garbage

	grouped   bool
	remaining uint32 // edits of the atomic group that follow this one
}

// place is where a table is.
type place struct {
	level  int
	number uint64
}

// garbage is what became unreferenced in a blob file.
type garbage struct {
	number, count, bytes uint64
}

func (e *edit) touchesFiles() bool {
	return len(e.deleted)+len(e.tables)+len(e.blobs)+len(e.garbage) > 0
}

// decode reads one record. The edit shares no memory with it.
func decode(record []byte) (*edit, error) {
	c := &cursor{rest: record}
	e := &edit{}
	for c.more() {
		tag := c.uint32()
		switch {
		case e.decodeNumber(tag, c), e.decodeFamily(tag, c), e.decodeFile(tag, c):
		case tag == tagCursor:
			c.level()
			c.key()
		case tag&tagSkippable != 0 && (tag < tagFirstBare || tag > tagLastBare):
			c.bytes()
		default:
			c.fail(ErrUnsupported, "tag %d", tag)
		}
	}
	if (e.add || e.drop) && e.touchesFiles() {
		c.fail(ErrUnsupported, "column family change that also changes files")
	}
	return e, c.err
}

func (e *edit) decodeNumber(tag uint32, c *cursor) bool {
	switch tag {
	case tagLogNumber:
		e.logNumber = new(c.uint64())
	case tagPrevLog:
		e.prevLog = new(c.uint64())
	case tagNextFile:
		e.nextFile = new(c.uint64())
	case tagLastSequence:
		e.lastSequence = new(c.uint64())
	case tagMinLogToKeep:
		e.minLog = new(c.uint64())
	case tagAtomicGroup:
		e.grouped, e.remaining = true, c.uint32()
	default:
		return false
	}
	return true
}

func (e *edit) decodeFamily(tag uint32, c *cursor) bool {
	switch tag {
	case tagComparator:
		e.comparator = c.string()
	case tagFamily:
		e.family = c.uint32()
	case tagFamilyAdd:
		e.add, e.name = true, c.string()
	case tagFamilyDrop:
		e.drop = true
	case tagMaxFamily:
		e.maxFamily = c.uint32()
	default:
		return false
	}
	return true
}

func (e *edit) decodeFile(tag uint32, c *cursor) bool {
	switch tag {
	case tagDeletedFile:
		e.deleted = append(e.deleted, place{c.level(), c.uint64()})
	case tagNewFile4:
		e.tables = append(e.tables, e.decodeTable(c))
	case tagBlob:
		e.blobs = append(e.blobs, decodeBlob(c))
	case tagBlobGarbage:
		e.garbage = append(e.garbage, decodeGarbage(c))
	default:
		return false
	}
	return true
}

func (e *edit) decodeTable(c *cursor) *Table {
	t := &Table{Level: c.level(), Number: c.uint64(), Size: int64(c.atMost(math.MaxInt64))}
	t.Smallest, t.Largest = c.key(), c.key()
	t.SmallestSeq, t.LargestSeq = c.uint64(), c.uint64()
	for tag := c.uint32(); c.err == nil && tag != tableTagEnd; tag = c.uint32() {
		e.decodeTableField(tag, c.bytes(), t, c)
	}
	return t
}

// decodeTableField reads a custom field of a table, from enum NewFileCustomTag
// in db/version_edit.h. Path ids are among those refused: a checkpoint puts all
// files into one directory.
func (e *edit) decodeTableField(tag uint32, field []byte, t *Table, c *cursor) {
	switch tag {
	case tableTagMinLog: // belongs to the edit, and stands here for history's sake
		if c.want(field, 8) {
			e.minLog = new(binary.LittleEndian.Uint64(field))
		}
	case tableTagBlob:
		t.OldestBlob = c.number(field)
	case tableTagTime:
		t.CreatedUnix = c.number(field)
	case tableTagSum:
		t.Checksum = append(t.Checksum, field...)
	case tableTagFunc:
		t.ChecksumFunc = string(field)
	case tableTagUnique:
		if c.want(field, 16) {
			t.UniqueID[0] = binary.LittleEndian.Uint64(field)
			t.UniqueID[1] = binary.LittleEndian.Uint64(field[8:])
		}
	default:
		c.custom(tag)
		t.Fields = append(t.Fields, Field{tag, bytes.Clone(field)})
	}
}

// decodeBlob follows db/blob/blob_file_addition.cc.
func decodeBlob(c *cursor) Blob {
	b := Blob{Number: c.uint64(), Count: c.uint64(), Bytes: c.uint64()}
	b.ChecksumFunc = c.string()
	b.Checksum = append(b.Checksum, c.bytes()...)
	c.skipCustom()
	return b
}

// decodeGarbage follows db/blob/blob_file_garbage.cc.
func decodeGarbage(c *cursor) garbage {
	g := garbage{number: c.uint64(), count: c.uint64(), bytes: c.uint64()}
	c.skipCustom()
	return g
}

// skipCustom passes over the custom fields of a blob file, none of which is
// defined.
func (c *cursor) skipCustom() {
	for tag := c.uint32(); c.err == nil && tag != blobTagEnd; tag = c.uint32() {
		c.bytes()
		c.custom(tag)
	}
}

// custom fails for an unknown custom field that must be understood.
func (c *cursor) custom(tag uint32) {
	if tag&customRequired != 0 {
		c.fail(ErrUnsupported, "custom field %d", tag)
	}
}

func (c *cursor) want(field []byte, size int) bool {
	if len(field) != size && c.err == nil {
		c.fail(ErrCorrupt, "custom field of %d bytes instead of %d", len(field), size)
	}
	return c.err == nil
}

// number reads a custom field that is one varint.
func (c *cursor) number(field []byte) uint64 {
	inner := cursor{rest: field, err: c.err}
	v := inner.uint64()
	if inner.err != nil || inner.more() {
		c.fail(ErrCorrupt, "custom field is no number")
	}
	return v
}
