package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// SnapshotOptions says how a snapshot is taken.
type SnapshotOptions struct {
	Strategy string            // "" for the one that the configuration names
	Labels   map[string]string // shown in lists
	Meta     map[string][]byte // of the application, for example source offsets

	// Savepoint makes a snapshot that shares no object with any other, that no
	// other builds on, and that prune keeps until it is told its name. All of it is
	// in the store under "savepoints/", in a folder with its id, which is a
	// repository by itself wherever it is moved or copied; see [OpenSingle].
	Savepoint bool

	// Link makes the database's own files, where they never change, objects of a
	// repository in a folder on the same file system, instead of copies. That is not
	// a backup: what happens to the disk, or to such a file, happens to the snapshot.
	// Its manifest says so. A snapshot without Link reuses none of them.
	Link bool

	// Group makes the snapshot part of a group snapshot: it counts once every member
	// of the configuration's group has taken one with the same id, which nobody has
	// used before, and until then nobody sees it. When a member fails, or does not
	// come in time, none of them counts. That they are of one consistent moment is
	// the application's matter, such as a barrier in its streams.
	Group string

	part       *catalog.Membership // in the group; nil before it was joined
	aborts     bool                // a failure of this attempt gives the group up
	instead    instead             // of which strategy, after what failure
	generation *generation         // nil for the current one
}

// Operation is a snapshot under way: its instant is captured.
type Operation struct {
	host       *Host
	session    *session
	generation *generation
	trial      *trial   // nil when nobody counts the strategy's failures
	strategy   instance // nil for an empty database
	options    SnapshotOptions
	release    func() // of the lease on the database
	cancel     context.CancelFunc
	prepared   time.Duration
	rejoined   string // id of the snapshot that an earlier process has taken for the group; then there is no session

	done     chan struct{}
	manifest *Manifest
	err      error
}

// Begin captures the instant of a snapshot and returns. Writes after it are not
// part of the snapshot. The rest runs in the background until Wait returns;
// cancelling ctx cancels it.
//
// It is a single attempt, whatever the configuration's on_error says, but a
// strategy that rests after too many failures is refused. [Host.Snapshot] does
// all of on_error.
func (h *Host) Begin(ctx context.Context, o SnapshotOptions) (*Operation, error) {
	if h.writer == nil {
		return nil, errors.New("snapshot: the host was opened without a writer")
	}
	if o.Group != "" && o.part == nil {
		return h.beginInGroup(ctx, o)
	}
	op, err := h.begin(ctx, o, false)
	if err != nil {
		return nil, err
	}
	go op.run(op.commit)
	return op, nil
}

func (h *Host) begin(ctx context.Context, o SnapshotOptions, dry bool) (*Operation, error) {
	err := h.checkLink(o)
	if err != nil {
		return nil, err
	}
	if o.Labels, o.Meta, err = checkLabels(o); err != nil {
		return nil, err
	}
	release, err := h.db.Acquire()
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	op := &Operation{host: h, options: o, release: release, done: make(chan struct{})}
	if err := op.admit(dry); err != nil {
		release()
		return nil, err
	}
	ctx, op.cancel = context.WithCancel(ctx)
	op.session = h.newSession(ctx, op.generation, op.options.Strategy, dry)
	op.session.savepoint, op.session.link, op.session.instead = o.Savepoint, o.Link, o.instead
	if !dry {
		h.preupload.pause(op.session)
	}
	if err := op.prepare(ctx); err != nil {
		op.settle(nil, err)
		return nil, op.err
	}
	return op, nil
}

// admit takes the configuration that the operation runs on to its end, and asks
// whether the strategy may be tried.
func (op *Operation) admit(dry bool) error {
	g, err := op.host.strategies.take(op.options.generation)
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	op.generation = g
	if op.options.Strategy == "" {
		op.options.Strategy = g.cfg.Snapshot.Strategy
	}
	if dry {
		return nil
	}
	name := op.options.Strategy
	if op.trial, err = op.host.circuits.admit(name, g.suspect(name), g.cfg.Strategies[name].OnError); err != nil {
		return errors.Join(err, g.release(context.Background()))
	}
	return nil
}

