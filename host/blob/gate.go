package blob

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// gate bounds how many calls a store works on at the same time. Whoever holds a
// place for a call that has begun is never kept waiting, or two of them could
// wait for each other.
type gate struct {
	limit  int
	mu     sync.Mutex      // guards what follows
	active int             // places held; more than limit where some came back
	queue  []chan struct{} // closed when the turn of a call has come; the oldest first
}

func newGate(limit int) *gate {
	if limit <= 0 {
		limit = math.MaxInt
	}
	return &gate{limit: limit}
}

// enter waits for a place.
func (g *gate) enter(ctx context.Context) (*place, error) {
	turn := g.line()
	select {
	case <-turn:
		return &place{gate: g, held: true}, nil
	case <-ctx.Done():
		g.abandon(turn)
		return nil, ctx.Err()
	}
}

// line puts a call at the end of the queue.
func (g *gate) line() chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	turn := make(chan struct{})
	g.queue = append(g.queue, turn)
	g.admit()
	return turn
}

// admit gives free places to those who wait.
func (g *gate) admit() {
	for len(g.queue) > 0 && g.active < g.limit {
		close(g.queue[0])
		g.queue = g.queue[1:]
		g.active++
	}
}

// abandon takes a call out of the queue, or gives back the place that it got at
// the last moment.
func (g *gate) abandon(turn chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at := slices.Index(g.queue, turn); at >= 0 {
		g.queue = slices.Delete(g.queue, at, at+1)
		return
	}
	g.active--
	g.admit()
}

// add changes how many places are held.
func (g *gate) add(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.active += n
	g.admit()
}

// patience is for how long a store that waits for its caller keeps its place. It
// is more than a caller needs between two reads, and little to lose for one who
// has to make the next call first.
const patience = 10 * time.Millisecond

// place is held by a call, with its body, while the store works on it.
type place struct {
	gate *gate

	mu    sync.Mutex // guards what follows: a store may read on in the background after Create
	held  bool
	idle  bool // the store waits for the caller
	ended bool
	timer *time.Timer // ends the patience; nil before the first rest
}

// rest begins to wait for the caller.
func (p *place) rest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = true
	if p.timer == nil {
		p.timer = time.AfterFunc(patience, p.expire)
		return
	}
	p.timer.Reset(patience)
}

// expire gives the place up when the patience is over.
func (p *place) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle {
		p.free()
	}
}

// leave gives the place up until the next resume.
func (p *place) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free()
}

// resume goes on with the work, at once, whether or not there is a place.
func (p *place) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	if !p.held && !p.ended {
		p.held = true
		p.gate.add(1)
	}
}

// end gives the place up for good.
func (p *place) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop()
	p.ended = true
	p.free()
}

func (p *place) stop() {
	p.idle = false
	if p.timer != nil {
		p.timer.Stop()
	}
}

func (p *place) free() {
	if p.held {
		p.held = false
		p.gate.add(-1)
	}
}
