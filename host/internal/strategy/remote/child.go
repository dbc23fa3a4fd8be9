package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/child"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

func init() { child.Register(task, serveHost) }

// inside is a process in which a module runs.
type inside struct {
	wire     *wire
	session  *proxy
	module   *strategy.Module
	instance *strategy.Instance
	enters   chan enter

	mu    sync.Mutex // guards the rest
	run   uint32     // the phase that runs, or ran last
	ended cancel     // the latest cancel that came
	end   context.CancelCauseFunc
}

// serveHost is the task of the child. It ends with the host, or by its hand.
func serveHost() int {
	w := newWire(os.Stdin, os.Stdout, math.MaxUint32) // the host is believed
	c := &inside{wire: w, session: newProxy(w), enters: make(chan enter, 1)}
	if err := c.load(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go c.listen()
	for e := range c.enters {
		if err := c.done(c.enter(e)); err != nil {
			return 1
		}
	}
	return 0
}

// load takes the module from the host, and then gives up what only loading needs.
func (c *inside) load() error {
	var s setup
	text, err := c.expect(kindSetup)
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err == nil {
		err = shrink(s.Limits)
	}
	if err != nil {
		return err
	}
	file, err := c.expect(kindModule)
	if err != nil {
		return err
	}
	c.module, err = strategy.Load(context.Background(), s.Name, file, s.options())
	if err == nil {
		err = enclose()
	}
	c.wire.body.Reset()
	return c.done(strategy.EndingOf(nil, err))
}

// options are those of the host. The child lets the host keep the time: its own
// deadlines are there for a host that is held up.
func (s *setup) options() strategy.Options {
	l := s.Limits
	for _, d := range []*time.Duration{&l.Prepare, &l.Snapshot, &l.Control} {
		*d += l.Grace + 10*time.Second
	}
	return strategy.Options{Limits: l, Grants: s.Grants, CacheDir: s.CacheDir, LogLevel: s.LogLevel}
}

func (c *inside) expect(k kind) ([]byte, error) {
	got, body, err := c.wire.receive()
	if err == nil && got != k {
		err = fmt.Errorf("%w: kind %d", errBroken, got)
	}
	return body, err
}

func (c *inside) done(e strategy.Ending) error {
	return c.wire.send(kindDone, func(row []byte) []byte { return appendEnding(row, e) })
}

// listen takes what the host sends until the host is gone.
func (c *inside) listen() {
	for {
		k, body, err := c.wire.receive()
		if err == nil {
			err = c.heed(k, body)
		}
		if err != nil {
			os.Exit(0)
		}
	}
}

func (c *inside) heed(k kind, body []byte) error {
	switch k {
	case kindReply:
		r, err := parseReply(body)
		c.session.replies <- r
		<-c.session.consumed // the next frame takes the place of this one
		return err
	case kindEnter:
		e, err := parseEnter(body)
		c.enters <- e
		return err
	case kindCancel:
		told, err := parseCancel(body)
		c.cancel(told)
		return err
	}
	return errBroken
}

// cancel ends the phase that is meant: it may be over, or not have begun.
func (c *inside) cancel(told cancel) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended = told
	if c.run == told.run && c.end != nil {
		c.end(told.errno)
	}
}

// begin makes the context of a phase.
func (c *inside) begin(e enter) context.Context {
	ctx, end := context.WithCancelCause(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	c.run, c.end = e.run, end
	if c.ended.run == e.run {
		end(c.ended.errno)
	}
	return ctx
}

// enter runs a phase.
func (c *inside) enter(e enter) strategy.Ending {
	ctx := c.begin(e)
	defer c.end(nil)
	if e.phase == 0 {
		var err error
		c.instance, err = c.module.New(ctx)
		return strategy.EndingOf(nil, err)
	}
	if c.instance == nil {
		return strategy.EndingOf(nil, errors.New("entered before it was started"))
	}
	return strategy.EndingOf(c.instance, c.method(ctx, e))
}

func (c *inside) method(ctx context.Context, e enter) error {
	switch e.phase {
	case abi.PhaseInit:
		return c.instance.Init(ctx, c.session)
	case abi.PhasePrepare:
		return c.instance.Prepare(ctx, c.session)
	case abi.PhaseSnapshot:
		return c.instance.Snapshot(ctx, c.session)
	case abi.PhaseNotify:
		return c.instance.Notify(ctx, c.session, e.note)
	}
	return c.instance.Restore(ctx, c.session)
}
