package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// guest is a module in its process, as [strategy.Outside] enters it.
type guest struct {
	*wire
	process *process
	server  server
	run     uint32 // phases entered
}

// load sends the module, and waits until the child has it compiled.
func (g *guest) load(ctx context.Context, limit time.Duration, s setup, file []byte) error {
	ctx, done := context.WithTimeoutCause(ctx, limit, &abi.Error{Errno: abi.ETIMEDOUT, Text: fmt.Sprintf("loading exceeded %s", limit)})
	defer done()
	defer context.AfterFunc(ctx, g.process.kill)()
	text, err := json.Marshal(s)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		kind kind
		body []byte
	}{{kindSetup, text}, {kindModule, file}} {
		if err == nil {
			err = g.send(f.kind, func(row []byte) []byte { return append(row, f.body...) })
		}
	}
	var ending strategy.Ending
	if err == nil {
		ending, err = g.await()
	}
	switch {
	case err == nil:
		return ending.Refusal() // names the strategy
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	default:
		err = g.lost(err)
	}
	if output := g.server.outside.Output(); output != "" {
		err = fmt.Errorf("%w\n%s", err, output)
	}
	return fmt.Errorf("load strategy %q: %w", s.Name, err)
}

// Enter implements [strategy.Guest].
func (g *guest) Enter(ctx, alive context.Context, p abi.Phase, n abi.Notification) (strategy.Ending, error) {
	g.run++
	e := enter{g.run, p, n}
	defer g.server.release()
	defer context.AfterFunc(alive, g.process.kill)()
	err := g.send(kindEnter, e.append)
	if err != nil {
		return strategy.Ending{}, g.lost(err)
	}
	defer context.AfterFunc(ctx, func() {
		c := cancel{e.run, abi.ErrnoOf(context.Cause(ctx))}
		g.send(kindCancel, c.append) // that the child is gone shows in await
	})()
	ending, err := g.await()
	if err != nil {
		return ending, g.lost(err)
	}
	return ending, nil
}

// await serves calls until the child says how what it does has ended.
func (g *guest) await() (strategy.Ending, error) {
	for {
		k, body, err := g.receive()
		if err != nil {
			return strategy.Ending{}, err
		}
		if k == kindDone {
			return parseEnding(body)
		}
		if err := g.answer(k, body); err != nil {
			return strategy.Ending{}, err
		}
	}
}

func (g *guest) answer(k kind, body []byte) error {
	if k != kindCall || g.run == 0 {
		return fmt.Errorf("%w: kind %d", errBroken, k)
	}
	c, err := parseCall(body)
	if err != nil {
		return err
	}
	r, err := g.server.serve(&c)
	if err != nil {
		return err
	}
	return g.send(kindReply, r.append)
}

// lost ends a child after an error of the wire, and tells how it is lost. What it
// printed last goes into the error of the crash.
func (g *guest) lost(err error) error {
	if errors.Is(err, errBroken) {
		g.process.kill()
		return fmt.Errorf("its process %w", err)
	}
	how := g.process.how()
	g.server.outside.Note(g.process.stderr.last)
	return errors.New(how)
}
