package host

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/config"
)

// instead says what a snapshot stands in for: the strategy that was to take it,
// and why that could not. It is zero for most.
type instead struct{ strategy, reason string }

// Snapshot takes a snapshot and returns its manifest: [Host.Begin], then
// [Operation.Wait]. When the strategy fails it does what the strategy's on_error
// says: it tries again after a pause, and takes the snapshot with another strategy
// instead, of which the manifest and a warning tell. What is not the strategy's
// fault, such as a cancel or a failure of the store, is returned at once. All of
// it happens on the configuration that it began on.
func (h *Host) Snapshot(ctx context.Context, o SnapshotOptions) (*Manifest, error) {
	if o.Group != "" && o.part == nil {
		return h.snapshotInGroup(ctx, o)
	}
	g, err := h.strategies.take(nil)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	defer g.release(context.WithoutCancel(ctx))
	o.generation = g
	if o.Strategy == "" {
		o.Strategy = g.cfg.Snapshot.Strategy
	}
	m, err := h.persist(ctx, o)
	tried := []string{o.Strategy}
	for fallible(err) {
		to := g.cfg.Strategies[o.Strategy].OnError.To
		if to == "" || slices.Contains(tried, to) {
			break
		}
		h.log.Warn("strategy failed, another takes the snapshot instead", "strategy", o.Strategy, "instead", to, "error", err)
		o, tried = o.replaced(to, err), append(tried, to)
		m, err = h.persist(ctx, o)
	}
	if err != nil && o.instead.strategy != "" {
		err = fmt.Errorf("%w (strategy %s stood in after: %s)", err, o.Strategy, o.instead.reason)
	}
	return m, err
}

// replaced returns the options with another strategy, after a failure of this one.
func (o SnapshotOptions) replaced(to string, failure error) SnapshotOptions {
	if o.instead.strategy == "" {
		o.instead = instead{o.Strategy, firstLine(failure)}
	} else {
		o.instead.reason += "; then " + firstLine(failure)
	}
	o.Strategy = to
	return o
}

// persist takes a snapshot with one strategy, which it tries as often as its table
// says.
func (h *Host) persist(ctx context.Context, o SnapshotOptions) (*Manifest, error) {
	onError := o.generation.cfg.Strategies[o.Strategy].OnError
	for attempt := 1; ; attempt++ {
		m, err := h.attempt(ctx, o)
		if !fallible(err) || errors.Is(err, errResting) || attempt >= onError.Attempts {
			return m, err
		}
		pause := backoff(onError, attempt)
		h.log.Warn("strategy failed, it is tried again", "strategy", o.Strategy, "attempt", attempt, "pause", pause, "error", err)
		if err := sleep(ctx, pause); err != nil {
			return nil, fmt.Errorf("snapshot: %w", err)
		}
	}
}

func (h *Host) attempt(ctx context.Context, o SnapshotOptions) (*Manifest, error) {
	op, err := h.Begin(ctx, o)
	if err != nil {
		return nil, err
	}
	return op.Wait()
}

// fallible tells whether an error is the strategy's fault. Everything else would
// hit another strategy, or another attempt, just as well, or is somebody's wish.
func fallible(err error) bool { return err != nil && CodeOf(err) == CodePlugin }

// backoff returns the pause after an attempt, counted from 1: it doubles, and is
// up to a half shorter, so that hosts that failed together do not return together.
func backoff(onError config.OnError, attempt int) time.Duration {
	pause, limit := time.Duration(onError.Backoff), time.Duration(onError.BackoffLimit)
	for ; attempt > 1 && pause < limit; attempt-- {
		pause *= 2
	}
	pause = min(pause, limit)
	return pause - rand.N(pause/2+1)
}

// sleep waits, and fails when ctx ends meanwhile.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// maxReason bounds what a manifest tells of a failure.
const maxReason = 500

// firstLine is an error for manifests and lists: without the output of a module
// that crashed, which may be long.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return strings.ToValidUTF8(line[:min(len(line), maxReason)], "?")
}
