package s3

import (
	"context"
	"log/slog"
	"sync"

	"golang.org/x/sync/semaphore"
)

// gate bounds the requests that run at once, by what the server can take: the
// limit is halved when the server says so, and grows by one after as many
// successes as the limit is.
type gate struct {
	slots *semaphore.Weighted // max of them
	max   int
	log   *slog.Logger

	mu        sync.Mutex
	limit     int
	kept      int // slots that are not given out: max-limit, once so many have come back
	successes int // since the limit was changed
	era       int // of requests; a new one begins with each halving
}

func newGate(limit int, log *slog.Logger) *gate {
	return &gate{slots: semaphore.NewWeighted(int64(limit)), max: limit, limit: limit, log: log}
}

// enter waits until one more request may run and says in which era it begins.
func (g *gate) enter(ctx context.Context) (era int, err error) {
	if err := g.slots.Acquire(ctx, 1); err != nil {
		return 0, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.era, nil
}

// leave ends a request. Of all that ran when the server became slow, only the
// first one halves the limit.
func (g *gate) leave(era int, slow, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case slow && era == g.era && g.limit > 1:
		g.era++
		g.change(g.limit / 2)
	case ok && g.limit < g.max:
		if g.successes++; g.successes >= g.limit {
			g.change(g.limit + 1)
		}
	}
	if g.kept < g.max-g.limit {
		g.kept++
		return
	}
	g.slots.Release(1)
}

func (g *gate) change(limit int) {
	g.limit, g.successes = limit, 0
	if g.kept > g.max-limit {
		g.kept--
		g.slots.Release(1)
	}
	g.log.Debug("limit of concurrent requests changed", "limit", limit, "of", g.max)
}

// allowed returns how many requests may run at once.
func (g *gate) allowed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limit
}
