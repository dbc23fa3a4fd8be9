package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// session is one run of a strategy: abi.Session over the database and the store.
// Its methods belong to the goroutine that runs the strategy; what the workers
// share with it stands in the ledger.
type session struct {
	host       *Host
	id         string // UUID; the first part of every object's name
	generation *generation
	strategy   string
	config     []byte
	started    time.Time
	run        *catalog.Session // nil when dry
	dry        bool             // plan only: nothing is stored
	link       bool             // files that never change are linked, not copied
	savepoint  bool             // nothing is shared, neither way
	instead    instead          // what this run stands in for
	empty      bool             // the database holds nothing

	mu        sync.Mutex      // guards ctx and phase from a Wait that an ended module left behind
	ctx       context.Context // of the current phase
	phase     abi.Phase
	lineage   lineage
	history   history
	manifests map[uint64]*catalog.Manifest // that were read, by slot
	transfers *transfers
	writers   sync.WaitGroup // objects being written piece by piece

	base    *catalog.Manifest
	shared  map[string]*catalog.File // shared files of the base, by identity
	capture *capture
	view    *rocks.View
	options string // text of RocksDB's OPTIONS when the view was opened
	ledger  ledger

	bundles     map[abi.Scope]*bundle // small files that wait for others
	inspections inspections
	listing     sync.Once
	digests     plainDigests // of what is encrypted; see keptNote

	news      news              // of earlier snapshots
	committed map[string][]byte // state as of the latest snapshot
	state     map[string][]byte // state as it will be committed; nil until changed
	meta      map[string][]byte
}

var _ abi.Session = (*session)(nil)

func (h *Host) newSession(ctx context.Context, g *generation, strategy string, dry bool) *session {
	s := &session{
		host: h, id: uuid.Must(uuid.NewV7()).String(), generation: g, strategy: strategy, dry: dry, ctx: ctx,
		config: g.config(strategy), started: time.Now().UTC(), meta: make(map[string][]byte),
		manifests: make(map[uint64]*catalog.Manifest),
	}
	s.ledger.report = throttle("snapshot", h.report)
	s.transfers = newTransfers(ctx, h.workers)
	return s
}

// learn reads what has to be known before the instant: what is committed in this
// history, and the strategy's state.
func (s *session) learn() (err error) {
	if s.history, err = s.host.history(s.ctx); err != nil {
		return err
	}
	if other := s.history.stranger(s.lineage.id); other != nil {
		s.host.log.Warn("the newest snapshot is of another database, or of this one before it was made anew; a second database needs another [repository] name",
			"name", s.host.name, "snapshot", other.ID, "of", other.Lineage, "this", s.lineage.id)
	}
	if err := s.checkHistory(); err != nil {
		return err
	}
	if err := s.recall(); err != nil {
		return fmt.Errorf("read state: %w", err)
	}
	s.readOrigins()
	return s.ctx.Err()
}

// recall reads what the strategy's earlier snapshots know: the newest one of the
// others, and the newest that is no savepoint of its state.
func (s *session) recall() error {
	latest, err := s.newestSound(func() uint64 { return s.history.latestBy(s.strategy, s.lineage.id) })
	if err != nil {
		return err
	}
	stated := latest
	if latest != nil && latest.Savepoint {
		if stated, err = s.newestSound(func() uint64 { return s.history.statedBy(s.strategy, s.lineage.id) }); err != nil {
			return err
		}
	}
	if stated != nil {
		s.committed = stated.State
	}
	s.gather(latest)
	return nil
}

// belong finds out which history this is.
func (s *session) belong() error {
	identity, err := s.host.db.Identity()
	if err == nil {
		s.lineage, err = readLineage(s.host.db.Path(), identity)
	}
	return err
}

