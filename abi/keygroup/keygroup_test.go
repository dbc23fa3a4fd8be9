package keygroup

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The vectors were computed by a separate program from the definition in
// abi/CANONICAL.md. Data depends on them: they never change.
func TestGroupVectors(t *testing.T) {
	for _, c := range groupVectors {
		assert.Equal(t, c.group, KeyGroup([]byte(c.key), c.count), "%q of %d", c.key, c.count)
	}
	assert.Zero(t, KeyGroup([]byte("any"), 0))
}

func TestGroupIsBalanced(t *testing.T) {
	const keys, count = 100_000, 128
	var sizes [count]float64
	for i := range keys {
		sizes[KeyGroup(fmt.Appendf(nil, "user-%d", i), count)]++
	}
	chi := 0.0
	for _, n := range sizes {
		chi += math.Pow(n-keys/count, 2) / (keys / count)
	}
	assert.Less(t, chi, 200.0, "chi squared; about 127 is expected, more than 200 once in 40,000 trials")
}

func TestPrefix(t *testing.T) {
	for _, c := range []struct {
		count, group uint32
		prefix       []byte
	}{
		{0, 0, []byte{}},
		{1, 0, []byte{0}},
		{128, 127, []byte{127}},
		{129, 0, []byte{0, 0}},
		{129, 128, []byte{0, 128}},
		{MaxCount, MaxCount - 1, []byte{0x7f, 0xff}},
	} {
		assert.Equal(t, len(c.prefix), PrefixBytes(c.count))
		assert.Equal(t, c.prefix, AppendPrefix([]byte{}, c.group, c.count))
		group, ok := Of(append(c.prefix, "key"...), c.count)
		assert.True(t, ok)
		assert.Equal(t, c.group, group)
	}
	assert.Panics(t, func() { AppendPrefix(nil, 3, 3) })
}

func TestOfRefuses(t *testing.T) {
	for _, c := range []struct {
		count uint32
		key   []byte
	}{
		{1, nil}, {1, []byte{1}}, {128, []byte{128}}, {129, []byte{0}}, {129, []byte{0, 129}}, {MaxCount, []byte{0x80, 0}},
	} {
		_, ok := Of(c.key, c.count)
		assert.False(t, ok, "%x of %d", c.key, c.count)
	}
}

func TestRangesPartition(t *testing.T) {
	for _, count := range []uint32{1, 2, 3, 7, 127, 128, 129, 1000, MaxCount} {
		for _, parallelism := range []uint32{1, 2, 3, 10, 77, count/2 + 1, count - 1, count} {
			if parallelism >= 1 && parallelism <= count {
				requirePartition(t, parallelism, count)
			}
		}
	}
}

func requirePartition(t *testing.T, parallelism, count uint32) {
	next, shortest, longest := uint32(0), count, uint32(0)
	for worker := range parallelism {
		r, err := RangeFor(worker, parallelism, count)
		if err != nil || r.Check(count) != nil || r.First != next {
			t.Fatalf("worker %d of %d has %s of %d groups: %v", worker, parallelism, r, count, err)
		}
		for group := r.First; group <= r.Last; group++ {
			if group*parallelism/count != worker {
				t.Fatalf("group %d of %d is in the range of worker %d of %d", group, count, worker, parallelism)
			}
		}
		length := r.Last - r.First + 1
		shortest, longest, next = min(shortest, length), max(longest, length), r.Last+1
	}
	require.Equal(t, count, next)
	require.LessOrEqual(t, longest-shortest, uint32(1))
}

func TestRangeForRefuses(t *testing.T) {
	for _, c := range [][3]uint32{{0, 0, 0}, {0, 2, 1}, {2, 2, 4}, {0, 1, MaxCount + 1}} {
		_, err := RangeFor(c[0], c[1], c[2])
		assert.Error(t, err, "worker %d of %d, %d groups", c[0], c[1], c[2])
	}
}

func TestRangeCheck(t *testing.T) {
	assert.NoError(t, Range{}.Check(0))
	assert.NoError(t, Range{3, 3}.Check(4))
	assert.Error(t, Range{0, 1}.Check(0))
	assert.Error(t, Range{2, 1}.Check(4))
	assert.Error(t, Range{0, 4}.Check(4))
	assert.Error(t, Range{}.Check(MaxCount+1))
	assert.Equal(t, "0-127", Range{0, 127}.String())
}

func TestBounds(t *testing.T) {
	for _, c := range []struct {
		r            Range
		count        uint32
		lower, upper []byte
	}{
		{Range{}, 0, nil, nil},
		{Range{0, 0}, 1, []byte{0}, nil},
		{Range{0, 0}, 128, []byte{0}, []byte{1}},
		{Range{5, 127}, 128, []byte{5}, nil},
		{Range{0, 255}, 1000, []byte{0, 0}, []byte{1, 0}},
		{Range{256, 999}, 1000, []byte{1, 0}, nil},
	} {
		lower, upper := c.r.Bounds(c.count)
		assert.Equal(t, c.lower, lower, "%s of %d", c.r, c.count)
		assert.Equal(t, c.upper, upper, "%s of %d", c.r, c.count)
	}
}

// FuzzKeyGroup states the laws that bind groups, prefixes and bounds together.
func FuzzKeyGroup(f *testing.F) {
	f.Add([]byte("user-1"), uint32(0), uint32(0))
	f.Add([]byte(""), uint32(1), uint32(1))
	f.Add([]byte{0xff, 0xff}, uint32(128), uint32(3))
	f.Add([]byte("k"), uint32(1000), uint32(999))
	f.Fuzz(func(t *testing.T, key []byte, count, parallelism uint32) {
		count %= MaxCount + 1
		group := KeyGroup(key, count)
		require.Less(t, group, max(count, 1))
		stored := append(AppendPrefix(nil, group, count), key...)
		got, ok := Of(stored, count)
		require.True(t, ok)
		require.Equal(t, group, got)

		if count == 0 {
			return
		}
		parallelism = parallelism%count + 1
		mine, err := RangeFor(group*parallelism/count, parallelism, count)
		require.NoError(t, err)
		require.True(t, mine.Contains(group))
		lower, upper := mine.Bounds(count)
		require.LessOrEqual(t, bytes.Compare(lower, stored), 0)
		require.True(t, upper == nil || bytes.Compare(stored, upper) < 0)
	})
}

var groupVectors = []struct {
	key          string
	count, group uint32
}{
	{"", 128, 11},
	{"a", 128, 51},
	{"user-1", 128, 108},
	{"user-2", 128, 81},
	{"user-1", 1000, 916},
	{"rocksnap", 32768, 12727},
	{"schlüssel", 32768, 13019},
	{"\x00\xff", 1, 0},
}
