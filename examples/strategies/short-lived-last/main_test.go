package main

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

func subject(t *testing.T) strategytest.Subject {
	return strategytest.Subject{
		Name:   "short-lived-last",
		Open:   func() abi.Strategy { return shortLivedLast{} },
		Module: strategytest.Build(t, "."),
		Allow:  []abi.Grant{abi.GrantCheckpoint, abi.GrantUpload, abi.GrantReuse},
		Reuses: true,
	}
}

func TestLaws(t *testing.T) { strategytest.Run(t, subject(t)) }

// The session of its own must not make it import more than it needs.
func TestNeedsNoMoreThanItUses(t *testing.T) {
	info, err := host.InspectModule(strategytest.Build(t, "."))
	require.NoError(t, err)
	assert.Equal(t, subject(t).Allow, info.Capabilities)
}

// observed notes the files in the order in which they are submitted.
type observed struct {
	shortLivedLast
	uploaded *[]abi.File
}

func (o observed) Snapshot(ctx context.Context, s abi.Session) error {
	files, err := all(s)
	if err != nil {
		return err
	}
	return o.shortLivedLast.Snapshot(ctx, watching{s, files, o.uploaded})
}

type watching struct {
	abi.Session
	files    []abi.File
	uploaded *[]abi.File
}

func (w watching) Upload(reqs []abi.Upload) (int, error) {
	n, err := w.Session.Upload(reqs)
	for _, r := range reqs[:n] {
		*w.uploaded = append(*w.uploaded, w.files[r.File])
	}
	return n, err
}

func TestOrder(t *testing.T) {
	var uploaded []abi.File
	s := subject(t).Native()
	s.Open = func() abi.Strategy { return observed{uploaded: &uploaded} }
	site := strategytest.NewSite(t, s, strategytest.Database{BlobFiles: true, Flush: "never"})
	for seed := range uint64(3) {
		site.Fill("default", seed, 500)
		site.Flush()
	}
	site.Compact()
	for seed := range uint64(3) {
		site.Fill("default", 10+seed, 100)
		site.Flush()
	}
	site.Fill("default", 20, 10) // in the WAL
	m := site.Snapshot()
	assert.Equal(t, site.Digest(), site.RestoredDigest(m.ID))

	require.True(t, slices.IsSortedFunc(uploaded, byExpectedLife), "%+v", uploaded)
	kinds := make(map[abi.Kind]int)
	levels := make(map[int32]bool)
	for _, f := range uploaded {
		kinds[f.Kind]++
		if f.Kind == abi.KindTable {
			levels[f.Level] = true
		}
	}
	assert.Equal(t, abi.KindBlob, uploaded[0].Kind)
	assert.Greater(t, len(levels), 1, "tables of several levels")
	assert.Greater(t, kinds[abi.KindTable], 2)
	assert.NotContains(t, []abi.Kind{abi.KindBlob, abi.KindTable}, uploaded[len(uploaded)-1].Kind)
}
