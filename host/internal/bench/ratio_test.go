//go:build !race

package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// attempts is how often a ratio may be looked at: others use the machine as well.
const attempts = 3

// TestRatios has rocksnap do its work beside plain loops that need no program to be
// installed, and holds it to a factor of theirs. The factors leave room for noise, but
// not for twice the work. Judged is the time of the processors, in the best round of
// each: how long one waits for a disk depends on who else uses it, and [TestSyncs]
// counts how often. What must be reached beside the programs that people use, 'make
// bench' measures.
func TestRatios(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes some seconds")
	}
	g := ratioGround(t)
	for _, c := range ratios {
		t.Run(c.name, func(t *testing.T) {
			best := math.Inf(1)
			for attempt := 0; attempt < attempts && best > c.most; attempt++ {
				results, err := Run(t.Context(), g, []Case{{Name: c.name, Contenders: worked(c.contenders)}}, MinRounds, nil)
				require.NoError(t, err)
				rows := results[0].Rows
				best = min(best, rows[0].Seconds().Low/rows[1].Seconds().Low)
				t.Logf("%.2f times the work of a plain loop", best)
			}
			require.LessOrEqual(t, best, c.most)
		})
	}
}

func ratioGround(t *testing.T) *Ground {
	g := Small(t.TempDir())
	g.Size, g.busy, g.Plugins, g.Cache = 48<<20, true, plugins(t), dbtest.Cache()
	t.Cleanup(func() { require.NoError(t, g.Close()) })
	return g
}

const loop = "a plain loop"

// makes is the type of [Case.Contenders].
type makes = func(context.Context, *Ground) ([]Contender, error)

// ratios are the cases, with what is about one and a half of the ratio that was
// measured when it was set.
var ratios = []struct {
	name       string
	contenders makes
	most       float64
}{
	{"full", fullBesideLoop, 3.8},
	{"restore", restoreBesideLoop, 2.8},
	{"verify", verifyBesideLoop, 1.25},
	{"no change", noChangeBesideLoop, 0.8},
	{"scan", scanBesideLoop, 0.6},
	{"canonical", canonicalBesideLoop, 1.95},
	{"canonical restore", canonicalRestoreBesideLoop, 1.2},
}

// worked has contenders measured by the time of the processors.
func worked(make makes) makes {
	return func(ctx context.Context, g *Ground) ([]Contender, error) {
		list, err := make(ctx, g)
		for i := range list {
			run := list[i].Run
			list[i].Run = func(ctx context.Context) (Measure, error) {
				before := processors()
				m, err := run(ctx)
				m.Took = processors() - before
				return m, err
			}
		}
		return list, err
	}
}

