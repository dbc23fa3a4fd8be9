package version

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// Write writes a MANIFEST that says what the set says: replaying it gives the set
// again, but for the name and the length of the MANIFEST. It fails with
// [ErrCorrupt] for a set that [Replay] would refuse, and with an error of w.
//
// Left out are cursors of compactions, WALs by name and the id of the database.
// RocksDB needs none of them, and the first two would be wrong where files of the
// set were left out or renamed.
func Write(w io.Writer, set *Set) error {
	if err := set.check(); err != nil {
		return fmt.Errorf("write MANIFEST: %w", err)
	}
	log := &logWriter{w: w}
	for _, f := range set.Families {
		log.record(set.begin(f))
	}
	for _, f := range set.Families {
		for part := range slices.Chunk(f.Blobs, filesPerRecord) {
			log.record(encode(f, part, Blob.encode))
		}
		for part := range slices.Chunk(f.Tables, filesPerRecord) {
			log.record(encode(f, part, Table.encode))
		}
	}
	if log.err != nil {
		return fmt.Errorf("write MANIFEST: %w", log.err)
	}
	return nil
}

// EncodeNextFile returns the bytes that raise the next file number when they are
// appended to a MANIFEST of the given length.
func EncodeNextFile(length int64, next uint64) []byte {
	var b bytes.Buffer // whose writes never fail
	log := &logWriter{w: &b, at: int(length % blockSize)}
	log.record(record(nil).numbers(tagNextFile, next))
	return b.Bytes()
}

// filesPerRecord bounds the memory of one record.
const filesPerRecord = 1000

// record is an edit being encoded.
type record []byte

func (r record) numbers(list ...uint64) record {
	for _, n := range list {
		r = binary.AppendUvarint(r, n)
	}
	return r
}

func (r record) bytes(b []byte) record { return append(r.numbers(uint64(len(b))), b...) }

func (r record) key(k Key) record {
	r = append(r.numbers(uint64(len(k.User)+8)), k.User...)
	return binary.LittleEndian.AppendUint64(r, k.Seq<<8|uint64(k.Type))
}

// field appends a custom field.
func (r record) field(tag uint32, value []byte) record {
	return r.numbers(uint64(tag)).bytes(value)
}

// number appends a custom field of one number, which is left out where it is 0.
func (r record) number(tag uint32, n uint64) record {
	if n == 0 {
		return r
	}
	return r.field(tag, binary.AppendUvarint(nil, n))
}

// begin encodes the edit that makes a column family known. That of the default
// one, which is first, says what holds for the whole database.
func (s *Set) begin(f Family) (r record) {
	if f.Comparator != "" {
		r = r.numbers(tagComparator).bytes([]byte(f.Comparator))
	}
	r = r.numbers(tagLogNumber, f.LogNumber)
	if f.ID != 0 {
		return r.numbers(tagFamily, uint64(f.ID), tagFamilyAdd).bytes([]byte(f.Name))
	}
	r = r.numbers(tagPrevLog, s.PrevLog, tagNextFile, s.NextFile, tagMaxFamily, uint64(s.MaxFamily), tagLastSequence, s.LastSequence)
	if s.MinLogToKeep > 0 {
		r = r.numbers(tagMinLogToKeep, s.MinLogToKeep)
	}
	return r
}

// encode encodes an edit that adds files to a column family.
func encode[F any](f Family, files []F, add func(F, record) record) (r record) {
	if f.ID != 0 {
		r = r.numbers(tagFamily, uint64(f.ID))
	}
	for _, file := range files {
		r = add(file, r)
	}
	return r
}

func (b Blob) encode(r record) record {
	r = r.numbers(tagBlob, b.Number, b.Count, b.Bytes).bytes([]byte(b.ChecksumFunc)).bytes(b.Checksum).numbers(blobTagEnd)
	if b.GarbageCount > 0 || b.GarbageBytes > 0 {
		r = r.numbers(tagBlobGarbage, b.Number, b.GarbageCount, b.GarbageBytes, blobTagEnd)
	}
	return r
}

// encode leaves out the number of the lowest WAL to keep, which stands among the
// custom fields for history's sake: it belongs to the set.
func (t Table) encode(r record) record {
	r = r.numbers(tagNewFile4, uint64(t.Level), t.Number, uint64(t.Size)).key(t.Smallest).key(t.Largest)
	r = r.numbers(t.SmallestSeq, t.LargestSeq)
	r = r.number(tableTagBlob, t.OldestBlob).number(tableTagTime, t.CreatedUnix)
	if len(t.Checksum) > 0 {
		r = r.field(tableTagSum, t.Checksum)
	}
	if t.ChecksumFunc != "" {
		r = r.field(tableTagFunc, []byte(t.ChecksumFunc))
	}
	for _, f := range t.Fields {
		r = r.field(f.Tag, f.Value)
	}
	if t.UniqueID != [2]uint64{} {
		id := binary.LittleEndian.AppendUint64(nil, t.UniqueID[0])
		r = r.field(tableTagUnique, binary.LittleEndian.AppendUint64(id, t.UniqueID[1]))
	}
	return r.numbers(tableTagEnd)
}

// logWriter cuts records into fragments. The first error sticks.
type logWriter struct {
	w   io.Writer
	at  int // offset in the block
	err error
}

func (l *logWriter) record(r record) {
	for first, last := true, false; !last; first = false {
		if blockSize-l.at < headerSize {
			l.write(make([]byte, blockSize-l.at))
		}
		n := min(len(r), blockSize-l.at-headerSize)
		last = n == len(r)
		l.fragment(fragmentKind(first, last), r[:n])
		r = r[n:]
	}
}

func fragmentKind(first, last bool) byte {
	switch {
	case first && last:
		return fragmentFull
	case first:
		return fragmentFirst
	case last:
		return fragmentLast
	}
	return fragmentMiddle
}

func (l *logWriter) fragment(kind byte, data []byte) {
	header := make([]byte, headerSize, headerSize+len(data))
	header[6] = kind
	whole := append(header, data...)
	binary.LittleEndian.PutUint32(whole, mask(crc32.Checksum(whole[6:], castagnoli)))
	binary.LittleEndian.PutUint16(whole[4:], uint16(len(data)))
	l.write(whole)
}

func (l *logWriter) write(b []byte) {
	if l.err == nil {
		_, l.err = l.w.Write(b)
	}
	l.at = (l.at + len(b)) % blockSize
}
