package s3

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// How often and how long a request is tried: in all for about a minute, and one
// try until it is clear that nothing moves. The slowest transfer that is not
// given up has 32 KiB a second.
const (
	maxTries   = 10
	firstPause = 100 * time.Millisecond
	maxPause   = 20 * time.Second
	tryTime    = time.Minute
	slowest    = 32 << 10 // bytes a second
)

var errNoAnswer = errors.New("no answer came in time")

// call is one request with its tries.
type call struct {
	s      *Store
	tries  int
	wait   time.Duration // for an answer, beside the time that the bytes take
	unsure bool          // a request was sent that the server may have done without our knowing
}

// do makes a request that moves some bytes.
func (s *Store) do(ctx context.Context, bytes int64, send func(context.Context) error) error {
	c := call{s: s}
	return c.do(ctx, bytes, send)
}

// do sends a request until it succeeds, is refused, or has been tried too often.
// Once ctx is cancelled it returns the error of that.
func (c *call) do(ctx context.Context, bytes int64, send func(context.Context) error) error {
	tries := c.tries
	if tries == 0 {
		tries = maxTries
	}
	for n := 1; ; n++ {
		err := c.once(ctx, bytes, send)
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case n == tries || !passing(err):
			return err
		}
		c.s.counts.retries.Add(1)
		c.s.complain(ctx, n, err)
		if err := sleep(ctx, c.s.pause, n); err != nil {
			return err
		}
	}
}

// complain logs that a request is tried again. Where one goes on failing, people
// are told, once in a while.
func (s *Store) complain(ctx context.Context, try int, err error) {
	level := slog.LevelDebug
	if now, last := time.Now().UnixNano(), s.warned.Load(); try > 1 && now-last > int64(warnEvery) && s.warned.CompareAndSwap(last, now) {
		level = slog.LevelWarn
	}
	s.log.Log(ctx, level, "request failed and is tried again", "try", try, "error", s.explain(err))
}

const warnEvery = 30 * time.Second

// once sends a request one time, when its turn has come.
func (c *call) once(ctx context.Context, bytes int64, send func(context.Context) error) error {
	era, err := c.s.gate.enter(ctx)
	if err != nil {
		return err
	}
	c.s.counts.requests.Add(1)
	wait := max(c.wait, tryTime) + time.Duration(bytes/slowest)*time.Second
	try, cancel := context.WithTimeoutCause(ctx, wait, errNoAnswer)
	defer cancel()
	var sent atomic.Bool // set before any byte leaves; a connection that never was changes nothing
	err = send(httptrace.WithClientTrace(try, &httptrace.ClientTrace{WroteHeaders: func() { sent.Store(true) }}))
	if err != nil && context.Cause(try) == errNoAnswer { // the deadline is ours: the caller must not see one
		err = errNoAnswer
	}
	c.s.gate.leave(era, slow(err), err == nil)
	c.unsure = c.unsure || err != nil && sent.Load() && unanswered(err)
	return err
}

// sleep pauses after the n-th try: twice as long as after the one before, and
// somewhere in the upper half of that, so that callers do not come back together.
func sleep(ctx context.Context, first time.Duration, n int) error {
	pause := min(first<<(n-1), maxPause)
	timer := time.NewTimer(pause/2 + rand.N(pause/2+1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
