package blob

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound what a store is asked to do. Zero or less is no limit.
type Limits struct {
	Upload   int64 // bytes per second, of all Creates together
	Download int64 // bytes per second, of all open readers together
	Requests int   // calls and open readers at the same time
}

// Limit returns a store that keeps within limits.
//
// Bytes are counted as they pass between the caller and the store. So what a
// store sends twice counts once, and one that collects a part before it sends it
// may send the part at full speed. After a pause, up to a tenth of a second's
// bytes pass at once.
//
// A request counts from the call to its end, with its body; that of a list only
// while it looks for the next object. A new one waits until there is room. One
// for which the caller does nothing for 10 ms, because the source of a Create has
// no bytes yet or an open reader is not read, gives its room up; when it goes on
// it is not kept waiting, so there may then be more than the limit. Therefore a
// caller that needs one call in order to go on with another, such as to read one
// object while it creates or lists others, never waits for itself.
func Limit(s Store, l Limits) Store {
	return &limited{
		store:    s,
		upload:   newBandwidth(l.Upload),
		download: newBandwidth(l.Download),
		gate:     newGate(l.Requests),
	}
}

type limited struct {
	store            Store
	upload, download *bandwidth
	gate             *gate
}

func (l *limited) Create(ctx context.Context, name string, r io.Reader) error {
	place, err := l.gate.enter(ctx)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	defer place.end()
	return l.store.Create(ctx, name, &limitedSource{ctx, r, place, l.upload})
}

func (l *limited) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	place, err := l.gate.enter(ctx)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", name, err)
	}
	body, err := l.store.Open(ctx, name, offset, length)
	if err != nil {
		place.end()
		return nil, err
	}
	place.rest()
	return &limitedBody{ctx, body, place, l.download}, nil
}

func (l *limited) Stat(ctx context.Context, name string) (Info, error) {
	place, err := l.gate.enter(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("stat %s: %w", name, err)
	}
	defer place.end()
	return l.store.Stat(ctx, name)
}

func (l *limited) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		place, err := l.gate.enter(ctx)
		if err != nil {
			yield(Info{}, fmt.Errorf("list %q: %w", prefix, err))
			return
		}
		defer place.end()
		for info, err := range l.store.List(ctx, prefix, after) {
			place.leave()
			if !yield(info, err) {
				return
			}
			place.resume()
		}
	}
}

func (l *limited) Delete(ctx context.Context, names ...string) error {
	place, err := l.gate.enter(ctx)
	if err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	defer place.end()
	return l.store.Delete(ctx, names...)
}

func (l *limited) Tidy(ctx context.Context, before time.Time) (Tidied, error) {
	place, err := l.gate.enter(ctx)
	if err != nil {
		return Tidied{}, fmt.Errorf("tidy: %w", err)
	}
	defer place.end()
	return l.store.Tidy(ctx, before)
}

// limitedSource is what a Create reads: it rests while the source is read.
type limitedSource struct {
	ctx    context.Context
	source io.Reader
	place  *place
	upload *bandwidth
}

func (s *limitedSource) Read(p []byte) (int, error) {
	s.place.rest()
	n, err := s.source.Read(s.upload.cut(p))
	s.place.resume()
	if waited := s.upload.spend(s.ctx, n); waited != nil {
		return n, waited
	}
	return n, err
}

// limitedBody is an open object: it rests while it is not read.
type limitedBody struct {
	ctx      context.Context
	body     io.ReadCloser
	place    *place
	download *bandwidth
}

func (b *limitedBody) Read(p []byte) (int, error) {
	b.place.resume()
	defer b.place.rest()
	n, err := b.body.Read(b.download.cut(p))
	if waited := b.download.spend(b.ctx, n); waited != nil {
		return n, waited
	}
	return n, err
}

func (b *limitedBody) Close() error {
	defer b.place.end()
	return b.body.Close()
}

// bandwidth hands out the bytes of each second; a nil one has no end of them.
type bandwidth struct{ tokens *rate.Limiter }

func newBandwidth(perSecond int64) *bandwidth {
	if perSecond <= 0 {
		return nil
	}
	return &bandwidth{rate.NewLimiter(rate.Limit(perSecond), int(max(1, perSecond/10)))}
}

// cut shortens a buffer to what can be had at once.
func (b *bandwidth) cut(p []byte) []byte {
	if b == nil {
		return p
	}
	return p[:min(len(p), b.tokens.Burst())]
}

// spend waits until n bytes, which cut allowed, may have passed. It gives up when
// ctx is done and not before: [rate.Limiter.WaitN] does so where a deadline is too
// near, with an error that is not the deadline's.
func (b *bandwidth) spend(ctx context.Context, n int) error {
	if b == nil || n == 0 {
		return nil
	}
	delay := b.tokens.ReserveN(time.Now(), n).Delay()
	if delay == 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
