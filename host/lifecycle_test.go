package host_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// TestCancelAnywhere cancels at a random moment. Whatever comes of it, nothing is
// half there and the next snapshot works.
func TestCancelAnywhere(t *testing.T) {
	path := shapes[0].make(t)
	digest := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	h := open(t, cfg, host.WithStore(slow{store(t, cfg)}))
	committed := []string{}
	var begin time.Time
	for _, strategy := range append(dbtest.Builtin, "canonical") { // the first time compiles the module
		begin = time.Now()
		m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
		require.NoError(t, err)
		committed = append(committed, m.ID)
	}
	usual := int64(time.Since(begin))
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		strategy := dbtest.Builtin[random.IntN(3)]
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Duration(random.Int64N(2*usual)), cancel)
		m, err := h.Snapshot(ctx, host.SnapshotOptions{Strategy: strategy})
		cancel()
		if err == nil {
			committed = append(committed, m.ID)
		} else {
			assert.Equal(t, host.CodeInterrupted, host.CodeOf(err), "%s: %v", strategy, err)
		}
		assert.Equal(t, committed, listed(t, cfg))
		requireClean(t, path)
	}
	for _, strategy := range dbtest.Builtin {
		m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
		require.NoError(t, err)
		assert.Empty(t, intents(t, cfg), "what was cancelled stays only until a snapshot has gone on from it")
		assert.Equal(t, digest, dbtest.Digest(t, restore(t, cfg, m.ID)))
	}
	assert.Greater(t, len(committed), 4)
	assert.Less(t, len(committed), 24)
	verified, err := h.Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	assert.Empty(t, verified.Problems)
}

// TestCancelOperation cancels through the operation once its instant is captured.
func TestCancelOperation(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	gate := newGate(store(t, cfg))
	h := open(t, cfg, host.WithStore(gate))
	for _, strategy := range dbtest.Builtin {
		op, err := h.Begin(t.Context(), host.SnapshotOptions{Strategy: strategy})
		require.NoError(t, err)
		op.Cancel()
		_, err = op.Wait()
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, host.CodeInterrupted, host.CodeOf(err))
		assert.Empty(t, listed(t, cfg))
		requireClean(t, path)
	}
}

// TestCloseWaits is I7: the database stays open until a snapshot that has begun is
// committed, though most of its work comes after Close was called.
func TestCloseWaits(t *testing.T) {
	for i, strategy := range []string{"native-full", "incremental", "canonical", "canonical"} {
		t.Run(fmt.Sprint(strategy, i), func(t *testing.T) {
			path := shapes[0].make(t)
			digest := dbtest.Digest(t, path)
			cfg := dbtest.Config(t, path)
			gate := newGate(store(t, cfg))
			options := []host.Option{host.WithStore(gate)}
			if i%2 == 1 {
				options = append(options, host.Offline())
			}
			h := open(t, cfg, options...)
			op, err := h.Begin(t.Context(), host.SnapshotOptions{Strategy: strategy})
			require.NoError(t, err)
			closed := make(chan error, 1)
			go func() { closed <- h.Close() }()
			select {
			case <-closed:
				t.Fatal("closed under a snapshot")
			case <-time.After(100 * time.Millisecond):
			}
			_, err = h.Begin(t.Context(), host.SnapshotOptions{})
			require.ErrorIs(t, err, rocks.ErrClosed)
			gate.open()
			m, err := op.Wait()
			require.NoError(t, err)
			require.NoError(t, <-closed)
			_, err = h.Begin(t.Context(), host.SnapshotOptions{Strategy: "canonical"})
			require.ErrorIs(t, err, rocks.ErrClosed)
			assert.Equal(t, digest, dbtest.Digest(t, restore(t, cfg, m.ID)))
		})
	}
}

// TestOverlap takes snapshots side by side.
func TestOverlap(t *testing.T) {
	path := shapes[1].make(t)
	digest := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	h := open(t, cfg)
	var all sync.WaitGroup
	for _, strategy := range slices.Concat(dbtest.Builtin, dbtest.Builtin) {
		all.Go(func() {
			_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
			assert.NoError(t, err, strategy)
		})
	}
	all.Wait()
	ids := listed(t, cfg)
	require.Len(t, ids, 6)
	for _, id := range ids {
		assert.Equal(t, digest, dbtest.Digest(t, restore(t, cfg, id)))
	}
	requireClean(t, path)
	assert.Empty(t, intents(t, cfg))
}

func TestLabelsAndMetadata(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	o := host.SnapshotOptions{
		Labels: map[string]string{"why": "before the migration"},
		Meta:   map[string][]byte{"offsets": {0, 255, 10}},
	}
	h := open(t, cfg, host.Offline())
	for _, o.Strategy = range dbtest.Builtin {
		m, err := h.Snapshot(t.Context(), o)
		require.NoError(t, err)
		found, err := h.Find(t.Context(), m.ID)
		require.NoError(t, err)
		assert.Equal(t, o.Labels, found.Labels)
		assert.Equal(t, o.Meta["offsets"], found.Meta["offsets"])
	}
	list, err := h.List(t.Context())
	require.NoError(t, err)
	for _, s := range list {
		assert.Equal(t, o.Labels, s.Labels)
	}
}