// newestSound reads the manifest in the slot that pick returns, nil for slot 0.
// One that is damaged is left out of the history and pick is asked again: damage
// to a snapshot costs that snapshot, and not those to come.
func (s *session) newestSound(pick func() uint64) (*catalog.Manifest, error) {
	for {
		slot := pick()
		if slot == 0 {
			return nil, nil
		}
		m, err := s.manifest(slot)
		if !errors.Is(err, catalog.ErrDamaged) {
			return m, err
		}
		s.host.log.Warn("passed over a damaged snapshot", "slot", slot, "error", err)
		s.history.drop(slot)
	}
}

// manifest reads a manifest, once: what was read before the instant need not be read
// while an application waits for it.
func (s *session) manifest(slot uint64) (*catalog.Manifest, error) {
	if m := s.manifests[slot]; m != nil {
		return m, nil
	}
	m, err := s.host.catalog.SharedManifest(s.ctx, slot)
	if err == nil {
		s.manifests[slot] = m
	}
	return m, err
}

// captureEmpty takes the instant of a database that holds nothing: only its
// column families and options are kept, and no strategy is asked.
func (s *session) captureEmpty() error {
	s.empty = true
	s.enter(s.ctx, abi.PhasePrepare)
	_, err := s.View()
	return err
}

// enter sets the phase and the context that blocking calls obey.
func (s *session) enter(ctx context.Context, phase abi.Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ctx, s.phase = ctx, phase
}

func (s *session) current() (context.Context, abi.Phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ctx, s.phase
}

// allow fails with [abi.EPHASE] outside the given phases. The wasm adapter checks
// this too, from the table; a strategy that runs natively meets it here.
func (s *session) allow(call string, phases abi.Phase) error {
	ctx, phase := s.current()
	if phase&phases == 0 {
		return fmt.Errorf("%s in %s: %w", call, phase, abi.EPHASE)
	}
	return ctx.Err()
}

// Info describes the run.
func (s *session) Info() (abi.Info, error) {
	_, phase := s.current()
	info := abi.Info{ABI: abi.Version, Phase: phase, TimeMs: s.started.UnixMilli()}
	if g := s.host.groups; g != nil {
		info.GroupCount, info.GroupFirst, info.GroupLast = g.Count, g.First, g.Last
		info.PrefixBytes = uint32(keygroup.PrefixBytes(g.Count))
	}
	return info, nil
}

// Config returns the strategy's table as JSON.
func (s *session) Config() ([]byte, error) { return s.config, nil }

// StateGet returns a value of the state, with this session's changes.
func (s *session) StateGet(key string) ([]byte, error) {
	state := s.committed
	if s.state != nil {
		state = s.state
	}
	value, ok := state[key]
	if !ok {
		return nil, fmt.Errorf("state %q: %w", key, abi.ENOENT)
	}
	return bytes.Clone(value), nil // what is committed is the host's, and may be remembered
}

// StatePut changes the state that will be committed, within the configuration's
// limit.
func (s *session) StatePut(key string, value []byte) error {
	if err := s.allow("state_put", abi.PhasePrepare|abi.PhaseSnapshot); err != nil {
		return err
	}
	return put(s.mutableState(), "state", key, value, s.generation.state(s.strategy))
}

// StateDelete removes a key from the state that will be committed.
func (s *session) StateDelete(key string) error {
	if err := s.allow("state_delete", abi.PhasePrepare|abi.PhaseSnapshot); err != nil {
		return err
	}
	delete(s.mutableState(), key)
	return nil
}

func (s *session) mutableState() map[string][]byte {
	if s.state == nil {
		s.state = maps.Clone(s.committed)
		if s.state == nil {
			s.state = make(map[string][]byte)
		}
	}
	return s.state
}

// MetaPut attaches metadata to the manifest.
func (s *session) MetaPut(key string, value []byte) error {
	if err := s.allow("meta_put", abi.PhasePrepare|abi.PhaseSnapshot); err != nil {
		return err
	}
	return put(s.meta, "metadata", key, value, abi.MaxMeta)
}