// maxLabels bounds the bytes of all labels, which every list reads.
const maxLabels = 16 << 10

// checkLabels copies what the application attaches, as it is at this instant, and
// refuses what a manifest cannot carry before anything is uploaded.
func checkLabels(o SnapshotOptions) (map[string]string, map[string][]byte, error) {
	size := 0
	for k, v := range o.Labels {
		size += len(k) + len(v)
		if k == "" || !utf8.ValidString(k) || !utf8.ValidString(v) {
			return nil, nil, problem(CodeUsage, fmt.Errorf("label %q = %q: name and value must be UTF-8", k, v), "a label is name=value")
		}
	}
	if size > maxLabels {
		return nil, nil, problem(CodeUsage, fmt.Errorf("labels have %d bytes, at most %d", size, maxLabels), "longer texts belong into metadata")
	}
	meta := make(map[string][]byte)
	for k, v := range o.Meta {
		if err := put(meta, "metadata", k, v, abi.MaxMeta); err != nil {
			return nil, nil, problem(CodeUsage, err, "keep large things in the database itself")
		}
	}
	return maps.Clone(o.Labels), meta, nil
}

// prepare is the synchronous phase, and what has to be known before it.
func (op *Operation) prepare(ctx context.Context) error {
	s := op.session
	if err := s.belong(); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if !s.dry {
		var err error
		if s.run, err = op.announce(ctx); err != nil {
			return fenced(err)
		}
		if s.savepoint {
			s.run.Apart()
		}
	}
	if err := s.learn(); err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	empty, err := op.host.db.Empty()
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	if empty {
		return s.captureEmpty()
	}
	op.catchUp(ctx)
	if op.strategy, err = op.generation.start(ctx, s.strategy); err != nil {
		return s.ended(err)
	}
	s.enter(ctx, abi.PhaseInit)
	if err := op.strategy.Init(ctx, s); err != nil {
		return s.blame(err, "check [strategies."+s.strategy+".config]")
	}
	s.started = time.Now().UTC()
	s.enter(ctx, abi.PhasePrepare)
	if err := op.strategy.Prepare(ctx, s); err != nil {
		return s.blame(err, "")
	}
	op.prepared = time.Since(s.started)
	return nil
}

// run is the asynchronous phase: transfer, seal, and what publish does with it.
func (op *Operation) run(publish func(context.Context, *Manifest) error) {
	ctx, s := op.session.ctx, op.session
	m, err := op.transfer(ctx)
	if err != nil {
		op.settle(nil, err)
		return
	}
	m.Labels, m.Savepoint = op.options.Labels, op.options.Savepoint
	maps.Copy(m.Meta, op.options.Meta)
	markLinked(m)
	m.PrepareMs, m.TotalMs = milliseconds(op.prepared), milliseconds(time.Since(s.started))
	op.settle(m, publish(ctx, m))
}

// transfer stores what the manifest will name: the files, and beside them the module.
func (op *Operation) transfer(ctx context.Context) (*Manifest, error) {
	s := op.session
	s.enter(ctx, abi.PhaseSnapshot)
	beside, stop := context.WithCancel(ctx)
	defer stop()
	var module errgroup.Group
	module.Go(func() error { return op.keepModule(beside) })
	m, err := op.transferFiles(ctx)
	if err != nil {
		stop()
	}
	if unkept := module.Wait(); err == nil {
		err = unkept
	}
	return m, err
}

func (op *Operation) transferFiles(ctx context.Context) (*Manifest, error) {
	s := op.session
	if op.strategy != nil {
		if err := op.strategy.Snapshot(ctx, s); err != nil {
			return nil, s.blame(err, "")
		}
	}
	m, err := s.seal()
	if err != nil {
		return nil, s.refuse(err)
	}
	return m, nil
}

