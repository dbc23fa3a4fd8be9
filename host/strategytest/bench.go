package strategytest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/tap"
)

// builtin is the strategy that others are compared with.
const builtin = "native-full"

// BenchOptions says what a [Bench] is made of.
type BenchOptions struct {
	Database string // folder of one that no process has open; "" makes one that changes between runs
	Runs     int    // snapshots of each strategy; 0 for 10
	Cache    string // folder of compiled modules; "" for that of tests
}

// Times are those of several runs, in milliseconds.
type Times struct {
	Median float64 `json:"median_ms"`
	Min    float64 `json:"min_ms"`
	Max    float64 `json:"max_ms"`
}

// Bench is how fast a module is.
type Bench struct {
	Runs         int     `json:"runs"`
	Cold         Times   `json:"cold_load"` // the module was never seen before; one run
	Warm         Times   `json:"warm_load"`
	Instantiate  Times   `json:"instantiate"`
	Prepare      Times   `json:"prepare"`
	Snapshot     Times   `json:"snapshot"` // all of it, prepare too
	Files        int     `json:"files"`    // of the last snapshot
	CallsPerFile float64 `json:"calls_per_file"`
	Ratio        float64 `json:"ratio"` // of the medians of snapshot, to native-full in turns; 0 when that is not installed
}

// Measure takes snapshots with a module and with native-full in turns, into a
// repository that is gone afterwards.
func Measure(ctx context.Context, s Subject, o BenchOptions) (*Bench, error) {
	if o.Runs == 0 {
		o.Runs = 10
	}
	loading, err := host.MeasureLoading(ctx, s.Module, s.Allow, o.Runs)
	if err != nil {
		return nil, err
	}
	s.cache = o.Cache
	b := &Bench{Runs: o.Runs, Cold: summary([]time.Duration{loading.Cold}), Warm: summary(loading.Warm), Instantiate: summary(loading.Instantiate)}
	folder, err := os.MkdirTemp("", "strategytest-")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	failures, _ := (&runner{ctx: ctx, folder: folder}).run(func(t T) { b.race(t, s.Wasm(), o) })
	if len(failures) > 0 {
		err = errors.New("bench: " + strings.Join(failures, "; "))
	}
	return b, errors.Join(ctx.Err(), err, os.RemoveAll(folder))
}

// race takes the snapshots in turns, so that what slows the machine down meanwhile
// slows down both.
func (b *Bench) race(t T, s Subject, o BenchOptions) {
	site := benchSite(t, s, o)
	var trace tap.Trace
	var prepare, whole, other []time.Duration
	for run := range o.Runs {
		site.change(uint64(run))
		site.around = trace.Around
		m := site.Snapshot()
		site.around = nil
		prepare, whole, b.Files = append(prepare, duration(m.PrepareMs)), append(whole, duration(m.TotalMs)), m.Files
		m, err := site.Host.Snapshot(t.Context(), host.SnapshotOptions{Strategy: builtin})
		if err == nil {
			other = append(other, duration(m.TotalMs))
		}
	}
	b.Prepare, b.Snapshot = summary(prepare), summary(whole)
	b.CallsPerFile = float64(trace.Calls()) / float64(o.Runs*max(b.Files, 1))
	if len(other) == o.Runs {
		b.Ratio = b.Snapshot.Median / summary(other).Median
	}
}

// benchSite is a site over a database of the user's, which stays as it is, or over
// one of twenty tables.
func benchSite(t T, s Subject, o BenchOptions) *Site {
	if o.Database == "" {
		site := NewSite(t, s, Database{})
		for seed := range uint64(20) {
			site.Fill("default", seed, 1000)
			site.Flush()
		}
		return site
	}
	site := &Site{t: t, subject: s, cfg: configure(t, s, Database{}, o.Database, filepath.Join(t.TempDir(), "repository"))}
	_, err := host.Init(t.Context(), site.cfg, host.InitOptions{SkipProbe: true})
	must(t, err, "make a repository")
	site.Host = site.open(host.Offline())
	return site
}

// change writes a little to a database of the site's own.
func (s *Site) change(seed uint64) {
	if s.db != nil {
		s.Fill("default", seed, 10)
		s.Flush()
	}
}

func duration(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

func summary(list []time.Duration) Times {
	list = slices.Sorted(slices.Values(list))
	ms := func(n int) float64 { return float64(list[n].Microseconds()) / 1000 }
	return Times{Median: ms(len(list) / 2), Min: ms(0), Max: ms(len(list) - 1)}
}
