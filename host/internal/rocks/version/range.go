package version

import (
	"bytes"
	"math"
)

// Range is a range of user keys in the order of unsigned bytes: from Lower,
// inclusive, to Upper, exclusive. Nil leaves an end open.
type Range struct {
	Lower, Upper []byte
}

// Whole reports whether the range holds every key.
func (r Range) Whole() bool { return len(r.Lower) == 0 && r.Upper == nil }

// Touches reports whether a table may hold, or delete, a key of the range. What
// does not touch the range can be left out where only its keys are wanted: the
// bounds of a table cover all versions of all its keys and its range deletions.
func (r Range) Touches(t Table) bool {
	if r.Upper != nil && bytes.Compare(t.Smallest.User, r.Upper) >= 0 {
		return false
	}
	order := bytes.Compare(t.Largest.User, r.Lower)
	return order > 0 || order == 0 && !t.Largest.exclusive()
}

// Contains reports whether all that a table holds lies in the range.
func (r Range) Contains(t Table) bool {
	if bytes.Compare(t.Smallest.User, r.Lower) < 0 {
		return false
	}
	order := -1
	if r.Upper != nil {
		order = bytes.Compare(t.Largest.User, r.Upper)
	}
	return order < 0 || order == 0 && t.Largest.exclusive()
}

const (
	maxSequence       = math.MaxUint64 >> 8
	typeRangeDeletion = 15
)

// exclusive reports whether the key, as the largest one of a table, is the end of
// a range deletion, which deletes the keys below it only.
func (k Key) exclusive() bool { return k.Seq == maxSequence && k.Type == typeRangeDeletion }

// Before reports whether all that a table holds lies below all that another one
// holds, by their bounds.
func (t Table) Before(other Table) bool {
	order := bytes.Compare(t.Largest.User, other.Smallest.User)
	return order < 0 || order == 0 && t.Largest.exclusive()
}
