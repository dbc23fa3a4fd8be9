// Package keygroup divides an application's keys into key groups: the unit in
// which data moves between workers when an application is rescaled.
//
// An application that declares key groups fixes their count for the life of its
// data, computes the group of each of its keys with [KeyGroup], and stores every
// record under a key that starts with the group's prefix. Records of one group
// are then neighbours in the database, and so in every snapshot.
//
// A worker that serves a [Range] finds its records between two stored keys, which
// [Range.Bounds] returns, and [RangeFor] deals the groups out: with any number of
// workers, up to one for each group, every group has exactly one. Keys do not
// change when the number of workers does.
//
// rocksnap is told of all this in the table [keygroups] of its configuration, with
// the count and the range that a database holds. Then it restores single ranges,
// divides and merges databases, and refuses a snapshot of keys without their
// prefix.
//
// The count 0 stands for an application without key groups: prefixes are empty,
// and everything is in group 0.
package keygroup

import "fmt"

// MaxCount is the highest number of key groups. It leaves the top bit of a
// two-byte prefix clear.
const MaxCount = 1 << 15

// onePrefixByte is the highest count whose prefixes are one byte long.
const onePrefixByte = 128

// Check fails when count is more than [MaxCount].
func Check(count uint32) error {
	if count > MaxCount {
		return fmt.Errorf("key group count %d is more than %d", count, MaxCount)
	}
	return nil
}

// KeyGroup returns the group of an application's key (without a prefix), which is
// less than count: 32-bit FNV-1a, then the 32-bit finaliser of MurmurHash3, then
// modulo count. The function never changes, since stored data depends on it.
func KeyGroup(key []byte, count uint32) uint32 {
	if count == 0 {
		return 0
	}
	return mix(fnv1a(key)) % count
}

func fnv1a(key []byte) uint32 {
	h := uint32(2166136261)
	for _, b := range key {
		h = (h ^ uint32(b)) * 16777619
	}
	return h
}

// mix spreads every bit of h over all bits. FNV alone leaves keys that differ
// only in their last byte close together.
func mix(h uint32) uint32 {
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

// PrefixBytes returns the length in bytes of a stored key's prefix: 0 without
// key groups, 1 up to 128 of them, else 2.
func PrefixBytes(count uint32) int {
	switch {
	case count == 0:
		return 0
	case count <= onePrefixByte:
		return 1
	}
	return 2
}

// Prefix returns the prefix of a group; see [AppendPrefix].
func Prefix(group, count uint32) []byte { return AppendPrefix(nil, group, count) }

// AppendPrefix appends the prefix of a group, big-endian, so that stored keys
// are in the order of their groups. It panics when the group is not one of count.
func AppendPrefix(dst []byte, group, count uint32) []byte {
	if group >= max(count, 1) {
		panic(fmt.Sprintf("keygroup: group %d of %d", group, count))
	}
	switch PrefixBytes(count) {
	case 0:
		return dst
	case 1:
		return append(dst, byte(group))
	}
	return append(dst, byte(group>>8), byte(group))
}

// Of returns the group in the prefix of a stored key. It reports false for a key
// that is too short to have one, or whose prefix is no group of count.
func Of(key []byte, count uint32) (group uint32, ok bool) {
	n := PrefixBytes(count)
	if len(key) < n {
		return 0, false
	}
	for _, b := range key[:n] {
		group = group<<8 | uint32(b)
	}
	return group, group < max(count, 1)
}

// Range is a run of key groups, both ends inclusive.
type Range struct{ First, Last uint32 }

// RangeFor returns the groups of one worker (numbered from 0) out of
// parallelism. The ranges of all workers are contiguous, cover every group
// exactly once and differ in length by at most one. Group g belongs to worker
// g*parallelism/count. It fails when the worker does not exist, or when there
// are fewer groups than workers.
func RangeFor(worker, parallelism, count uint32) (Range, error) {
	if err := Check(count); err != nil {
		return Range{}, err
	}
	if parallelism > count {
		return Range{}, fmt.Errorf("%d workers are more than %d key groups", parallelism, count)
	}
	if worker >= parallelism {
		return Range{}, fmt.Errorf("worker %d is not one of %d", worker, parallelism)
	}
	return Range{
		First: (worker*count + parallelism - 1) / parallelism,
		Last:  ((worker+1)*count - 1) / parallelism,
	}, nil
}

// Check fails when the range is not within the groups of count. Without key
// groups, only the zero range is.
func (r Range) Check(count uint32) error {
	if err := Check(count); err != nil {
		return err
	}
	if r.First > r.Last || r.Last >= max(count, 1) {
		return fmt.Errorf("key groups %s are not a range of %d", r, count)
	}
	return nil
}

// Contains reports whether a group is in the range.
func (r Range) Contains(group uint32) bool { return r.First <= group && group <= r.Last }

// Bounds returns the stored keys that the range consists of: those from lower
// up to, but without, upper in the order of bytes. A nil upper is an open end.
// The range must pass [Range.Check].
func (r Range) Bounds(count uint32) (lower, upper []byte) {
	lower = AppendPrefix(nil, r.First, count)
	if r.Last+1 < count {
		upper = AppendPrefix(nil, r.Last+1, count)
	}
	return lower, upper
}

// String returns the range as it stands in a configuration: "0-127".
func (r Range) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }
