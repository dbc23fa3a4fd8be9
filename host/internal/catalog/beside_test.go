package catalog

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Whatever runs beside something else here does so in every way in which one of the
// two can be suspended in the other. The model watches over what is deleted, and
// over what is left in the end.

// last keeps one snapshot and knows no grace.
var last = PruneOptions{Policy: Policy{Last: 1}, Owner: owner}

func prunes(o PruneOptions) func(*process) {
	return func(p *process) { p.prune(p.open("orders"), o) }
}

func (p *process) takeOver() *Writer {
	w, err := p.open("orders").Acquire(context.Background(), owner)
	p.model.acquired(p, w, err)
	if err != nil {
		p.model.violated("acquire: %v", err)
	}
	return w
}

// takes runs sessions of a writer, one after the other.
func (p *process) takes(w *Writer, n int) (err error) {
	for range n {
		err = p.session(w, p.uuid(), make(chan bool, 1)).take()
	}
	return err
}

// as lets another process go on with a writer, which has its memory.
func (w *Writer) as(p *process) *Writer {
	c := p.open(w.catalog.database)
	w.catalog, w.tail.catalog = c, c
	return w
}

func committed(w *world) *Catalog { return &Catalog{store: w.disk, database: "orders"} }

func TestASessionBesideAPrune(t *testing.T) {
	var w *Writer
	play(t, 8, func(p *process) { w = p.takeOver(); _ = p.takes(w, 2) },
		func(p *process) { _ = p.takes(w.as(p), 1) },
		prunes(last),
		func(t *testing.T, world *world) {
			assert.Equal(t, 3, world.model.done["commits"])
			summaries, _ := list(t, committed(world))
			assert.LessOrEqual(t, len(summaries), 2)
		})
}

// loser finds a snapshot of orders with an object that the newest one has not.
func (p *process) loser() *Manifest {
	book := p.model.books["orders"]
	for slot := uint64(2); slot < book.last; slot++ {
		if slices.ContainsFunc(book.body[slot].Contents, func(f File) bool { return !names(book.body[book.last], f.Object) }) {
			return book.body[slot]
		}
	}
	return nil
}

// TestASessionWithAnOriginBesideAPrune: a session builds on a snapshot of another
// database, which is pruned meanwhile, and is done at any moment of that.
func TestASessionWithAnOriginBesideAPrune(t *testing.T) {
	var w *Writer
	var origin Origin
	used, gone := 0, 0
	play(t, 8, func(p *process) {
		_ = p.takes(p.takeOver(), 6)
		m := p.loser()
		require.NotNil(t, m, "a snapshot that prune takes something of")
		origin = Origin{Database: "orders", Snapshot: m.ID, Slot: m.Slot}
		w, _ = p.open("users").Acquire(context.Background(), owner)
	},
		func(p *process) {
			s := p.session(w.as(p), p.uuid(), make(chan bool, 1))
			s.origins = []Origin{origin}
			_ = s.take()
		},
		prunes(last),
		func(t *testing.T, world *world) {
			assert.Equal(t, 7, world.model.done["commits"])
			used += world.model.done["origins"]
			gone += world.model.done["origins gone"]
		})
	assert.NotZero(t, used)
	assert.NotZero(t, gone)
}

func TestTakingOverBesideAPrune(t *testing.T) {
	var w *Writer
	play(t, 8, func(p *process) { w = p.takeOver(); _ = p.takes(w, 2) },
		func(p *process) { _ = p.takes(p.takeOver(), 1) },
		prunes(last),
		func(t *testing.T, world *world) { assert.Equal(t, 3, world.model.done["commits"]) })
}

func TestPrunesSideBySide(t *testing.T) {
	play(t, 8, func(p *process) { _ = p.takes(p.takeOver(), 4) },
		prunes(last), prunes(last),
		func(t *testing.T, world *world) {
			summaries, errs := list(t, committed(world))
			assert.Empty(t, errs)
			assert.Len(t, summaries, 1)
			assert.EqualValues(t, 5, summaries[0].Slot)
		})
}

