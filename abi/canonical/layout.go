package canonical

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/keygroup"
)

// The parts of a file, as the tables of CANONICAL.md give them. All numbers are
// little-endian.
const (
	magic    = "RSKV\r\n\x1a\n"
	endMagic = "RSKV.END"

	headerFixed      = 32 // header before its names
	maxHeaderBytes   = headerFixed + 2*math.MaxUint16 + crcBytes
	frameHeaderBytes = 24
	footerFixed      = 40 // footer before its entries
	entryFixed       = 32 // entry before its key
	trailerBytes     = 32
	crcBytes         = 4

	tagFrame  = 'F'
	tagFooter = 'I'

	maxIndexKey = 1024

	// maxZstdRatio is the most that zstd can shrink: a block of 128 KiB takes at
	// least four bytes. It bounds what a declared length can make a reader
	// allocate.
	maxZstdRatio = 32 << 10
)

var (
	le         = binary.LittleEndian
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

func crc(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// seal appends the checksum of what dst holds from start on.
func seal(dst []byte, start int) []byte { return le.AppendUint32(dst, crc(dst[start:])) }

// sealed reports whether b ends with the checksum of the rest.
func sealed(b []byte) bool {
	end := len(b) - crcBytes
	return end >= 0 && crc(b[:end]) == le.Uint32(b[end:])
}

func appendHeader(dst []byte, h Header) []byte {
	start := len(dst)
	dst = append(dst, magic...)
	dst = le.AppendUint16(dst, Version)
	dst = le.AppendUint16(dst, 0) // flags
	dst = le.AppendUint32(dst, uint32(headerFixed+len(h.Comparator)+len(h.Family)+crcBytes))
	dst = le.AppendUint32(dst, h.GroupCount)
	dst = le.AppendUint32(dst, h.FirstGroup)
	dst = le.AppendUint32(dst, h.LastGroup)
	dst = le.AppendUint16(dst, uint16(len(h.Comparator)))
	dst = le.AppendUint16(dst, uint16(len(h.Family)))
	dst = append(dst, h.Comparator...)
	dst = append(dst, h.Family...)
	return seal(dst, start)
}

// readHeader reads the header from the start of a file and returns its length.
// The checksum comes before the version, so that damage is never taken for a
// newer format: both are where they are in every version.
func readHeader(src io.Reader) (h Header, length int, err error) {
	b, err := readFull(src, nil, headerFixed)
	if err != nil {
		return h, 0, err
	}
	if string(b[:8]) != magic {
		return h, 0, corrupt("no canonical file")
	}
	n := le.Uint32(b[12:])
	if n < headerFixed+crcBytes || n > maxHeaderBytes {
		return h, 0, corrupt("header of %d bytes", n)
	}
	if b, err = readFull(src, b, int(n)); err != nil {
		return h, 0, err
	}
	h, err = parseHeader(b)
	return h, len(b), err
}

func parseHeader(b []byte) (Header, error) {
	if !sealed(b) {
		return Header{}, corrupt("checksum of the header")
	}
	if le.Uint16(b[8:]) > Version || le.Uint16(b[10:]) != 0 {
		return Header{}, ErrVersion
	}
	comparator, family := int(le.Uint16(b[28:])), int(le.Uint16(b[30:]))
	if le.Uint16(b[8:]) == 0 || headerFixed+comparator+family+crcBytes != len(b) {
		return Header{}, corrupt("header lengths disagree")
	}
	h := Header{
		Comparator: string(b[headerFixed : headerFixed+comparator]),
		Family:     string(b[headerFixed+comparator : len(b)-crcBytes]),
		GroupCount: le.Uint32(b[16:]),
		FirstGroup: le.Uint32(b[20:]),
		LastGroup:  le.Uint32(b[24:]),
	}
	if err := h.check(); err != nil {
		return Header{}, corrupt("header: %w", err)
	}
	return h, nil
}

// frameHeader is what stands before the payload of a frame.
type frameHeader struct {
	codec   abi.Codec
	records uint32
	raw     uint32 // bytes of the packed records
	stored  uint32 // bytes of the payload
	sum     uint32 // checksum of the payload
}

func appendFrameHeader(dst []byte, f frameHeader) []byte {
	start := len(dst)
	dst = append(dst, tagFrame, byte(f.codec), 0, 0)
	for _, n := range []uint32{f.records, f.raw, f.stored, f.sum} {
		dst = le.AppendUint32(dst, n)
	}
	return seal(dst, start)
}

func parseFrameHeader(b []byte) (frameHeader, error) {
	f := frameHeader{abi.Codec(b[1]), le.Uint32(b[4:]), le.Uint32(b[8:]), le.Uint32(b[12:]), le.Uint32(b[16:])}
	possible := false
	switch f.codec {
	case abi.CodecNone:
		possible = f.stored == f.raw
	case abi.CodecZstd:
		possible = f.stored < f.raw && uint64(f.raw) <= uint64(f.stored)*maxZstdRatio
	}
	switch {
	case !sealed(b):
		return f, corrupt("checksum of the frame header")
	case b[0] != tagFrame || b[2] != 0 || b[3] != 0 || f.codec > abi.CodecZstd:
		return f, ErrVersion
	case !possible || !plausible(f.records, f.raw):
		return f, corrupt("frame of %d records, %d bytes, %d stored", f.records, f.raw, f.stored)
	}
	return f, nil
}

// plausible reports whether a frame can hold so many records in so many bytes.
func plausible(records, raw uint32) bool {
	return records > 0 && uint64(raw) >= uint64(records)*lengthsBytes && (raw <= MaxFrameBytes || records == 1)
}

// appendFooter appends the footer and the trailer to the end of a file that is
// offset bytes long. Both follow from the frames alone, so a reader that has
// seen all of these knows every byte to come.
func appendFooter(dst []byte, offset int64, sum Sum, frames []FrameInfo) []byte {
	start := len(dst)
	dst = append(dst, tagFooter, 0, 0, 0)
	dst = le.AppendUint32(dst, uint32(len(frames)))
	for _, n := range []uint64{sum.Records, sum.Bytes, sum.Lo, sum.Hi} {
		dst = le.AppendUint64(dst, n)
	}
	for _, f := range frames {
		dst = le.AppendUint64(dst, uint64(f.Offset))
		for _, n := range []uint32{f.Stored, f.Raw, f.Records, f.FirstGroup, f.LastGroup, uint32(len(f.FirstKey))} {
			dst = le.AppendUint32(dst, n)
		}
		dst = append(dst, f.FirstKey...)
	}
	dst = seal(dst, start)
	return appendTrailer(dst, offset, len(dst)-start)
}

func appendTrailer(dst []byte, footer int64, length int) []byte {
	start := len(dst)
	dst = le.AppendUint64(dst, uint64(footer))
	dst = le.AppendUint64(dst, uint64(length))
	dst = le.AppendUint32(dst, 0) // reserved
	return append(seal(dst, start), endMagic...)
}

// parseTrailer returns where the footer of a file of the given size is.
func parseTrailer(b []byte, size int64) (offset, length int64, err error) {
	if string(b[24:]) != endMagic || !sealed(b[:24]) {
		return 0, 0, corrupt("no trailer")
	}
	if le.Uint32(b[16:]) != 0 {
		return 0, 0, ErrVersion
	}
	offset, length = int64(le.Uint64(b)), int64(le.Uint64(b[8:]))
	if offset < 0 || length < footerFixed+crcBytes || offset != size-trailerBytes-length {
		return 0, 0, corrupt("trailer does not fit the size of %d bytes", size)
	}
	return offset, length, nil
}

// parseFooter reads the footer of a file whose frames lie between start and end.
func parseFooter(b []byte, h Header, start, end int64) ([]FrameInfo, Totals, error) {
	if !sealed(b) {
		return nil, Totals{}, corrupt("checksum of the footer")
	}
	if le.Uint32(b) != tagFooter {
		return nil, Totals{}, ErrVersion
	}
	sum := Sum{Records: le.Uint64(b[8:]), Bytes: le.Uint64(b[16:]), Lo: le.Uint64(b[24:]), Hi: le.Uint64(b[32:])}
	frames, err := parseEntries(b[footerFixed:len(b)-crcBytes], le.Uint32(b[4:]))
	if err != nil {
		return nil, Totals{}, err
	}
	if err := checkIndex(frames, h, sum, start, end); err != nil {
		return nil, Totals{}, corrupt("index: %w", err)
	}
	return frames, totalsOf(sum, frames), nil
}

func parseEntries(b []byte, count uint32) ([]FrameInfo, error) {
	if uint64(count)*entryFixed > uint64(len(b)) {
		return nil, corrupt("index of %d frames in %d bytes", count, len(b))
	}
	frames := make([]FrameInfo, count)
	for i := range frames {
		if len(b) < entryFixed {
			return nil, corrupt("index ends within an entry")
		}
		key := uint64(le.Uint32(b[28:]))
		if key > maxIndexKey || entryFixed+key > uint64(len(b)) {
			return nil, corrupt("index key of %d bytes", key)
		}
		frames[i] = FrameInfo{
			Offset: int64(le.Uint64(b)), Stored: le.Uint32(b[8:]), Raw: le.Uint32(b[12:]), Records: le.Uint32(b[16:]),
			FirstGroup: le.Uint32(b[20:]), LastGroup: le.Uint32(b[24:]), FirstKey: string(b[entryFixed : entryFixed+key]),
		}
		b = b[entryFixed+key:]
	}
	if len(b) > 0 {
		return nil, corrupt("%d bytes after the index", len(b))
	}
	return frames, nil
}

// checkIndex proves that the frames fill the file without a gap, are in the
// order of their key groups, and add up to the totals.
func checkIndex(frames []FrameInfo, h Header, sum Sum, start, end int64) error {
	var records, raw uint64
	group := h.FirstGroup
	for _, f := range frames {
		groups := keygroup.Range{First: f.FirstGroup, Last: f.LastGroup}
		switch {
		case f.Offset != start || f.end() > end:
			return errors.New("frames do not fill the file")
		case f.FirstGroup < group || f.LastGroup > h.LastGroup || groups.Check(h.GroupCount) != nil:
			return errors.New("key groups out of order")
		case !plausible(f.Records, f.Raw):
			return errors.New("impossible frame")
		}
		start, group = f.end(), f.LastGroup
		records, raw = records+uint64(f.Records), raw+uint64(f.Raw)
	}
	if start != end {
		return errors.New("frames do not fill the file")
	}
	if records != sum.Records || raw != sum.Bytes+records*lengthsBytes {
		return errors.New("frames do not add up to the totals")
	}
	return nil
}
