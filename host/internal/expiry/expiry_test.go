package expiry_test

import (
	"encoding/binary"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/expiry"
)

func suffixed(value string, seconds uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte(value), seconds)
}

func prefixed(value string, milliseconds uint64) []byte {
	return append(binary.BigEndian.AppendUint64(nil, milliseconds), value...)
}

// TestExpired goes to the edges of both formats: a record lives through the last
// unit of its time, and no sum and no sign makes it expire before.
func TestExpired(t *testing.T) {
	const longest = math.MaxInt32
	rocksdb, ms := expiry.Rule{Format: expiry.RocksDB, Seconds: 60}, expiry.Rule{Format: expiry.MSPrefix, Seconds: 60}
	for _, test := range []struct {
		name    string
		rule    expiry.Rule
		value   []byte
		now     time.Time
		expired bool
	}{
		{"last second", rocksdb, suffixed("v", 1000), time.Unix(1060, 999_999_999), false},
		{"a second later", rocksdb, suffixed("v", 1000), time.Unix(1061, 0), true},
		{"time alone", rocksdb, suffixed("", 1000), time.Unix(1061, 0), true},
		{"future", rocksdb, suffixed("v", 5000), time.Unix(1061, 0), false},
		{"never written", rocksdb, suffixed("v", 0), time.Unix(61, 0), true},
		{"sum above 31 bits", expiry.Rule{Format: expiry.RocksDB, Seconds: longest}, suffixed("v", 1_700_000_000), time.Unix(1_800_000_000, 0), false},
		{"time above 31 bits", rocksdb, suffixed("v", 1<<31+10), time.Unix(1<<31+70, 0), false},
		{"time above 31 bits, later", rocksdb, suffixed("v", 1<<31+10), time.Unix(1<<31+71, 0), true},
		{"sum above 32 bits", rocksdb, suffixed("v", 1<<32-1), time.Unix(1<<32+59, 0), false},
		{"clock before 1970", rocksdb, suffixed("v", 0), time.Unix(-1000, 0), false},

		{"last millisecond", ms, prefixed("v", 1000), time.UnixMilli(61_000), false},
		{"a millisecond later", ms, prefixed("v", 1000), time.UnixMilli(61_001), true},
		{"time alone, ms", ms, prefixed("", 1000), time.UnixMilli(61_001), true},
		{"future, ms", ms, prefixed("v", 70_000), time.UnixMilli(61_001), false},
		{"sum above 64 bits", ms, prefixed("v", math.MaxUint64), time.UnixMilli(61_001), false},
		{"sum above 63 bits", ms, prefixed("v", math.MaxInt64), time.UnixMilli(61_001), false},
		{"longest", expiry.Rule{Format: expiry.MSPrefix, Seconds: longest}, prefixed("v", 0), time.UnixMilli(1000 * longest), false},
		{"longest, later", expiry.Rule{Format: expiry.MSPrefix, Seconds: longest}, prefixed("v", 0), time.UnixMilli(1000*longest + 1), true},
	} {
		expired, err := test.rule.Expired(test.value, test.now)
		require.NoError(t, err)
		assert.Equal(t, test.expired, expired, test.name)
	}
}

func TestTooShort(t *testing.T) {
	for _, format := range []expiry.Format{expiry.RocksDB, expiry.MSPrefix} {
		rule := expiry.Rule{Format: format, Seconds: 1}
		for _, value := range []string{"", "123"} {
			_, err := rule.Expired([]byte(value), time.Unix(1e9, 0))
			assert.ErrorIs(t, err, abi.ECORRUPT, "%s %q", format, value)
		}
	}
	block := canonical.AppendRecord(nil, []byte("key"), []byte("1234567"))
	_, _, err := expiry.Rule{Format: expiry.MSPrefix}.Live(block, time.Unix(1e9, 0))
	assert.EqualError(t, err, "key 6b6579: a value of 7 bytes is too short for a time in format ms-prefix: "+abi.ECORRUPT.Error())
}

// TestLive takes every subset of five records of different sizes out of a block.
func TestLive(t *testing.T) {
	rule, now := expiry.Rule{Format: expiry.MSPrefix, Seconds: 10}, time.Unix(100, 0)
	for live := range 1 << 5 {
		var block, want []byte
		records := 0
		for i := range 5 {
			key, value := make([]byte, 3*i), make([]byte, 7*i)
			for j := range value {
				value[j] = byte(16*i + j)
			}
			born := uint64(1000)
			if live&(1<<i) != 0 {
				born = 95_000
				want = canonical.AppendRecord(want, key, prefixed(string(value), born))
				records++
			}
			block = canonical.AppendRecord(block, key, prefixed(string(value), born))
		}
		got, n, err := rule.Live(block, now)
		require.NoError(t, err)
		assert.Equal(t, records, n)
		assert.Equal(t, string(want), string(got))
	}
}