func TestAPinBesideAPrune(t *testing.T) {
	outcomes := map[bool]int{}
	play(t, 8, func(p *process) { _ = p.takes(p.takeOver(), 2) },
		func(p *process) {
			c := p.open("orders")
			m, err := c.Manifest(context.Background(), 2)
			if err != nil {
				return
			}
			_, err = c.Pin(context.Background(), &m.Summary, "", owner)
			outcomes[err == nil]++
			if err == nil {
				p.model.books["orders"].pinned[m.ID]++
			} else if !errors.Is(err, ErrRemoved) {
				p.model.violated("pin: %v", err)
			}
		},
		prunes(last),
		func(t *testing.T, world *world) {
			_, err := committed(world).Manifest(t.Context(), 2)
			if err != nil {
				assert.ErrorIs(t, err, fs.ErrNotExist)
			}
		})
	assert.NotZero(t, outcomes[true])
	assert.NotZero(t, outcomes[false])
}

func TestAReaderBesideAPrune(t *testing.T) {
	outcomes := map[bool]int{}
	play(t, 8, func(p *process) { _ = p.takes(p.takeOver(), 2) },
		func(p *process) {
			c := p.open("orders")
			m, err := c.Manifest(context.Background(), 2)
			if err != nil {
				return
			}
			release, err := c.Hold(context.Background(), &m.Summary, "restore", owner)
			outcomes[err == nil]++
			if err != nil {
				return
			}
			h := &hold{process: p, manifest: m}
			p.model.holds[h] = true
			p.read(context.Background(), h)
			delete(p.model.holds, h)
			p.enter("done", p.name)
			release()
		},
		prunes(last),
		func(*testing.T, *world) {})
	assert.NotZero(t, outcomes[true])
	assert.NotZero(t, outcomes[false])
}

// killed leaves a session behind that has stored and noted something, and its
// writer's epoch replaced.
func killed(p *process) (next *Writer) {
	w := p.takeOver()
	s := p.session(w, p.uuid(), make(chan bool, 1))
	s.run, _ = w.Begin(context.Background(), s.id)
	_, _ = s.store(context.Background())
	_ = s.run.notes.flush(context.Background())
	return p.takeOver()
}

// TestAdoptionBesideItsBurial: a session adopts what prune is about to bury.
func TestAdoptionBesideItsBurial(t *testing.T) {
	var w *Writer
	resumed := 0
	play(t, 2, func(p *process) { w = killed(p) },
		func(p *process) { _ = p.takes(w.as(p), 1) },
		prunes(PruneOptions{Sweep: true, Owner: owner}),
		func(_ *testing.T, world *world) { resumed += world.model.done["resumed"] })
	assert.NotZero(t, resumed)
}

// TestAdoptionBesideAHalfBurial: a prune was killed when it had taken the intent
// away and not yet the notes. Another sweeps, having seen neither intent.
func TestAdoptionBesideAHalfBurial(t *testing.T) {
	var w *Writer
	play(t, 1, func(p *process) { w = killed(p) },
		func(p *process) { _ = p.takes(w.as(p), 1) },
		func(p *process) {
			for a, err := range p.open("orders").intents(context.Background()) {
				if err == nil && a.Epoch < w.Epoch() {
					_ = p.Delete(context.Background(), a.name)
				}
			}
			p.prune(p.open("orders"), PruneOptions{Sweep: true, Owner: owner})
		},
		func(*testing.T, *world) {})
}

// TestAdoptionOfAnAdopter: the heir of a session that had adopted another inherits
// from both.
func TestAdoptionOfAnAdopter(t *testing.T) {
	var w *Writer
	play(t, 8, func(p *process) {
		next := killed(p)
		s := p.session(next, p.uuid(), make(chan bool, 1))
		s.run, _ = next.Begin(context.Background(), s.id)
		_, _ = s.store(context.Background())
		_ = s.run.notes.flush(context.Background())
		w = p.takeOver()
	},
		func(p *process) { _ = p.takes(w.as(p), 1) },
		prunes(PruneOptions{Sweep: true, Owner: owner}),
		func(_ *testing.T, world *world) { require.Equal(t, 1, world.model.done["commits"]) })
}
