package host

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// news is what a session's strategy has to be told of its earlier snapshots in this
// history. It follows from the catalog, so that a restart loses nothing:
//
//   - aborted: an intent of the strategy that is still there, without a snapshot.
//   - complete: a snapshot whose intent is still there, which goes only after the
//     strategy was told. And the newest snapshot, once in the life of a host: prune
//     may have taken the intent away. And one that appears later, as of another host
//     or of a group that was undecided.
//   - subsumed: a slot that the strategy's newest manifest knows and that is gone.
//     The next manifest forgets it, so a session that is not committed tells again.
type news struct {
	notes []abi.Notification
	known []uint64 // slots, for the next manifest
	deaf  bool     // whether the strategy does not want to be told
}

// heard is what a host remembers of what its strategies were told.
type heard struct {
	mu      sync.Mutex
	listens map[string]bool               // whether a strategy wants to be told, as far as it was tried; by name and module
	met     map[strand]bool               // whose newest snapshot was told of
	known   map[strand]map[uint64]bool    // slots that are not known to be gone
	gone    map[strandSlot]bool           // that were told of as gone
	owed    map[strand][]abi.Notification // that are still to be delivered
	ended   map[string]bool               // sessions of which the strategy was told, or is owed it
}

// strand is the snapshots of one history that one strategy took.
type strand struct{ strategy, lineage string }

type strandSlot struct {
	strand
	slot uint64
}

func newHeard() *heard {
	return &heard{
		listens: make(map[string]bool), met: make(map[strand]bool), known: make(map[strand]map[uint64]bool),
		gone: make(map[strandSlot]bool), owed: make(map[strand][]abi.Notification), ended: make(map[string]bool),
	}
}

func (s *session) strand() strand { return strand{s.strategy, s.lineage.id} }

// ear names what listens: a strategy's name and its module.
func (s *session) ear() string { return s.strategy + " " + s.generation.digest(s.strategy) }

// gather finds out what the strategy has to be told. The latest of its manifests
// may be nil.
func (s *session) gather(latest *catalog.Manifest) {
	h := s.host.heard
	h.mu.Lock()
	defer h.mu.Unlock()
	known := maps.Clone(h.known[s.strand()])
	if known == nil {
		known = make(map[uint64]bool)
	}
	if latest != nil {
		known[latest.Slot] = true
		for _, slot := range latest.Known {
			if !h.gone[strandSlot{s.strand(), slot}] {
				known[slot] = true
			}
		}
	}
	there := s.taken()
	for slot := range there {
		known[slot] = true
	}
	before, met := h.known[s.strand()], h.met[s.strand()]
	if before == nil {
		before = h.slots(s.strand())
		maps.Copy(before, known)
	}
	s.gatherEnded()
	if h.isDeaf(s, latest) {
		s.news = news{deaf: true}
		return
	}
	s.news = news{known: slices.Sorted(maps.Keys(known)), notes: slices.Clone(h.owed[s.strand()])}
	if latest != nil && !met {
		s.news.add(abi.EventComplete, latest.Slot)
	}
	for _, slot := range s.news.known {
		switch {
		case there[slot] && !before[slot]:
			s.news.add(abi.EventComplete, slot)
		case !there[slot] && !s.history.unread[slot]:
			s.news.add(abi.EventSubsumed, slot)
		}
	}
}

// taken returns the slots of the strategy's snapshots in this history.
func (s *session) taken() map[uint64]bool {
	slots := make(map[uint64]bool)
	for _, m := range s.history.snapshots {
		if m.Strategy.Name == s.strategy && m.Lineage == s.lineage.id {
			slots[m.Slot] = true
		}
	}
	return slots
}

// gatherEnded looks what became of the sessions that came to no end: each was
// committed, or else nothing will come of it. This session adopts those of other
// strategies too, so that their intents go with its own; the host remembers them.
func (s *session) gatherEnded() {
	if s.run == nil {
		return
	}
	h := s.host.heard
	for _, a := range s.run.Adopted() {
		i := slices.IndexFunc(s.history.snapshots, func(m catalog.Summary) bool { return m.ID == a.Session })
		to, note := strand{a.By, s.lineage.id}, abi.Notification{Event: abi.EventAborted}
		if i >= 0 { // perhaps of what the database was before it was restored as a fork
			m := &s.history.snapshots[i]
			to.lineage, note = m.Lineage, abi.Notification{Event: abi.EventComplete, Slot: m.Slot}
		}
		if a.By != "" && !h.ended[a.Session] {
			h.owe(to, note)
			h.ended[a.Session] = true
		}
	}
}

// owe remembers a notification that a strategy has not heard yet. It must be called
// with h.mu held.
func (h *heard) owe(s strand, note abi.Notification) {
	if !slices.Contains(h.owed[s], note) {
		h.owed[s] = append(h.owed[s], note)
	}
}