// keepModule stores the module, unless nothing is to be stored. It tells where a
// snapshot comes from; the data does not need it.
func (op *Operation) keepModule(ctx context.Context) error {
	file := op.generation.module(op.session.strategy)
	if file == nil || op.session.dry {
		return nil
	}
	err := op.host.catalog.PutModule(ctx, file.digest, file.wasm)
	if errors.Is(err, catalog.ErrDamaged) {
		op.host.log.Warn("the repository's copy of the module is damaged", "error", err)
		return nil
	}
	return err
}

// commit publishes the snapshot. Once it has begun it is not cancelled: a commit
// whose outcome is unknown would help nobody.
func (op *Operation) commit(ctx context.Context, m *Manifest) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	publish := op.session.run.Commit
	if op.options.part != nil {
		waiting := ctx // it may be cancelled while the others are waited for
		publish = func(_ context.Context, m *Manifest) error { return op.commitInGroup(waiting, m) }
	}
	ctx = context.WithoutCancel(ctx)
	veiled, err := op.host.keys.conceal(m)
	if err != nil {
		return err
	}
	if err := publish(ctx, veiled); err != nil {
		return fenced(err)
	}
	m.Summary = veiled.Summary
	op.host.attest(ctx, m.Slot)
	op.host.log.Info("committed snapshot", "snapshot", m.ID, "slot", m.Slot, "bytes_new", m.BytesNew, "bytes_reused", m.BytesReused)
	return nil
}

// fenced gives the error of a stale writer its code and hint.
func fenced(err error) error {
	if errors.Is(err, catalog.ErrFenced) {
		return problem(CodeFenced, err, "another host took over this database; stop this one")
	}
	return err
}

// settle ends the operation, one way or the other, and leaves nothing behind but
// what is committed. Objects of a failed one are swept by prune.
func (op *Operation) settle(m *Manifest, err error) {
	defer close(op.done)
	defer op.release()
	if !op.session.dry {
		defer op.host.preupload.resume(op)
	}
	op.manifest, op.err = m, err
	if err != nil {
		op.manifest = nil
	}
	s := op.session
	ctx := context.WithoutCancel(s.ctx)
	if err != nil && op.options.aborts {
		op.host.abort(ctx, op.options.part, err)
	}
	op.notify(ctx)
	op.cancel()
	op.keepLocal()
	op.trial.end(op.verdict())
	var leftovers []error
	if op.strategy != nil {
		leftovers = append(leftovers, op.strategy.Close(ctx))
		op.generation.warm(op.session.strategy, nextAfter)
	}
	leftovers = append(leftovers, s.close(), op.generation.release(ctx))
	if s.run != nil {
		leftovers = append(leftovers, s.run.Close(ctx, err))
	}
	if err := errors.Join(leftovers...); err != nil {
		op.host.log.Warn("snapshot left something behind", "snapshot", s.id, "error", err)
	}
}

// errNotAsked is the verdict on a strategy that nothing was asked of.
var errNotAsked = errors.New("the database is empty")

// verdict is what the outcome says about the strategy.
func (op *Operation) verdict() error {
	if op.err == nil && op.session.empty {
		return errNotAsked
	}
	return op.err
}

// notify tells the strategy what became of its snapshot. It can change nothing.
func (op *Operation) notify(ctx context.Context) {
	if op.strategy == nil || op.session.dry {
		return
	}
	note := abi.Notification{Event: abi.EventAborted}
	if op.err == nil {
		note = abi.Notification{Event: abi.EventComplete, Slot: op.manifest.Slot}
	}
	op.host.heard.outcome(op.session, note, op.session.tell(ctx, op.strategy, note))
}

// Wait returns the committed manifest, or why there is none.
func (op *Operation) Wait() (*Manifest, error) {
	<-op.done
	return op.manifest, op.err
}

// Cancel makes Wait fail soon, unless the snapshot is being committed.
func (op *Operation) Cancel() { op.cancel() }

// ID returns the id that the snapshot will have.
func (op *Operation) ID() string {
	if op.session == nil {
		return op.rejoined
	}
	return op.session.id
}