// put copies a value into a small store with a limit on its total size.
func put(m map[string][]byte, what, key string, value []byte, limit int) error {
	if key == "" || len(key) > abi.MaxKey || !utf8.ValidString(key) {
		return fmt.Errorf("%s key %.*q: must be 1 to %d bytes of UTF-8: %w", what, abi.MaxKey, key, abi.MaxKey, abi.EINVAL)
	}
	total := len(key) + len(value)
	for k, v := range m {
		if k != key {
			total += len(k) + len(v)
		}
	}
	if total > limit {
		return fmt.Errorf("%s of %d bytes, at most %d: %w", what, total, limit, abi.EQUOTA)
	}
	m[key] = append([]byte(nil), value...)
	return nil
}

// Log writes a line to the host's log, under the strategy's name.
func (s *session) Log(level abi.Level, message string) {
	s.host.log.Log(s.ctx, slogLevel(level), message, "strategy", s.strategy)
}

// Progress passes on what the strategy says of itself.
func (s *session) Progress(done, total uint64) {
	s.ledger.strategyProgress(done, total)
}

// Checkpoint makes the checkpoint and lists it.
func (s *session) Checkpoint() (int, error) {
	if err := s.allow("checkpoint", abi.PhasePrepare); err != nil {
		return 0, err
	}
	if s.view != nil {
		return 0, fmt.Errorf("checkpoint beside a view: a snapshot is native or canonical: %w", abi.ECONFLICT)
	}
	if s.capture == nil {
		c, err := s.takeCapture()
		if err == nil {
			if err = s.proveBounds(c); err != nil {
				err = errors.Join(err, c.remove())
			}
		}
		if err != nil {
			s.ledger.fail(err)
			return 0, err
		}
		s.capture = c
		s.markBase()
		s.ledger.expect(c.files)
	}
	return len(s.capture.files), nil
}

func (s *session) takeCapture() (*capture, error) {
	if s.dry {
		return s.host.survey(s.generation.flush(), s.lineage.origin)
	}
	return s.host.checkpoint(s.generation.flush(), s.lineage.origin)
}

// View opens the read view.
func (s *session) View() (int, error) {
	if err := s.allow("view", abi.PhasePrepare); err != nil {
		return 0, err
	}
	if s.capture != nil {
		return 0, fmt.Errorf("view beside a checkpoint: a snapshot is native or canonical: %w", abi.ECONFLICT)
	}
	if s.link && !s.empty && s.instead.strategy == "" { // one that stands in for another saves what it can
		err := cannotLink("the strategy exports records")
		s.ledger.fail(err)
		return 0, err
	}
	if s.view == nil {
		if err := s.openView(); err != nil {
			s.ledger.fail(err)
			return 0, err
		}
	}
	return len(s.view.Families()), nil
}

// openView opens the view and reads what else belongs to its instant.
func (s *session) openView() (err error) {
	if s.view, err = s.host.db.View(); err != nil {
		return err
	}
	s.host.hide(s.view)
	for _, f := range s.view.Families() {
		if err := checkFamilyName(f.Name); err != nil {
			return err
		}
	}
	if s.options, err = rocks.OptionsText(s.host.db.Path()); err != nil {
		return fmt.Errorf("read options: %w", err)
	}
	return s.proveInside()
}

// checkFamilyName refuses a name that the manifest, which is JSON, cannot carry.
func checkFamilyName(name string) error {
	if !utf8.ValidString(name) {
		return problem(CodeFailed, fmt.Errorf("column family %q: its name is not UTF-8", name), "rocksnap cannot save this database")
	}
	return nil
}

// BasesRead lists committed native snapshots of this lineage, newest first, of
// which the first is known to be readable. While a fork has none, there is one in
// slot 0 that stands for what it was made of.
func (s *session) BasesRead(start int, dst []abi.Base) (int, error) {
	if err := s.allow("bases_read", abi.PhasePrepare); err != nil {
		return 0, err
	}
	if s.savepoint {
		return 0, nil
	}
	if _, err := s.newestSound(func() uint64 { return s.history.newest(s.lineage.id) }); err != nil {
		s.ledger.fail(err)
		return 0, fmt.Errorf("read base: %w", err)
	}
	bases := s.history.bases(s.lineage.id)
	if start < 0 || start >= len(bases) {
		return 0, nil
	}
	return copy(dst, bases[start:]), nil
}