func TestEmptyDatabase(t *testing.T) {
	path := dbtest.New(t, rocks.Creation{Families: []string{"orders", "users"}, Compression: "zstd"})
	cfg := dbtest.Config(t, path)
	for _, strategy := range dbtest.Builtin {
		m := snapshot(t, cfg, strategy)
		assert.Equal(t, catalog.KindEmpty, m.Kind)
		assert.Equal(t, strategy, m.Strategy.Name)
		assert.Zero(t, m.Files)
		restored := restore(t, cfg, m.ID)
		assert.Equal(t, familyNames(t, path), familyNames(t, restored))
		assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restored))
		dbtest.Fill(t, restored, "users", 1, 10)
		next := snapshot(t, at(cfg, restored), strategy)
		assert.Equal(t, m.Lineage, next.Lineage)
		assert.NotEqual(t, catalog.KindEmpty, next.Kind)
		assert.Equal(t, dbtest.Digest(t, restored), dbtest.Digest(t, restore(t, cfg, next.ID)))
	}
}

// TestUnopenedCheckpoint snapshots what RocksDB's own checkpoint leaves: a
// database without an IDENTITY.
func TestUnopenedCheckpoint(t *testing.T) {
	for _, shape := range shapes[1:3] {
		path := shape.make(t)
		checkpoint := filepath.Join(filepath.Dir(path), "checkpoint")
		dbtest.Edit(t, path, shape.creation, func(db *rocks.DB) {
			require.NoError(t, db.Checkpoint(checkpoint, rocks.FlushNever))
		})
		cfg := dbtest.Config(t, checkpoint)
		for _, m := range snapshots(t, cfg, dbtest.Builtin...) {
			assert.Empty(t, m.Base)
			assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, m.ID)), shape.name)
		}
	}
}

// TestFailingStore breaks each create of a snapshot in turn, before and in the
// middle of its body.
func TestFailingStore(t *testing.T) {
	for _, mode := range []blob.Mode{blob.Fail, blob.Cut} {
		path := shapes[3].make(t)
		digest := dbtest.Digest(t, path)
		cfg := dbtest.Config(t, path)
		f := &failing{mode: mode}
		h := open(t, cfg, host.Offline(), host.WithStore(blob.Faulty(store(t, cfg), f.plan)))
		for _, strategy := range dbtest.Builtin {
			before := listed(t, cfg)
			f.fail(1)
			for {
				m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
				requireClean(t, path)
				if f.creates < f.at {
					require.NoError(t, err)
					assert.Equal(t, append(before, m.ID), listed(t, cfg))
					assert.Equal(t, digest, dbtest.Digest(t, restore(t, cfg, m.ID)))
					break
				}
				require.ErrorIs(t, err, blob.ErrFault, "%s, create %d", strategy, f.at)
				assert.NotEqual(t, host.CodePlugin, host.CodeOf(err), "the strategy is not to blame: %v", err)
				assert.Equal(t, before, listed(t, cfg))
				f.fail(f.at + 1)
			}
			assert.Greater(t, f.at, 4)
		}
	}
}

// failing makes the create of one number fail.
type failing struct {
	mode        blob.Mode
	at, creates int
}

func (f *failing) fail(at int) { f.at, f.creates = at, 0 }

func (f *failing) plan(c blob.Call) blob.Fault {
	if c.Verb != blob.VerbCreate {
		return blob.Fault{}
	}
	if f.creates++; f.creates != f.at {
		return blob.Fault{}
	}
	return blob.Fault{Mode: f.mode, At: 10}
}

func store(t testing.TB, cfg *config.Config) blob.Store {
	t.Helper()
	s, err := dir.Open(cfg.Repository.Dir())
	require.NoError(t, err)
	return s
}

func intents(t testing.TB, cfg *config.Config) []string {
	t.Helper()
	c, err := catalog.Open(t.Context(), store(t, cfg), cfg.Repository.Name)
	require.NoError(t, err)
	var sessions []string
	for i, err := range c.Intents(t.Context()) {
		require.NoError(t, err)
		sessions = append(sessions, i.Session)
	}
	return sessions
}

// slow is a store that takes some milliseconds over each object.
type slow struct{ blob.Store }

func (s slow) Create(ctx context.Context, name string, r io.Reader) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(5 * time.Millisecond):
	}
	return s.Store.Create(ctx, name, r)
}

// gate is a store that holds back objects until it is opened.
type gate struct {
	blob.Store
	opened chan struct{}
}

func newGate(s blob.Store) *gate { return &gate{s, make(chan struct{})} }

func (g *gate) open() { close(g.opened) }

func (g *gate) Create(ctx context.Context, name string, r io.Reader) error {
	if strings.HasPrefix(name, "objects/") {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-g.opened:
		}
	}
	return g.Store.Create(ctx, name, r)
}
