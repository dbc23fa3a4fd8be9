package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

func subject(t *testing.T, config string) strategytest.Subject {
	return strategytest.Subject{
		Name:   "incremental",
		Open:   func() abi.Strategy { return &incremental{} },
		Module: strategytest.Build(t, "."),
		Allow:  []abi.Grant{abi.GrantCheckpoint, abi.GrantUpload, abi.GrantReuse, abi.GrantState},
		Config: config,
		Reuses: true,
		Trace:  "testdata/trace.txt",
	}
}

func TestLaws(t *testing.T) { strategytest.Run(t, subject(t, "")) }

// eachForm runs a test natively and through the sandbox.
func eachForm(t *testing.T, config string, test func(t *testing.T, s strategytest.Subject)) {
	s := subject(t, config)
	t.Run("native", func(t *testing.T) { test(t, s.Native()) })
	t.Run("module", func(t *testing.T) { test(t, s.Wasm()) })
}

// grow adds a little to the database, in a table of its own.
func grow(site *strategytest.Site, seed uint64) {
	site.Fill("default", seed, 20)
	site.Flush()
}

func TestFullEvery(t *testing.T) {
	tests := []struct {
		config string
		full   string // F for a snapshot without a base
	}{
		{"full_every = 0", "F...."},
		{"full_every = 1", "FFFFF"},
		{"full_every = 3", "F..F."},
	}
	for _, test := range tests {
		eachForm(t, test.config, func(t *testing.T, s strategytest.Subject) {
			site := strategytest.NewSite(t, s, strategytest.Database{})
			var full string
			for seed := range uint64(len(test.full)) {
				grow(site, seed)
				if site.Snapshot().Base == "" {
					full += "F"
				} else {
					full += "."
				}
			}
			assert.Equal(t, test.full, full, test.config)
		})
	}
}

// A full upload counts only when its snapshot is committed: one that was aborted
// must not use up the turn.
func TestStateCommitsWithTheSnapshot(t *testing.T) {
	eachForm(t, "full_every = 2", func(t *testing.T, s strategytest.Subject) {
		site := strategytest.NewSite(t, s, strategytest.Database{})
		grow(site, 1)
		assert.Empty(t, site.Snapshot().Base)
		abort(t, site)
		assert.NotEmpty(t, site.Snapshot().Base, "the second committed one is an increment")
		abort(t, site)
		assert.Empty(t, site.Snapshot().Base, "the third is full")
	})
}

// abort begins a snapshot and cancels it.
func abort(t *testing.T, site *strategytest.Site) {
	t.Helper()
	op, err := site.Host.Begin(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	op.Cancel()
	_, err = op.Wait()
	require.Error(t, err)
}

func TestAbortedSnapshotsAreNoBase(t *testing.T) {
	eachForm(t, "", func(t *testing.T, s strategytest.Subject) {
		site := strategytest.NewSite(t, s, strategytest.Database{})
		grow(site, 1)
		first := site.Snapshot()
		grow(site, 2)
		abort(t, site)
		m := site.Snapshot()
		assert.Equal(t, first.ID, m.Base)
		inFirst := make(map[string]bool)
		for _, f := range first.Contents {
			inFirst[f.Object] = true
		}
		for _, f := range m.Contents {
			assert.Equal(t, f.Reused, inFirst[f.Object], "%s comes from the base or is new", f.Name)
		}
		assert.Equal(t, site.Digest(), site.RestoredDigest(m.ID))
	})
}

// The tables that a restore brings are recognised, so the restored database goes
// on with increments, and its state with it.
func TestGoesOnAfterRestore(t *testing.T) {
	eachForm(t, "full_every = 2", func(t *testing.T, s strategytest.Subject) {
		site := strategytest.NewSite(t, s, strategytest.Database{BlobFiles: true})
		site.Fill("default", 1, 2000)
		site.Flush()
		site.Snapshot()
		grow(site, 2)
		second := site.Snapshot()

		restored := site.Restored(second.ID)
		require.Equal(t, site.Digest(), restored.Digest())
		assert.Empty(t, restored.Snapshot().Base, "the third is full, after a restore too")
		grow(restored, 3)
		m := restored.Snapshot()
		assert.Equal(t, second.Lineage, m.Lineage)
		assert.Less(t, m.BytesNew, m.BytesFull/4)
		assert.Equal(t, restored.Digest(), restored.RestoredDigest(m.ID))
	})
}

// Two databases that came from one snapshot hand out the same file numbers for
// different content, which must not be taken for one another.
func TestForksDoNotMix(t *testing.T) {
	eachForm(t, "", func(t *testing.T, s strategytest.Subject) {
		site := strategytest.NewSite(t, s, strategytest.Database{BlobFiles: true})
		grow(site, 1)
		common := site.Snapshot()
		for seed := range uint64(3) {
			fork := site.Restored(common.ID)
			grow(fork, 10+seed)
			assert.Equal(t, fork.Digest(), fork.RestoredDigest(fork.Snapshot().ID))
		}
	})
}

func TestRefusesNonsense(t *testing.T) {
	for config, message := range map[string]string{
		"full_every = -1":       "full_every must be 0 or more, not -1",
		"full_evry = 3":         `unknown key "full_evry"`,
		`full_every = "weekly"`: "config:",
	} {
		eachForm(t, config, func(t *testing.T, s strategytest.Subject) {
			site := strategytest.NewSite(t, s, strategytest.Database{})
			grow(site, 1)
			_, err := site.TrySnapshot()
			require.ErrorContains(t, err, message)
			require.ErrorIs(t, err, abi.EINVAL)
			assert.Equal(t, host.CodePlugin, host.CodeOf(err))
		})
	}
}
