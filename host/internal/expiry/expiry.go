// Package expiry tells which records of a column family with a TTL have expired.
// The time stands in the value, where the application, or RocksDB's DBWithTTL,
// has put it.
package expiry

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
)

// Format is where a value has its time.
type Format string

// The formats.
const (
	RocksDB  Format = "rocksdb"   // seconds since 1970, 4 bytes, little-endian, behind the value
	MSPrefix Format = "ms-prefix" // milliseconds since 1970, 8 bytes, big-endian, before the value
)

// Rule says when records expire.
type Rule struct {
	Format  Format
	Seconds uint64 // from a record's time on
}

// Rules are the rules of the column families that have one, by name.
type Rules map[string]Rule

// Units returns a time, and how long a record lives, in the unit of the format.
// RocksDB counts whole seconds and so does its format.
func (r Rule) Units(now time.Time) (at, life uint64) {
	if r.Format == RocksDB {
		return uint64(max(0, now.Unix())), r.Seconds
	}
	return uint64(max(0, now.UnixMilli())), 1000 * r.Seconds
}

// Expired tells whether a value has expired: its time and the seconds of the rule
// lie before now. Nothing expires early because a sum overflows, a time lies in
// the future, or 4 bytes are too few after 2038. A value that is too short for a
// time is [abi.ECORRUPT].
func (r Rule) Expired(value []byte, now time.Time) (bool, error) {
	at, life := r.Units(now)
	var born uint64
	switch n := len(value); {
	case r.Format == RocksDB && n >= 4:
		born = uint64(binary.LittleEndian.Uint32(value[n-4:]))
	case r.Format == MSPrefix && n >= 8:
		born = binary.BigEndian.Uint64(value)
	default:
		return false, fmt.Errorf("a value of %d bytes is too short for a time in format %s: %w", n, r.Format, abi.ECORRUPT)
	}
	return born < at && at-born > life, nil
}

// Live moves the packed records of a block that have not expired to its front,
// and returns them and their number.
func (r Rule) Live(block []byte, now time.Time) (live []byte, records int, err error) {
	live = block[:0]
	for key, value := range canonical.Records(block) {
		expired, err := r.Expired(value, now)
		if err != nil {
			return nil, 0, fmt.Errorf("key %s: %w", brief(key), err)
		}
		if !expired { // what is moved down overlaps nothing that is still to be read
			live = canonical.AppendRecord(live, key, value)
			records++
		}
	}
	return live, records, nil
}

// brief shows the start of a key.
func brief(key []byte) string {
	const enough = 24
	if len(key) > enough {
		return fmt.Sprintf("%x… (%d bytes)", key[:enough], len(key))
	}
	return fmt.Sprintf("%x", key)
}
