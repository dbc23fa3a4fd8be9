package canonical

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math/bits"
	"slices"

	"github.com/zeebo/blake3"
	"github.com/zeebo/xxh3"
)

// digestSeed is "rocksnap" in ASCII, most significant byte first.
const digestSeed = 0x726f636b736e6170

// Sum is the content digest of a set of records: the sum of one 128-bit hash for
// each. It does not depend on their order, so that parts can be summed apart and
// merged. The zero value is the digest of no records.
//
// It recognises accidents, not forgery: whoever can choose records can make two
// sets with the same sum. CANONICAL.md has the definition and vectors.
type Sum struct {
	Records uint64
	Bytes   uint64 // of keys and values
	Hi, Lo  uint64 // halves of the sum modulo 2^128
}

// Add adds a record.
func (s *Sum) Add(key, value []byte) {
	var small [512]byte
	s.add(append(append(small[:0], key...), value...), len(key))
}

// AddBlock adds packed records, or fails with [ErrCorrupt] when they are not
// whole; s is then unusable.
func (s *Sum) AddBlock(packed []byte) error {
	for len(packed) > 0 {
		r, rest, err := cut(packed)
		if err != nil {
			return corrupt("record %d: %w", s.Records, err)
		}
		s.addRecord(r)
		packed = rest
	}
	return nil
}

func (s *Sum) addRecord(r record) { s.add(r.packed[lengthsBytes:], r.keyLen) }

// add takes key and value as they lie in a packed record, side by side. The key
// length in the seed tells where the one ends and the other starts.
func (s *Sum) add(keyValue []byte, keyLen int) {
	h := xxh3.Hash128Seed(keyValue, digestSeed+uint64(keyLen))
	*s = s.Merge(Sum{Records: 1, Bytes: uint64(len(keyValue)), Hi: h.Hi, Lo: h.Lo})
}

// Merge returns the digest of both sets together.
func (s Sum) Merge(other Sum) Sum {
	lo, carry := bits.Add64(s.Lo, other.Lo, 0)
	hi, _ := bits.Add64(s.Hi, other.Hi, carry)
	return Sum{Records: s.Records + other.Records, Bytes: s.Bytes + other.Bytes, Hi: hi, Lo: lo}
}

// Equal reports whether both digests are of the same content.
func (s Sum) Equal(other Sum) bool { return s == other }

// String returns the sum as 32 hexadecimal digits, most significant first.
func (s Sum) String() string { return fmt.Sprintf("%016x%016x", s.Hi, s.Lo) }

// Database returns the content digest of a whole database, given those of its
// column families by name: a BLAKE3-256 in hexadecimal digits. A column family
// without records does not count.
func Database(families map[string]Sum) string {
	h := blake3.New()
	for _, name := range slices.Sorted(maps.Keys(families)) {
		s := families[name]
		if s.Records == 0 {
			continue
		}
		b := binary.LittleEndian.AppendUint32(nil, uint32(len(name)))
		b = append(b, name...)
		b = binary.LittleEndian.AppendUint64(b, s.Records)
		b = binary.LittleEndian.AppendUint64(b, s.Lo)
		b = binary.LittleEndian.AppendUint64(b, s.Hi)
		h.Write(b) // never fails
	}
	return hex.EncodeToString(h.Sum(nil))
}
