package strategytest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/internal/tap"
)

// faultySite is a site with one snapshot to be the base of others.
func faultySite(t T, s Subject) *Site {
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
func failsAtEveryCall(t T, s Subject) {
	everyCall(t, s, canFail, func(do func() (int, error), _ func()) (int, error) {
		return 0, &abi.Error{Errno: abi.EIO, Text: "injected fault"}
	}, abi.EIO)
}

// cancelsAtEveryCall cancels a snapshot just before its n-th call, for every n.
func cancelsAtEveryCall(t T, s Subject) {
	everyCall(t, s, func(string) bool { return true }, func(do func() (int, error), cancel func()) (int, error) {
		cancel()
		return do()
	}, context.Canceled)
}

// canFail says of a call whether the ABI has an error for it. No guest needs to
// expect one of the others.
func canFail(call string) bool { return call != "info" && call != "config" }

// everyCall takes snapshots in which harm stands in for call n, n = 1, 2, ..., of
// those that which names, until one has fewer calls. Each fails with want and is
// followed by one without harm.
func everyCall(t T, s Subject, which func(call string) bool, harm func(do func() (int, error), cancel func()) (int, error), want error) {
	site := faultySite(t, s)
	for n := 1; ; n++ {
		site.Fill("default", uint64(n), 50)
		all, calls, harmed := 0, 0, ""
		err := site.harmed(want, func(cancel func()) tap.Around {
			return func(c *tap.Call, do func() (int, error)) (int, error) {
				all++
				if !which(c.Name) {
					return do()
				}
				if calls++; calls == n {
					harmed = fmt.Sprintf("call %d, %s in %s", n, c.Name, c.Phase)
					return harm(do, cancel)
				}
				return do()
			}
		}, func() string { return harmed })
		if harmed == "" {
			must(t, err, "take a snapshot without harm")
			holds(t, all > 2, "the strategy makes %d calls only", all)
			return
		}
	}
}

// harmed takes a snapshot that harm is done to. Where something was harmed, the
// snapshot has to fail with the wanted error and to leave nothing behind, and the
// next one has to succeed.
func (s *Site) harmed(want error, harm func(cancel func()) tap.Around, what func() string) error {
	before := s.List()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	s.around = harm(cancel)
	_, err := s.Host.Snapshot(ctx, host.SnapshotOptions{})
	s.around = nil
	harmed := what()
	if harmed == "" {
		return err
	}
	holds(s.t, err != nil, "%s failed, and the snapshot was taken all the same", harmed)
	holds(s.t, errors.Is(err, want), "%s failed with %q, but the snapshot with %q", harmed, want, err)
	s.requireUnchanged(before)
	next, err := s.TrySnapshot()
	must(s.t, err, "take the next snapshot after "+harmed)
	s.requireRestores(s.Digest(), next.ID)
	return nil
}

// cancelsInEveryPhase cancels a snapshot as each phase begins and after the last
// call of each.
func cancelsInEveryPhase(t T, s Subject) {
	site := faultySite(t, s)
	last := site.lastCalls()
	for _, phase := range []abi.Phase{abi.PhaseInit, abi.PhasePrepare, abi.PhaseSnapshot} {
		for name, at := range map[string]int{"first": 1, "last": last[phase]} {
			if last[phase] == 0 {
				continue // a phase in which it asks for nothing is over at once
			}
			site.Fill("default", uint64(phase), 50)
			calls, harmed := 0, ""
			must(t, site.harmed(context.Canceled, func(cancel func()) tap.Around {
				return func(c *tap.Call, do func() (int, error)) (int, error) {
					n, err := do()
					if c.Phase == phase && (c.Name != "wait" || calls+1 == at) {
						calls++
					}
					if calls == at && harmed == "" {
						harmed = fmt.Sprintf("cancelling after the %s call of %s, %s,", name, phase, c.Name)
						cancel()
					}
					return n, err
				}
			}, func() string { return harmed }), "take a snapshot")
		}
	}
}

// lastCalls takes a snapshot and returns the number of calls in each phase. Waits
// count once: how many there are depends on the host's workers.
func (s *Site) lastCalls() map[abi.Phase]int {
	calls := make(map[abi.Phase]int)
	s.around = func(c *tap.Call, do func() (int, error)) (int, error) {
		if c.Name != "wait" || calls[c.Phase] == 0 {
			calls[c.Phase]++
		}
		return do()
	}
	defer func() { s.around = nil }()
	s.Snapshot()
	return calls
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
func survivesStoreFailures(t T, s Subject) {
	for _, f := range storeFaults {
		part(t, f.name, func(t T) {
			site := faultySite(t, s)
			site.Fill("default", 3, 100)
			want := site.Digest()
			for n := 1; ; n++ {
				if !site.surviveStoreFailure(n, f.fault, want) {
					holds(t, n > 5, "a snapshot needs the store, and made %d operations on it", n-1)
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
	must(s.t, err, "make a folder")
	defer os.RemoveAll(folder)
	away, err := s.moved(filepath.Join(folder, "repository"))
	must(s.t, err, "copy the repository")
	before, armed, calls, failed := away.List(), false, 0, ""
	store, err := dir.Open(away.cfg.Repository.Dir())
	must(s.t, err, "open the copy")
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
		holds(s.t, failed != "", "a snapshot failed without a fault: %v", err)
		away.requireUnchanged(before)
		m = away.Snapshot()
	}
	holds(s.t, slices.Equal(append(before, m.ID), away.List()), "%s: the snapshot is not the last of %v", failed, away.List())
	away.requireRestores(want, m.ID)
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
