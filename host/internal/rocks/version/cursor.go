package version

import (
	"encoding/binary"
	"fmt"
	"math"
)

// cursor decodes a record from front to back (util/coding.h). The first failure
// sticks: later reads return zero values, so a caller checks err once.
type cursor struct {
	rest []byte
	err  error
}

func (c *cursor) more() bool { return c.err == nil && len(c.rest) > 0 }

func (c *cursor) fail(sentinel error, format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: %s", sentinel, fmt.Sprintf(format, args...))
	}
	c.rest = nil
}

func (c *cursor) uint64() uint64 {
	if c.err != nil {
		return 0
	}
	v, n := binary.Uvarint(c.rest)
	if n <= 0 {
		c.fail(ErrCorrupt, "bad varint")
		return 0
	}
	c.rest = c.rest[n:]
	return v
}

func (c *cursor) atMost(limit uint64) uint64 {
	v := c.uint64()
	if v > limit {
		c.fail(ErrCorrupt, "number %d out of range", v)
		return 0
	}
	return v
}

func (c *cursor) uint32() uint32 { return uint32(c.atMost(math.MaxUint32)) }
func (c *cursor) level() int     { return int(c.atMost(math.MaxInt32)) }

// bytes reads a string with its length before it. The result shares the
// record's memory.
func (c *cursor) bytes() []byte {
	n := c.uint64()
	if n > uint64(len(c.rest)) {
		c.fail(ErrCorrupt, "string of %d bytes where %d are left", n, len(c.rest))
		return nil
	}
	b := c.rest[:n]
	c.rest = c.rest[n:]
	return b
}

func (c *cursor) string() string { return string(c.bytes()) }

// key reads an internal key: the user key and eight bytes of sequence number
// and type (db/dbformat.h).
func (c *cursor) key() Key {
	b := c.bytes()
	if c.err != nil {
		return Key{}
	}
	n := len(b) - 8
	if n < 0 {
		c.fail(ErrCorrupt, "internal key of %d bytes", len(b))
		return Key{}
	}
	trailer := binary.LittleEndian.Uint64(b[n:])
	return Key{User: append([]byte(nil), b[:n]...), Seq: trailer >> 8, Type: byte(trailer)}
}
