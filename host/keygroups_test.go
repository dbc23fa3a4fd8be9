package host_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// group is a stored key of a key group.
func group(group, count uint32) []byte {
	return append(keygroup.Prefix(group, count), "key"...)
}

// groupsOf declares key groups in a configuration.
func groupsOf(count, first, last uint32) string {
	return fmt.Sprintf("[keygroups]\ncount = %d\nrange = \"%d-%d\"\n", count, first, last)
}

// TestKeysCarryTheirPrefix refuses a snapshot of either kind that holds a key
// outside of the declared groups, whatever is wrong with it: prefixes of one and of
// two bytes, groups of others, prefixes that are no group, keys that are too short.
func TestKeysCarryTheirPrefix(t *testing.T) {
	for _, test := range []struct {
		count uint32
		key   []byte
		hex   string // "" when the key is sound
	}{
		{100, group(10, 100), ""}, {100, group(50, 100), ""}, {100, []byte{20}, ""},
		{100, group(9, 100), "096b6579"}, {100, group(51, 100), "336b6579"}, {100, []byte{100, 1}, "6401"}, {100, []byte("plain key"), "706c61696e206b6579"}, {100, []byte{}, "the empty one"},
		{1000, group(10, 1000), ""}, {1000, []byte{0, 50}, ""},
		{1000, group(51, 1000), "00336b6579"}, {1000, []byte{20}, "14"}, {1000, []byte{0}, "00"}, {1000, []byte("plain key"), "706c61696e206b6579"},
		{1000, append([]byte{0, 9}, make([]byte, 100)...), "0009" + strings.Repeat("00", 22) + "… (102 bytes)"},
	} {
		path := dbtest.New(t, rocks.Creation{Families: []string{"orders"}})
		dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
			require.NoError(t, db.PutBlock("orders", canonical.AppendRecord(nil, group(30, test.count), []byte("v"))))
			require.NoError(t, db.PutBlock("orders", canonical.AppendRecord(nil, test.key, []byte("v"))))
			require.NoError(t, db.Flush())
		})
		h := open(t, dbtest.Config(t, path, groupsOf(test.count, 10, 50)), append(native, host.Offline())...)
		for _, strategy := range []string{"native-full", "incremental", "canonical"} {
			_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
			if test.hex == "" {
				assert.NoError(t, err, "%d groups, key %x", test.count, test.key)
				continue
			}
			require.ErrorContains(t, err, fmt.Sprintf("column family \"orders\" holds keys outside of key groups 10 to 50 of %d, such as %s", test.count, test.hex), strategy)
			assert.Equal(t, host.CodeFailed, host.CodeOf(err))
			assert.Contains(t, host.HintOf(err), "[keygroups]")
		}
		require.NoError(t, h.Close())
		requireClean(t, path)
	}
}

// TestKeysThatWereCutAway takes native snapshots of a database of which others have
// a part by now: deleted keys, and the tombstones of ranges, lie outside of what
// it holds.
func TestKeysThatWereCutAway(t *testing.T) {
	path := dbtest.New(t, rocks.Creation{})
	cfg := dbtest.Config(t, path, groupsOf(100, 10, 50))
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		for g := uint32(0); g < 100; g++ {
			require.NoError(t, db.PutBlock("default", canonical.AppendRecord(nil, group(g, 100), []byte("v"))))
		}
		require.NoError(t, db.Flush()) // a table from group 0 to 99
		require.NoError(t, db.DeleteRange("default", []byte{0}, []byte{10}))
		require.NoError(t, db.DeleteRange("default", []byte{51}, []byte{200}))
		require.NoError(t, db.Flush()) // and one of tombstones alone
	})
	take := func() error {
		h := open(t, cfg, append(native, host.Offline())...)
		defer h.Close()
		_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "native-full"})
		return err
	}
	require.NoError(t, take())
	verified, err := repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelRestore})
	require.NoError(t, err)
	assert.Empty(t, verified.Problems)

	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) { // one of them comes back
		require.NoError(t, db.PutBlock("default", canonical.AppendRecord(nil, group(99, 100), []byte("v"))))
		require.NoError(t, db.Flush())
	})
	require.ErrorContains(t, take(), "such as 636b6579")
}

// TestVerifyReadsEveryKey finds what the ends of tables do not tell: keys that are
// in the WAL only, and those of a file that was written for other key groups.
func TestVerifyReadsEveryKey(t *testing.T) {
	unraced(t)
	path := dbtest.New(t, rocks.Creation{})
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		require.NoError(t, db.PutBlock("default", canonical.AppendRecord(nil, group(10, 100), []byte("v"))))
		require.NoError(t, db.Flush())
		for _, g := range []uint32{60, 70} {
			require.NoError(t, db.PutBlock("default", canonical.AppendRecord(nil, group(g, 100), []byte("v"))))
		}
	})
	cfg := dbtest.Config(t, path, groupsOf(100, 10, 50))
	h := open(t, cfg, append(native, host.Offline())...)
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "native-full"})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	r := repository(t, cfg)
	verified, err := r.Verify(t.Context(), host.VerifyOptions{Level: host.LevelRestore})
	require.NoError(t, err)
	assert.Equal(t, []host.Finding{{Snapshot: m.ID, What: "holds keys outside of key groups 10 to 50 of 100, such as 3c6b6579 of column family \"default\", and 2 in all"}}, verified.Problems)

	whole := *cfg
	whole.KeyGroups = nil
	exporter := open(t, &whole, append(native, host.Offline())...)
	m, err = exporter.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "canonical"})
	require.NoError(t, err)
	require.NoError(t, exporter.Close())
	require.Len(t, m.Contents, 1)
	for _, test := range []struct {
		groups catalog.KeyGroups
		what   string
	}{
		{catalog.KeyGroups{Count: 100, Last: 99}, ""},
		{catalog.KeyGroups{Count: 100, First: 10, Last: 65}, "holds keys outside of key groups 10 to 65 of 100, such as 466b6579 of column family \"default\", and 1 in all"},
		{catalog.KeyGroups{Count: 30000, Last: 29999}, ""}, // the keys are long enough for two bytes
	} {
		m.KeyGroups = &test.groups
		what, err := r.ReadKeys(t.Context(), m, &m.Contents[0])
		require.NoError(t, err)
		assert.Equal(t, test.what, what)
	}
}

// TestVerifyReadsCanonicalKeys runs the census over sound snapshots of key groups.
func TestVerifyReadsCanonicalKeys(t *testing.T) {
	unraced(t)
	path := dbtest.New(t, rocks.Creation{})
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		for g := uint32(10); g <= 50; g++ {
			require.NoError(t, db.PutBlock("default", canonical.AppendRecord(nil, group(g, 1000), []byte("v"))))
		}
	})
	cfg := dbtest.Config(t, path, groupsOf(1000, 10, 50))
	h := open(t, cfg, append(native, host.Offline())...)
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "canonical"})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	verified, err := repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	assert.Empty(t, verified.Problems)
	assert.Equal(t, m.BytesFull, verified.Bytes)
}
