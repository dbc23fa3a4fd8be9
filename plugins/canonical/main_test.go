package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

func subject(t *testing.T, config string) strategytest.Subject {
	return strategytest.Subject{
		Name:    "canonical",
		Open:    func() abi.Strategy { return &canonical{Codec: "zstd"} },
		Module:  strategytest.Build(t, "."),
		Allow:   []abi.Grant{abi.GrantExport},
		Config:  config,
		Records: true,
		Trace:   "testdata/trace.txt",
	}
}

func TestLaws(t *testing.T) { strategytest.Run(t, subject(t, "")) }

// eachForm runs a test natively and through the sandbox.
func eachForm(t *testing.T, config string, test func(t *testing.T, s strategytest.Subject)) {
	s := subject(t, config)
	t.Run("native", func(t *testing.T) { test(t, s.Native()) })
	t.Run("module", func(t *testing.T) { test(t, s.Wasm()) })
}

// spread fills a database with several tables, so that the host can cut it.
func spread(site *strategytest.Site) {
	for seed := range uint64(3) { // a fourth would have RocksDB merge them
		site.Fill("default", seed, 2000)
		site.Fill("orders", seed+10, 500)
		site.Flush()
	}
}

// spreadGroups writes three tables that follow one another in key-group order.
func spreadGroups(site *strategytest.Site, groups uint32) {
	for third := range uint32(3) {
		for i := range uint32(100) {
			group := third*groups/3 + i%(groups/3)
			key := keygroup.AppendPrefix(nil, group, groups)
			site.Put("default", fmt.Sprintf("%skey-%d", key, i), strings.Repeat("value", 20))
		}
		site.Put("orders", string(keygroup.AppendPrefix(nil, third, groups)), "order")
		site.Flush()
	}
}

func TestContentDigestIsInTheManifest(t *testing.T) {
	eachForm(t, "", func(t *testing.T, s strategytest.Subject) {
		site := strategytest.NewSite(t, s, strategytest.Database{Families: []string{"orders"}})
		spread(site)
		m := site.Snapshot()
		assert.Equal(t, site.Digest(), m.ContentDigest)
		assert.Equal(t, site.Digest(), site.RestoredDigest(m.ID))
	})
}

// Parts are written in parallel, so some come first that end last; together they
// hold every key group once, and no group is in two of them.
func TestPartsPartitionTheKeyGroups(t *testing.T) {
	for _, groups := range []uint32{128, 1000} {
		eachForm(t, "", func(t *testing.T, s strategytest.Subject) {
			site := strategytest.NewSite(t, s, strategytest.Database{Families: []string{"orders"}, KeyGroups: groups})
			spreadGroups(site, groups)
			m := site.Snapshot()
			owner := make(map[string][]string)
			for _, f := range m.Contents {
				require.Equal(t, abi.KindCanonical, f.Kind)
				if owner[f.Family] == nil {
					owner[f.Family] = make([]string, groups)
				}
				for group := f.FirstGroup; group <= f.LastGroup; group++ {
					require.Empty(t, owner[f.Family][group], "group %d of %s is in two parts", group, f.Family)
					owner[f.Family][group] = f.Name
				}
			}
			assert.Greater(t, len(m.Contents), 2, "a column family of several tables is cut")
			require.Len(t, owner, 2)
			for family, list := range owner {
				assert.NotContains(t, list, "", "every group of %s is somewhere", family)
			}
			assert.Equal(t, groups, m.KeyGroups.Count)
			assert.Equal(t, site.Digest(), site.RestoredDigest(m.ID))
		})
	}
}

// A key outside of the declared key groups would be lost without a sound.
func TestRefusesKeysOutsideOfTheKeyGroups(t *testing.T) {
	eachForm(t, "", func(t *testing.T, s strategytest.Subject) {
		site := strategytest.NewSite(t, s, strategytest.Database{KeyGroups: 128})
		snapshotWith := func(key string) error {
			site.Put("default", key, "value")
			_, err := site.TrySnapshot()
			return err
		}
		require.NoError(t, snapshotWith("\x7fthe last group"))
		err := snapshotWith("\x80beyond")
		require.ErrorContains(t, err, "keys outside of key groups 0 to 127 of 128")
		assert.Len(t, site.List(), 1)
	})
}

// All ranges are read at one sequence number: a pair of records that is always
// written together stays a pair, though many are written while it runs.
func TestConsistentUnderWrites(t *testing.T) {
	eachForm(t, "", func(t *testing.T, s strategytest.Subject) {
		site := strategytest.NewSite(t, s, strategytest.Database{Families: []string{"orders"}})
		spread(site)
		want := site.Digest()
		op, err := site.Host.Begin(t.Context(), host.SnapshotOptions{})
		require.NoError(t, err)
		for seed := range uint64(20) {
			site.Fill("default", 100+seed, 500)
			site.Fill("orders", 200+seed, 500)
			site.Flush()
		}
		m, err := op.Wait()
		require.NoError(t, err)
		assert.Equal(t, want, m.ContentDigest)
		assert.Equal(t, want, site.RestoredDigest(m.ID))
	})
}

func TestCodecs(t *testing.T) {
	sizes := make(map[string]int64)
	for _, codec := range []string{"none", "zstd"} {
		s := subject(t, "codec = \""+codec+"\"\nframe_bytes = 65536").Wasm()
		site := strategytest.NewSite(t, s, strategytest.Database{})
		site.Fill("default", 1, 3000)
		m := site.Snapshot()
		sizes[codec] = m.BytesFull
		assert.Equal(t, site.Digest(), site.RestoredDigest(m.ID), codec)
	}
	assert.Less(t, sizes["zstd"], sizes["none"])
}

func TestRefusesNonsense(t *testing.T) {
	for config, message := range map[string]string{
		`codec = "lz77"`:   `codec must be zstd or none, not "lz77"`,
		`kodek = "zstd"`:   `unknown key "kodek"`,
		"frame_bytes = -1": "config:",
	} {
		eachForm(t, config, func(t *testing.T, s strategytest.Subject) {
			site := strategytest.NewSite(t, s, strategytest.Database{})
			site.Put("default", "key", "value")
			_, err := site.TrySnapshot()
			require.ErrorContains(t, err, message)
			require.ErrorIs(t, err, abi.EINVAL)
			assert.Equal(t, host.CodePlugin, host.CodeOf(err))
		})
	}
}
