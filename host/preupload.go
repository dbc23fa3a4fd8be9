package host

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// Preuploaded counts the bytes of files that a host has stored between snapshots.
type Preuploaded struct {
	Stored  int64 // since the host was opened
	Claimed int64 // of these, by snapshots that were committed
	Wasted  int64 // of these, of files that were gone by the time of a snapshot
}

// Preuploaded tells what [snapshot] preupload has stored, and how much of it was of
// use. The rest is still to be claimed.
func (h *Host) Preuploaded() Preuploaded {
	p := h.preupload
	if p == nil {
		return Preuploaded{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count
}

// preupload stores tables and blob files between snapshots, as RocksDB makes them. It
// does so in a session of its own, which ends before a snapshot begins: that adopts it
// and claims what it needs. It takes turns with snapshots: it never runs beside one.
type preupload struct {
	host  *Host
	pace  pace
	loops sync.WaitGroup

	mu     sync.Mutex
	stop   context.CancelFunc // of the loop; nil before it was started
	closed bool
	paused int                // snapshots under way
	halt   context.CancelFunc // of the round under way
	count  Preuploaded
	stored map[string]storedAhead // not yet claimed, by identity
	again  bool                   // something has changed that the database does not show

	turn  sync.Mutex // held by whoever uses the rest
	ahead *ahead     // nil before it has begun
	watch quietLog
	seen  map[string]time.Time // when a file was first met, by identity
	left  map[string]bool      // files that are left to the snapshot, by identity
	stamp string               // of the database, when it was last looked at
	waits bool                 // a file was too young then
	rest  time.Time            // nothing is done before
}

// storedAhead is a file that was stored, with what is known only to who has read it.
type storedAhead struct {
	catalog.Stored
	plain string // as in [plainDigests]
}

// pace says when files are stored.
type pace struct {
	every time.Duration // the database is looked at so often
	age   time.Duration // a file has to live so long, since many are compacted away at once
}

var usualPace = pace{every: time.Second, age: 3 * time.Second}

// restAfter is the pause after a failure of the store.
const restAfter = 30 * time.Second

func newPreupload(h *Host, pace pace) *preupload {
	return &preupload{
		host: h, pace: pace, stored: make(map[string]storedAhead),
		seen: make(map[string]time.Time), left: make(map[string]bool),
	}
}

// follow starts storing once the configuration asks for it.
func (p *preupload) follow() {
	if p == nil || !p.host.config().Snapshot.Preupload {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.again = true
	if p.closed || p.stop != nil {
		return
	}
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	p.loops.Go(func() { p.loop(ctx) })
}

func (p *preupload) loop(ctx context.Context) {
	ticker := time.NewTicker(p.pace.every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		err := p.round(ctx)
		switch {
		case err == nil, ctx.Err() != nil:
		case errors.Is(err, catalog.ErrFenced):
			p.host.log.Warn("nothing is stored between snapshots any more", "error", err)
			return
		default:
			p.host.log.Warn("cannot store files between snapshots for now", "error", err)
		}
	}
}

// round takes a turn, unless a snapshot is under way. It ends early when one begins.
func (p *preupload) round(ctx context.Context) error {
	p.mu.Lock()
	if p.paused > 0 || p.closed {
		p.mu.Unlock()
		return nil
	}
	ctx, halt := context.WithCancel(ctx)
	defer halt()
	p.halt = halt
	again := p.again
	p.again = false
	p.mu.Unlock()
	p.turn.Lock()
	defer p.turn.Unlock()
	if again {
		p.stamp = ""
	}
	err := p.look(ctx)
	if ctx.Err() != nil { // whatever failed because of it
		return nil
	}
	if err != nil {
		p.stamp, p.rest = "", time.Now().Add(restAfter)
	}
	return err
}

// look stores what is due, if the database has changed or a file has come of age.
func (p *preupload) look(ctx context.Context) error {
	if !p.host.config().Snapshot.Preupload {
		return p.handOver(ctx)
	}
	if ctx.Err() != nil || time.Now().Before(p.rest) {
		return nil
	}
	if err := p.flushQuiet(ctx); err != nil {
		return err
	}
	stamp, err := stampDatabase(p.host.db.Path())
	if err != nil || stamp == p.stamp && !p.waits {
		return err
	}
	if p.ahead == nil {
		if p.ahead, err = p.host.lookAhead(ctx); err != nil {
			return err
		}
	}
	if !p.ahead.shares() {
		p.stamp, p.waits = stamp, false
		return nil
	}
	if err = p.store(ctx); err == nil {
		p.stamp = stamp
	}
	return err
}

// stampDatabase tells the present set of files from others.
func stampDatabase(dir string) (string, error) {
	current, err := os.ReadFile(filepath.Join(dir, "CURRENT"))
	if err != nil {
		return "", err
	}
	return stamp(filepath.Join(dir, strings.TrimSpace(string(current)))), nil
}

// pause ends what is under way, and hands over to a snapshot that is about to begin.
func (p *preupload) pause(next *session) {
	if p == nil {
		return
	}
	p.mu.Lock()
	p.paused++
	if p.halt != nil {
		p.halt()
	}
	p.mu.Unlock()
	p.turn.Lock()
	defer p.turn.Unlock()
	if err := p.handOver(next.ctx); err != nil {
		p.host.log.Warn("some of what was stored between snapshots is stored again", "error", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, left := range p.stored {
		if left.plain != "" {
			var f File
			refer(&f, left.Stored)
			next.digests.add(&f, left.plain)
		}
	}
}

// handOver ends the session. Its turn must be taken. Who gives up waiting for that loses
// what is not noted by then: it is stored again.
func (p *preupload) handOver(ctx context.Context) error {
	if p.ahead == nil {
		return nil
	}
	a := p.ahead
	p.ahead = nil
	return a.end(ctx)
}

// resume goes on after a snapshot, which has perhaps claimed what was stored.
func (p *preupload) resume(op *Operation) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.paused--
	p.again = true
	if op.err == nil && !op.session.savepoint {
		p.account(op.manifest)
	}
}

// account counts what a snapshot has claimed. What it has not is swept, since its
// session withdraws all that it has adopted. It must be called with p.mu held.
func (p *preupload) account(m *Manifest) {
	var claimed, wasted int64
	for i := range m.Contents {
		f := &m.Contents[i]
		if left, ok := p.stored[f.Identity]; ok && left.Object == f.Object {
			claimed += f.Size
			delete(p.stored, f.Identity)
		}
	}
	for _, left := range p.stored {
		wasted += left.Size
	}
	clear(p.stored)
	p.count.Claimed += claimed
	p.count.Wasted += wasted
	if claimed+wasted > 0 {
		p.host.log.Info("claimed what was stored before the snapshot", "snapshot", m.ID, "bytes", claimed, "bytes_wasted", wasted)
	}
}

// close ends it for good.
func (p *preupload) close() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	p.closed = true
	if p.stop != nil {
		p.stop()
	}
	p.mu.Unlock()
	p.loops.Wait()
	p.turn.Lock()
	defer p.turn.Unlock()
	return p.handOver(context.Background())
}
