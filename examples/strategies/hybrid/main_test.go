package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

func subject(t *testing.T, config string) strategytest.Subject {
	return strategytest.Subject{
		Name:   "hybrid",
		Open:   func() abi.Strategy { return &hybrid{LeastReused: 30} },
		Module: strategytest.Build(t, "."),
		Allow:  []abi.Grant{abi.GrantCheckpoint, abi.GrantUpload, abi.GrantReuse, abi.GrantState},
		Config: config,
		Reuses: true,
	}
}

func TestLaws(t *testing.T) { strategytest.Run(t, subject(t, "")) }

// eachForm runs a test natively and through the sandbox.
func eachForm(t *testing.T, config string, test func(t *testing.T, s strategytest.Subject)) {
	s := subject(t, config)
	t.Run("native", func(t *testing.T) { test(t, s.Native()) })
	t.Run("module", func(t *testing.T) { test(t, s.Wasm()) })
}

// taken takes a snapshot, and says F for a full one and . for an increment.
func taken(t *testing.T, site *strategytest.Site) string {
	t.Helper()
	m := site.Snapshot()
	assert.Equal(t, site.Digest(), site.RestoredDigest(m.ID))
	if m.BytesReused == 0 {
		return "F"
	}
	return "."
}

func TestFullAfterIncrements(t *testing.T) {
	eachForm(t, "most_increments = 2", func(t *testing.T, s strategytest.Subject) {
		site := strategytest.NewSite(t, s, strategytest.Database{})
		site.Fill("default", 1, 5000)
		site.Flush()
		var course string
		for range 8 { // nothing is written, so no compaction interferes
			course += taken(t, site)
		}
		assert.Equal(t, "F..F..F.", course)
	})
}

func TestFullWhenLittleIsShared(t *testing.T) {
	eachForm(t, "least_reused = 30", func(t *testing.T, s strategytest.Subject) {
		site := strategytest.NewSite(t, s, strategytest.Database{})
		site.Fill("default", 1, 5000)
		site.Flush()
		require.Equal(t, "F", taken(t, site))
		site.Fill("default", 2, 100)
		site.Flush()
		assert.Equal(t, ".", taken(t, site), "little is new")
		site.Fill("default", 3, 30_000)
		site.Flush()
		assert.Equal(t, "F", taken(t, site), "little is old")
		assert.Equal(t, ".", taken(t, site), "the full one is a base in turn") // a fourth flush would start a compaction
		site.Compact()
		assert.Equal(t, "F", taken(t, site), "compaction has left nothing to share")
	})
}

func TestRefusesNonsense(t *testing.T) {
	for config, message := range map[string]string{
		"least_reused = 101":   "least_reused must be 0 to 100 percent, not 101",
		"least_reused = -1":    "least_reused must be 0 to 100 percent, not -1",
		"most_increments = -1": "most_increments must be 0 or more, not -1",
		"most = 1":             `unknown key "most"`,
	} {
		eachForm(t, config, func(t *testing.T, s strategytest.Subject) {
			site := strategytest.NewSite(t, s, strategytest.Database{})
			site.Put("default", "key", "value")
			_, err := site.TrySnapshot()
			require.ErrorIs(t, err, abi.EINVAL)
			require.ErrorContains(t, err, message)
		})
	}
}