// processors is the time that this process has had of them.
func processors() time.Duration {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		panic(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// TestSyncs counts how often rocksnap waits for a disk: for what it has stored, and hardly
// more often than when this was written.
func TestSyncs(t *testing.T) {
	g := ratioGround(t)
	g.Size = 4 << 20
	t.Cleanup(func() { require.NoError(t, g.endCase()) })
	db, err := g.database(g.shape())
	require.NoError(t, err)
	s, err := g.siteOf(db, "incremental")
	require.NoError(t, err)
	for _, c := range []struct {
		Contender
		most int64
	}{{s.full("first"), 25}, {s.again("no change"), 20}, {s.restore("restore"), 22}} {
		require.NoError(t, c.Before(t.Context()))
		var syncs atomic.Int64
		restore := durable.Intercept(func(op durable.Op, change func() error) error {
			if op.Verb == "sync" {
				syncs.Add(1)
			}
			return change()
		})
		_, err := c.Run(t.Context())
		restore()
		require.NoError(t, err)
		assert.Positive(t, syncs.Load(), c.Name)
		assert.LessOrEqual(t, syncs.Load(), c.most, c.Name)
		t.Log(c.Name, syncs.Load())
	}
}

// plugins is a folder with the built-in strategies as modules.
func plugins(t *testing.T) string {
	folder := t.TempDir()
	for _, name := range dbtest.Builtin {
		require.NoError(t, os.Symlink(dbtest.Module(t, name), filepath.Join(folder, name+".wasm")))
	}
	return folder
}

// beside is a site, and the loop that it is compared with.
func (g *Ground) beside(ctx context.Context, shape Shape, strategy string, based bool, other func(db string) Contender) (*site, Contender, error) {
	db, err := g.database(shape)
	if err != nil {
		return nil, Contender{}, err
	}
	s, err := g.siteOf(db, strategy)
	if err == nil && based {
		err = s.based(ctx)
	}
	return s, g.fair(loop, other(db), db), err
}

// copyLoop copies a database, file by file, and syncs each.
func (g *Ground) copyLoop(db string) Contender {
	target := filepath.Join(g.Dir, "copy")
	g.atEnd(func() error { return os.RemoveAll(target) })
	return Contender{
		Before: func(context.Context) error { return errors.Join(os.RemoveAll(target), os.Mkdir(target, 0o755)) },
		Run: func(context.Context) (Measure, error) {
			return timed(0, func() error {
				entries, err := os.ReadDir(db)
				for _, e := range entries {
					err = errors.Join(err, syncedCopy(filepath.Join(db, e.Name()), filepath.Join(target, e.Name())))
				}
				return errors.Join(err, durable.SyncDir(target))
			})
		},
	}
}

func fullBesideLoop(ctx context.Context, g *Ground) ([]Contender, error) {
	s, other, err := g.beside(ctx, g.shape(), "native-full", false, g.copyLoop)
	return []Contender{s.full(ours), other}, err
}

func restoreBesideLoop(ctx context.Context, g *Ground) ([]Contender, error) {
	s, other, err := g.beside(ctx, g.shape(), "native-full", true, g.copyLoop)
	return []Contender{s.restore(ours), other}, err
}

// hashLoop reads a database on one core and hashes it.
func (g *Ground) hashLoop(db string) Contender {
	return Contender{Run: func(context.Context) (Measure, error) {
		return timed(0, func() error {
			entries, err := os.ReadDir(db)
			if err != nil {
				return err
			}
			for _, e := range entries {
				content, err := os.ReadFile(filepath.Join(db, e.Name()))
				if err != nil {
					return err
				}
				blake3.Sum256(content)
			}
			return nil
		})
	}}
}

func verifyBesideLoop(ctx context.Context, g *Ground) ([]Contender, error) {
	s, other, err := g.beside(ctx, g.shape(), "native-full", true, g.hashLoop)
	return []Contender{g.fair(ours, Contender{Run: s.verify}, s.repository()), other}, err
}

func noChangeBesideLoop(ctx context.Context, g *Ground) ([]Contender, error) {
	s, other, err := g.beside(ctx, g.shape(), "incremental", true, g.copyLoop)
	return []Contender{s.again(ours), other}, err
}

// recordLoop reads all records by the binding's iterator.
func (g *Ground) recordLoop(db string) Contender { return ScanBinding(db) }

func scanBesideLoop(ctx context.Context, g *Ground) ([]Contender, error) {
	s, other, err := g.beside(ctx, g.records(), "canonical", false, g.recordLoop)
	return []Contender{g.fair(ours, Contender{Run: func(context.Context) (Measure, error) { return scan(s.db, g.records()) }}, s.db), other}, err
}

func canonicalBesideLoop(ctx context.Context, g *Ground) ([]Contender, error) {
	s, other, err := g.beside(ctx, g.records(), "canonical", false, g.recordLoop)
	return []Contender{s.full(ours), other}, err
}

func canonicalRestoreBesideLoop(ctx context.Context, g *Ground) ([]Contender, error) {
	s, other, err := g.beside(ctx, g.records(), "canonical", true, g.recordLoop)
	return []Contender{s.restore(ours), other}, err
}
