package strategytest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
)

// faultySite is a site with one snapshot to be the base of others.
func faultySite(t *testing.T, s Subject) *Site {
	site := NewSite(t, s, Database{Families: []string{"orders"}})
	site.Fill("default", 1, 200)
	site.Flush()
	site.Fill("orders", 2, 200)
	site.Snapshot()
	return site
}

// failsAtEveryCall makes the subject's n-th call of its session fail, for every
// n: it may neither carry on as if nothing had happened, nor leave anything
// behind.
func failsAtEveryCall(t *testing.T, s Subject) {
	everyCall(t, s, func(do func() (int, error), _ func()) (int, error) {
		return 0, &abi.Error{Errno: abi.EIO, Text: "injected fault"}
	}, func(err error) { require.ErrorIs(t, err, abi.EIO) })
}

// cancelsAtEveryCall cancels a snapshot just before its n-th call, for every n.
func cancelsAtEveryCall(t *testing.T, s Subject) {
	everyCall(t, s, func(do func() (int, error), cancel func()) (int, error) {
		cancel()
		return do()
	}, func(err error) { require.ErrorIs(t, err, context.Canceled) })
}

// everyCall takes snapshots in which harm stands in for call n, n = 1, 2, ...,
// until one has fewer calls. Each is followed by one without harm.
func everyCall(t *testing.T, s Subject, harm func(do func() (int, error), cancel func()) (int, error), check func(error)) {
	site := faultySite(t, s)
	for n := 1; ; n++ {
		site.Fill("default", uint64(n), 50)
		before, calls, harmed := site.List(), 0, ""
		ctx, cancel := context.WithCancel(t.Context())
		site.around = func(call string, do func() (int, error)) (int, error) {
			if calls++; calls == n {
				harmed = call
				return harm(do, cancel)
			}
			return do()
		}
		_, err := site.Host.Snapshot(ctx, host.SnapshotOptions{})
		cancel()
		site.around = nil
		if harmed == "" {
			require.NoError(t, err)
			require.Greater(t, n, 3, "a strategy makes some calls")
			return
		}
		require.Error(t, err, "call %d, %s", n, harmed)
		check(err)
		site.requireUnchanged(before)
		site.requireRestores(site.Digest(), site.Snapshot().ID)
	}
}

// storeFaults are the ways in which a store fails.
var storeFaults = []struct {
	name  string
	fault blob.Fault
}{
	{"fails", blob.Fault{Mode: blob.Fail}},
	{"loses its answer", blob.Fault{Mode: blob.Lose}},
	{"is cut off", blob.Fault{Mode: blob.Cut, At: 10}},
}

// survivesStoreFailures makes the n-th operation on the store fail, for every n:
// afterwards there is an error and nothing to see, or a snapshot that restores.
func survivesStoreFailures(t *testing.T, s Subject) {
	for _, f := range storeFaults {
		t.Run(f.name, func(t *testing.T) {
			site := faultySite(t, s)
			site.Fill("default", 3, 100)
			want := site.Digest()
			for n := 1; ; n++ {
				if !site.surviveStoreFailure(n, f.fault, want) {
					require.Greater(t, n, 5, "a snapshot needs the store")
					return
				}
			}
		})
	}
}

// surviveStoreFailure tries one fault on a copy of the repository, and reports
// false when the snapshot had fewer operations than n.
func (s *Site) surviveStoreFailure(n int, fault blob.Fault, want string) (reached bool) {
	folder, err := os.MkdirTemp("", "strategytest-")
	require.NoError(s.t, err)
	defer os.RemoveAll(folder)
	away, err := s.moved(filepath.Join(folder, "repository"))
	require.NoError(s.t, err)
	before, armed, calls, failed := away.List(), false, 0, ""
	store, err := dir.Open(away.cfg.Repository.Dir())
	require.NoError(s.t, err)
	away.Host = away.open(host.WithStore(blob.Faulty(store, func(c blob.Call) blob.Fault {
		if !armed {
			return blob.Fault{}
		}
		if calls++; calls != n {
			return blob.Fault{}
		}
		failed = fmt.Sprintf("operation %d, %s %s", n, c.Verb, c.Name)
		return fault
	})))
	armed = true
	m, err := away.Host.Snapshot(s.t.Context(), host.SnapshotOptions{})
	armed = false
	if err != nil {
		away.requireUnchanged(before)
		m = away.Snapshot()
	}
	require.Equal(s.t, append(before, m.ID), away.List(), failed)
	require.Equal(s.t, want, away.RestoredDigest(m.ID), failed)
	if failed == "" {
		require.NoError(s.t, err)
	}
	return failed != ""
}

// moved returns the site over a copy of its repository, without a host.
func (s *Site) moved(repository string) (*Site, error) {
	if err := os.CopyFS(repository, os.DirFS(s.cfg.Repository.Dir())); err != nil {
		return nil, err
	}
	away := *s
	away.cfg = configure(s.t, s.subject, s.kind, s.db.Path(), repository)
	return &away, nil
}
