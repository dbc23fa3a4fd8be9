package bench

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob/mem"
	strategies "github.com/rocksnap/rocksnap/host/internal/native"
)

func taxCases() []Case {
	return []Case{
		{
			Name: "tax-of-wasm-full", About: "native-full into an empty repository in a directory, in the sandbox and without it",
			Contenders: taxOfFull,
			Bars:       []Bar{{Of: []string{native}, Factor: 1.01}},
		},
		{
			Name: "tax-of-wasm-10000", About: "incremental without change of 10,000 SSTs, in the sandbox and without it",
			Contenders: taxOfMany,
			Bars:       []Bar{{Of: []string{native}, Factor: 1, Slack: 20 * time.Millisecond}},
		},
		{
			Name: "tax-of-wasm-synchronous", About: "the slowest of 100 synchronous phases but one, 40 SSTs, a warm module, in the sandbox and without it",
			Contenders: taxOfBegin,
			Bars:       []Bar{{Of: []string{native}, Factor: 1, Slack: time.Millisecond}},
		},
		{
			Name: "synchronous-phase", About: "the synchronous phase of incremental, 1,000 SSTs",
			Contenders: synchronous,
			Bars:       []Bar{{Of: []string{checkpoint}, Factor: 1, Slack: 5 * time.Millisecond}},
		},
	}
}

// taxed makes two sites, the second without a sandbox.
func (g *Ground) taxed(db, strategy string) (wasm, plain *site, err error) {
	if wasm, err = g.siteOf(db, strategy); err != nil {
		return nil, nil, err
	}
	plain, err = g.siteOf(db, strategy, strategies.Options()...)
	return wasm, plain, err
}

func taxOfFull(_ context.Context, g *Ground) ([]Contender, error) {
	db, err := g.database(g.shape())
	if err != nil {
		return nil, err
	}
	wasm, plain, err := g.taxed(db, "native-full")
	if err != nil {
		return nil, err
	}
	return []Contender{wasm.full(ours), plain.full(native)}, nil
}

func taxOfMany(ctx context.Context, g *Ground) ([]Contender, error) {
	db, err := g.many(g.Tables)
	if err != nil {
		return nil, err
	}
	wasm, plain, err := g.taxed(db, "incremental")
	if err == nil {
		err = wasm.based(ctx)
	}
	if err == nil {
		err = plain.based(ctx)
	}
	if err != nil {
		return nil, err
	}
	return []Contender{wasm.again(ours), plain.again(native)}, nil
}

func taxOfBegin(ctx context.Context, g *Ground) ([]Contender, error) {
	shape := Shape{Bytes: 1 << 20, ValueBytes: 100, TableBytes: 1 << 20 / 40, Seed: 1}
	db, err := g.database(shape)
	if err != nil {
		return nil, err
	}
	own, err := g.inMemory(db)
	if err != nil {
		return nil, err
	}
	wasm, err := g.site(own, "native-full", host.WithStore(mem.New()))
	if err != nil {
		return nil, err
	}
	plain, err := g.site(own, "native-full", append(strategies.Options(), host.WithStore(mem.New()))...)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(wasm.based(ctx), plain.based(ctx)); err != nil {
		return nil, err
	}
	const times = 100
	return []Contender{wasm.beginning(ours, times), plain.beginning(native, times)}, nil
}

func synchronous(ctx context.Context, g *Ground) ([]Contender, error) {
	db, err := g.many(min(1000, g.Tables))
	if err != nil {
		return nil, err
	}
	s, err := g.siteOf(db, "incremental")
	if err == nil {
		err = s.stay(ctx)
	}
	if err != nil {
		return nil, err
	}
	own, err := g.copy(db, "engine")
	if err != nil {
		return nil, err
	}
	return []Contender{
		g.fair(ours, Contender{Run: func(ctx context.Context) (Measure, error) { return s.begin(ctx, 1) }}),
		g.fair(checkpoint, g.Tools.Checkpoint(own, filepath.Join(filepath.Dir(own), "checkpoint"))),
	}, nil
}

// inMemory returns a copy of a database on a file system in memory, where there is
// one: no disk then hides what is to be seen.
func (g *Ground) inMemory(db string) (string, error) {
	folder, err := os.MkdirTemp(memoryFolder, "rocksnap-bench-")
	if err != nil {
		return g.copy(db, "database")
	}
	g.atEnd(func() error { return os.RemoveAll(folder) })
	path := filepath.Join(folder, "db")
	return path, linked(db, path, func(fs.DirEntry) bool { return false })
}

// beginning measures synchronous phases one after another.
func (s *site) beginning(name string, times int) Contender {
	return Contender{Name: name, Before: s.again("").Before, Run: func(ctx context.Context) (Measure, error) {
		m, err := s.begin(ctx, times)
		return m, errors.Join(err, s.close())
	}}
}

// begin takes snapshots and measures the slowest synchronous phase, without the
// slowest hundredth of them.
func (s *site) begin(ctx context.Context, times int) (Measure, error) {
	var took []time.Duration
	for range times {
		start := time.Now()
		op, err := s.host.Begin(ctx, host.SnapshotOptions{})
		took = append(took, time.Since(start))
		if err != nil {
			return Measure{}, err
		}
		if _, err := op.Wait(); err != nil {
			return Measure{}, err
		}
		time.Sleep(readied)
	}
	slices.Sort(took)
	return Measure{Took: took[(times-1)*99/100]}, nil
}