// BaseUse chooses the base.
func (s *session) BaseUse(slot uint64) error {
	if err := s.allow("base_use", abi.PhasePrepare); err != nil {
		return err
	}
	if s.savepoint || !s.history.has(slot, s.lineage.id) {
		return fmt.Errorf("base %d: %w", slot, abi.ENOENT)
	}
	if s.base != nil {
		return fmt.Errorf("base %d: another base is in use: %w", slot, abi.ECONFLICT)
	}
	if slot == originSlot {
		s.useBase(s.history.origins...)
		return nil
	}
	base, err := s.manifest(slot)
	if err != nil {
		s.ledger.fail(err)
		return fmt.Errorf("read base: %w", err)
	}
	s.useBase(base)
	return nil
}

// ended is the error of what could not begin, unless the snapshot was cancelled.
func (s *session) ended(err error) error {
	if s.ctx.Err() != nil {
		return fmt.Errorf("snapshot: %w", context.Cause(s.ctx))
	}
	return err
}

// origin says what takes the snapshot, and what it replaces.
func (s *session) origin() catalog.Strategy {
	p := s.generation.provenance(s.strategy)
	p.FallbackFor, p.FallbackReason = s.instead.strategy, s.instead.reason
	if p.FallbackReason != "" && s.host.keys.id() != "" { // it may quote what is encrypted
		p.FallbackReason = "in the log of the host; this repository is encrypted"
	}
	return p
}

// blame tells a failure of the store, the database or the host, which the strategy
// merely passed on, from one of the strategy: that alone is [CodePlugin], and has
// the hint.
func (s *session) blame(err error, hint string) error {
	if s.ctx.Err() != nil { // and whatever failed because of it
		return fmt.Errorf("%s: %w", s.phase, context.Cause(s.ctx))
	}
	if p := (*Problem)(nil); errors.As(err, &p) {
		return problem(p.Code, err, p.Hint)
	}
	if failure := (*strategy.Error)(nil); errors.As(err, &failure) && failure.Errno == abi.EINTERNAL && failure.Cause != nil {
		return problem(CodeFailed, err, "this is a fault of rocksnap, and not of the strategy: report it")
	}
	if errors.Is(err, strategy.ErrCrashed) { // whatever it was told before
		return problem(CodePlugin, err, hint)
	}
	if cause := s.ledger.cause(); cause != nil && abi.ErrnoOf(cause) == abi.ErrnoOf(err) {
		err = fmt.Errorf("%s: %w", s.phase, cause)
		if !errors.Is(cause, abi.ECONFLICT) && !errors.Is(cause, abi.EINVAL) { // which only the strategy can cause
			return err
		}
	}
	return problem(CodePlugin, err, hint)
}

// refuse explains why a snapshot could not be sealed. A failure that the strategy
// has ignored is named too.
func (s *session) refuse(err error) error {
	if s.ctx.Err() != nil {
		return fmt.Errorf("snapshot: %w", context.Cause(s.ctx))
	}
	if cause := s.ledger.cause(); cause != nil {
		err = fmt.Errorf("%w, after: %w", err, cause)
	}
	return problem(CodePlugin, fmt.Errorf("strategy %q: seal: %w", s.strategy, err), "nothing was published; the strategy is at fault")
}

// close ends the run, whose context has ended: first whoever still reads the
// checkpoint or the view, then these.
func (s *session) close() error {
	s.transfers.stop()
	s.writers.Wait()
	if s.view != nil {
		s.view.Close()
	}
	if s.capture == nil {
		return nil
	}
	return s.capture.remove()
}