func (n *news) add(event abi.Event, slot uint64) {
	if note := (abi.Notification{Event: event, Slot: slot}); !slices.Contains(n.notes, note) {
		n.notes = append(n.notes, note)
	}
}

// isDeaf tells whether the strategy does not want to be told. The manifest knows it
// of the module that has taken the snapshot. It must be called with h.mu held.
func (h *heard) isDeaf(s *session, latest *catalog.Manifest) bool {
	if listens, tried := h.listens[s.ear()]; tried {
		return !listens
	}
	return latest != nil && latest.Deaf && latest.Strategy.Module == s.generation.digest(s.strategy)
}

// catchUp tells the strategy the news, in an instance of its own: what that does
// wrong changes nothing. What could not be delivered stays news.
func (op *Operation) catchUp(ctx context.Context) {
	s := op.session
	if s.dry || len(s.news.notes) == 0 {
		return
	}
	told, deaf := op.deliver(ctx, s.news.notes)
	if deaf {
		s.news = news{deaf: true}
		return
	}
	op.host.heard.caughtUp(s, told)
}

// caughtUp remembers how many of the notes a strategy has heard.
func (h *heard) caughtUp(s *session, told int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	strand, n := s.strand(), &s.news
	known := h.slots(strand)
	for _, slot := range n.known {
		known[slot] = true
	}
	for _, note := range n.notes[:told] {
		if note.Event == abi.EventSubsumed {
			n.known = slices.DeleteFunc(n.known, func(slot uint64) bool { return slot == note.Slot })
			delete(known, note.Slot)
			h.gone[strandSlot{strand, note.Slot}] = true
		}
	}
	// Once this session commits, the catalog forgets what is still to be heard of the rest.
	h.owed[strand] = slices.DeleteFunc(slices.Clone(n.notes[told:]), func(note abi.Notification) bool { return note.Event == abi.EventSubsumed })
	h.met[strand] = true
}

// slots returns those that a strategy is known to have taken. It must be called with
// h.mu held.
func (h *heard) slots(s strand) map[uint64]bool {
	if h.known[s] == nil {
		h.known[s] = make(map[uint64]bool)
	}
	return h.known[s]
}

// patience bounds how long telling the news may hold up a snapshot, and how long a
// single one may take. The rest is told before the next snapshot.
const patience = 10 * time.Second

// deliver tells the notes to a fresh instance, in order. It returns how many it was
// told, and whether it does not want to be.
func (op *Operation) deliver(ctx context.Context, notes []abi.Notification) (told int, deaf bool) {
	h, s := op.host, op.session
	ctx, cancel := context.WithCancel(ctx)
	listener := h.newSession(ctx, op.generation, s.strategy, true)
	listener.committed, listener.lineage = s.committed, s.lineage
	defer func() {
		cancel()
		_ = listener.close() // it has opened nothing
	}()
	started, err := op.generation.launch(ctx, s.strategy)
	if err == nil {
		defer started.Close(context.WithoutCancel(ctx))
		listener.enter(ctx, abi.PhaseInit)
		err = started.Init(ctx, listener)
	}
	if err != nil { // the snapshot's own instance will tell
		h.log.Debug("cannot tell a strategy of its earlier snapshots", "strategy", s.strategy, "error", err)
		return 0, false
	}
	for start := time.Now(); told < len(notes) && time.Since(start) < patience; told++ {
		err := listener.tell(ctx, started, notes[told])
		if errors.Is(err, strategy.ErrGone) || ctx.Err() != nil {
			return told, false
		}
		h.heard.tried(s, err)
		if errors.Is(err, abi.ENOSYS) {
			return told, true
		}
	}
	return told, false
}

// tell passes on one notification. Its error says whether it was heard; whatever else
// the strategy does with it changes nothing.
func (s *session) tell(ctx context.Context, to instance, note abi.Notification) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.enter(ctx, abi.PhaseNotify)
	err := to.Notify(ctx, s, note)
	if err != nil && !errors.Is(err, abi.ENOSYS) && !errors.Is(err, strategy.ErrGone) {
		s.host.log.Warn("strategy failed on a notification", "strategy", s.strategy, "event", note.Event, "slot", note.Slot, "error", err)
	}
	return err
}

// tried remembers whether a strategy listens.
func (h *heard) tried(s *session, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.listens[s.ear()] = !errors.Is(err, abi.ENOSYS)
}

// outcome remembers that a strategy was told what became of its run, or that it
// could not hear it.
func (h *heard) outcome(s *session, note abi.Notification, err error) {
	gone := errors.Is(err, strategy.ErrGone)
	if !gone {
		h.tried(s, err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	strand := s.strand()
	h.ended[s.id] = true
	if gone {
		h.owe(strand, note)
	}
	if note.Event == abi.EventComplete {
		h.met[strand], h.slots(strand)[note.Slot] = true, true
	}
}
