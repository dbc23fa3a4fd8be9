package host

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// ahead is a session that stores files for the next snapshot. It is announced when
// there is something to store.
type ahead struct {
	*session
	mu   sync.Mutex
	done map[string]bool // what it has stored, by identity
}

// lookAhead finds out what the next snapshot will build on.
func (h *Host) lookAhead(ctx context.Context) (*ahead, error) {
	g, err := h.strategies.take(nil)
	if err != nil {
		return nil, err
	}
	s := h.newSession(ctx, g, g.cfg.Snapshot.Strategy, false)
	s.ledger.report = nil
	a := &ahead{session: s, done: make(map[string]bool)}
	if err := a.findBase(); err != nil {
		return nil, errors.Join(err, a.end(context.WithoutCancel(ctx)))
	}
	return a, nil
}

// findBase takes the strategy's newest snapshot for the next one's base, if there is
// one that shares files. A strategy that has shared none would store all of them
// again.
func (a *ahead) findBase() (err error) {
	if err = a.belong(); err != nil {
		return err
	}
	if a.history, err = a.host.history(a.ctx); err != nil {
		return err
	}
	base, err := a.newestSound(func() uint64 { return a.history.statedBy(a.strategy, a.lineage.id) })
	if err == nil && base != nil && a.history.has(base.Slot, a.lineage.id) {
		a.useBase(base)
	}
	return err
}

func (a *ahead) shares() bool { return a.base != nil }

// end leaves what it has stored to the next session.
func (a *ahead) end(ctx context.Context) error {
	err := errors.Join(a.close(), a.generation.release(context.WithoutCancel(ctx)))
	if a.run != nil {
		err = errors.Join(err, a.run.HandOver(ctx))
	}
	return err
}

// lookShare bounds the time that goes into looking at a large MANIFEST to one in so
// many seconds.
const lookShare = 20

// store stores the files that are due. Its turn must be taken.
func (p *preupload) store(ctx context.Context) error {
	a, begun := p.ahead, time.Now()
	live, err := readLive(a.host.db.Path(), a.lineage.origin)
	if err != nil {
		return err
	}
	if took := time.Since(begun); took > p.pace.every/lookShare {
		p.rest = time.Now().Add(lookShare * took)
	}
	a.capture = &capture{dir: live.dir, remove: live.remove} // without the list, which may be long
	p.watch.look(live)
	due := p.due(live, time.Now())
	if len(due) == 0 {
		return nil
	}
	if err := a.announce(ctx); err != nil {
		return err
	}
	var group errgroup.Group
	group.SetLimit(a.host.workers)
	for _, f := range due {
		group.Go(func() error { return p.storeOne(ctx, f.entry) })
	}
	return errors.Join(group.Wait(), a.run.Flush(ctx)) // what a halt interrupts is written when it is handed over
}

// announce begins the session as the repository sees it, and later asks whether it is
// still of use.
func (a *ahead) announce(ctx context.Context) (err error) {
	if a.run != nil {
		return a.run.Current(ctx)
	}
	a.run, err = a.host.writer.Begin(ctx, a.id)
	return err
}

// due lists the files to be stored: those that live long first. What goes into packs
// is left to the snapshot, as it belongs together.
func (p *preupload) due(live *capture, now time.Time) (due []*capturedFile) {
	seen := p.seen
	p.seen, p.waits = make(map[string]time.Time), false
	for i := range live.files {
		f := &live.files[i]
		key := f.entry.Identity
		if key == "" || f.record.Flags&abi.FileImmutable == 0 || f.in(p.ahead.shared) != nil || p.ahead.isSmall(f) || p.ahead.done[key] {
			continue
		}
		first, ok := seen[key]
		if !ok {
			first = now
		}
		p.seen[key] = first
		switch {
		case p.left[key]:
		case now.Sub(first) < p.pace.age:
			p.waits = true
		default:
			due = append(due, f)
		}
	}
	slices.SortFunc(due, func(a, b *capturedFile) int {
		return cmp.Or(cmp.Compare(b.record.Kind, a.record.Kind), cmp.Compare(b.entry.Level, a.entry.Level), cmp.Compare(a.entry.Number, b.entry.Number))
	})
	return due
}

// storeOne stores a file. It may be compacted away meanwhile: an open file can be read
// to its end, and one that was not opened in time is nobody's loss.
func (p *preupload) storeOne(ctx context.Context, entry catalog.File) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a := p.ahead
	err := a.storeFile(ctx, &entry)
	if err == nil {
		p.stores(&entry)
		return nil
	}
	if _, gone := os.Stat(filepath.Join(a.capture.dir, entry.Name)); gone != nil {
		return nil
	}
	if errors.Is(err, abi.ECORRUPT) { // the snapshot will say so
		a.mu.Lock()
		p.left[entry.Identity] = true
		a.mu.Unlock()
	}
	return err
}

func (p *preupload) stores(entry *catalog.File) {
	p.ahead.mu.Lock()
	p.ahead.done[entry.Identity] = true
	p.ahead.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if before, ok := p.stored[entry.Identity]; !ok || before.Object != entry.Object {
		p.count.Stored += entry.Size
	}
	p.stored[entry.Identity] = storedAhead{storedAs(entry.Identity, entry, ""), p.ahead.digests.of(entry)}
}

// quietBytes is how much of the WAL is worth a table of its own.
const quietBytes = 1 << 20

// quietLog finds out when nobody writes to the database any more.
type quietLog struct {
	file  string // the newest WAL
	size  int64  // of it, when it was last looked at
	since time.Time
	older int64 // bytes of the others that are live
}

func (q *quietLog) look(live *capture) {
	next := quietLog{older: int64(live.logBytes())}
	for i := range live.files {
		if f := &live.files[i].entry; f.Kind == abi.KindWAL {
			next.file, next.size = filepath.Join(live.dir, f.Name), f.Size
		}
	}
	next.older -= next.size
	if next.file == "" { // it is empty, so no checkpoint would hold it
		next.file = newestLog(live.dir)
	}
	if next.file == q.file {
		next.since = q.since
	}
	if next.file != q.file || next.size != q.size {
		next.since = time.Now()
	}
	*q = next
}

// newestLog returns the path of the newest WAL, "" when there is none.
func newestLog(dir string) (path string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	var newest uint64
	for _, e := range entries {
		if kind, number, ok := version.FileKind(e.Name()); ok && kind == abi.KindWAL && number >= newest {
			newest, path = number, filepath.Join(dir, e.Name())
		}
	}
	return path
}

// isQuiet says whether nothing was written for a while after a lot was.
func (q *quietLog) isQuiet(age time.Duration) bool {
	info, err := os.Stat(q.file)
	if q.file == "" || err != nil {
		return false
	}
	if info.Size() != q.size {
		q.size, q.since = info.Size(), time.Now()
	}
	return q.size+q.older >= quietBytes && time.Since(q.since) >= age
}

// flushQuiet flushes what the next snapshot would flush, once nobody writes any more:
// then there is a file to store, and no more of them than there would be.
func (p *preupload) flushQuiet(ctx context.Context) error {
	flush := rocks.Flush(p.host.config().Snapshot.Flush)
	if flush == rocks.FlushNever || p.host.offline || !p.watch.isQuiet(p.pace.age) {
		return ctx.Err()
	}
	p.watch = quietLog{} // until the MANIFEST changes
	_, err := rocks.FlushBetween(p.host.db, flush, quietBytes)
	return err
}
