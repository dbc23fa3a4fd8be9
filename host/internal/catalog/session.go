package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Session is one run of a strategy as the repository sees it. From Begin to Close
// nothing that it stores, adopts, or may choose as base is pruned. Its methods are
// safe for concurrent use.
type Session struct {
	writer  *Writer
	intent  Intent
	adopted []Intent // those that can be read
	folder  string   // of a savepoint; "" for any other session

	mu     sync.Mutex
	minted int
	notes  notebook
	left   map[string]Stored // by key, of the adopted sessions, not yet claimed
}

// Begin announces a session, named by a fresh UUID, before it stores its first
// object and before it looks for a base. It adopts what sessions have left that
// came to no end. It fails with [ErrFenced] when the writer is stale, so that
// nothing is uploaded in vain.
func (w *Writer) Begin(ctx context.Context, id string) (*Session, error) {
	return w.BeginBy(ctx, id, "")
}

// BeginBy is Begin for a session that runs the strategy of the given name. The
// origins, at most [MaxOrigins], are what [Catalog.Origin] may read meanwhile.
func (w *Writer) BeginBy(ctx context.Context, id, strategy string, origins ...Origin) (*Session, error) {
	return w.beginIn(ctx, id, strategy, "", origins)
}

func (w *Writer) beginIn(ctx context.Context, id, strategy, group string, origins []Origin) (*Session, error) {
	s, err := w.begin(ctx, id, strategy, group, origins)
	if err != nil {
		return nil, fmt.Errorf("announce session: %w", err)
	}
	return s, nil
}

func (w *Writer) begin(ctx context.Context, id, strategy, group string, origins []Origin) (*Session, error) {
	if !isUUID(id) {
		return nil, fmt.Errorf("%q is no UUID", id)
	}
	if len(origins) > MaxOrigins {
		return nil, fmt.Errorf("%d origins, at most %d", len(origins), MaxOrigins)
	}
	slot, err := w.look(ctx)
	if err != nil {
		return nil, err
	}
	adopted, err := w.enter(ctx, id)
	if err != nil {
		return nil, err
	}
	s := &Session{writer: w, adopted: adopted, intent: Intent{
		Version: FormatVersion, Session: id, Epoch: w.epoch.Slot, Slot: slot, Adopts: adoptable(adopted),
		Created: time.Now().UTC(), Owner: w.epoch.Owner, By: strategy, Group: group, Origins: origins,
	}}
	s.notes = notebook{store: w.catalog.store, prefix: notesPrefix(w.catalog.database) + id + "-", flushed: time.Now()}
	data, err := sealDocument(&s.intent, &s.intent.Digest)
	if err == nil {
		err = createOwn(ctx, w.catalog.store, w.catalog.intentName(id), data)
	}
	if err == nil {
		err = s.adopt(ctx)
	}
	if err != nil {
		w.leave(id)
	}
	return s, err
}

// look reads the entries that were added, and returns the last slot.
func (w *Writer) look(ctx context.Context) (slot uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.tail.advance(ctx, claim{refuse: w.refuse})
	return w.tail.slot, err
}

// enter marks a session of this writer as running, and lists those that can be
// adopted: all that are not running. A session of an older epoch is over, as it can
// never commit. One of a newer epoch runs, and says that this writer is stale.
func (w *Writer) enter(ctx context.Context, id string) (adopted []Intent, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running[id] {
		return nil, fmt.Errorf("session %s: %w", id, fs.ErrExist)
	}
	for a, err := range w.catalog.intents(ctx) {
		switch {
		case errors.Is(err, ErrDamaged): // nothing can be had of it
		case err != nil:
			return nil, err
		case a.Epoch > w.epoch.Slot:
			return nil, &FencedError{Epoch: w.epoch.Slot, Owner: w.epoch.Owner, ByEpoch: a.Epoch, By: a.Owner}
		case w.running[a.Session] || a.Session == id:
		default:
			waits, err := w.catalog.waits(ctx, a.Intent)
			if err != nil {
				return nil, err
			}
			if !waits {
				adopted = append(adopted, a.Intent)
			}
		}
	}
	w.running[id] = true
	return adopted, nil
}

// adoptable lists sessions and what they have adopted themselves, as their notes
// speak of that too.
func adoptable(list []Intent) (adopts []string) {
	for _, a := range list {
		adopts = append(append(adopts, a.Session), a.Adopts...)
	}
	slices.Sort(adopts) // UUIDs of version 7 sort by time
	adopts = slices.Compact(adopts)
	return adopts[max(0, len(adopts)-maxAdopts):]
}

// Adopted returns the intents of the sessions that had come to no end when this one
// began: each was committed, or nothing will come of it.
func (s *Session) Adopted() []Intent { return s.adopted }

func (w *Writer) leave(id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.running, id)
}

// adopt reads what the adopted sessions have noted. A session whose intent is gone
// by now is left alone: prune takes the intent away before it looks for adopters,
// so an intent that is still there means that prune will see ours. That goes for
// what this session had adopted as well, which its own intent has protected.
func (s *Session) adopt(ctx context.Context) error {
	s.left = make(map[string]Stored)
	c := s.writer.catalog
	for _, session := range s.intent.Adopts {
		_, err := c.store.Stat(ctx, c.intentName(session))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for n, err := range c.notes(ctx, session) {
			switch {
			case errors.Is(err, ErrDamaged): // then it is stored again
			case err != nil:
				return err
			default:
				s.inherit(n.Stored)
			}
		}
	}
	return nil
}

// inherit enters what was left, as far as the intent protects it. An object that is
// whole is worth more than one that had only begun.
func (s *Session) inherit(list []Stored) {
	for _, left := range list {
		if !slices.Contains(s.intent.Adopts, sessionOf(left.Object)) {
			continue
		}
		if before, ok := s.left[left.Key]; !ok || !before.Whole() {
			s.left[left.Key] = left
		}
	}
}

// Claim returns what an earlier session left under a key, once: two files must not
// be given one object. A whole object can be taken as it is, once it was seen to
// exist. Of one that had begun, creating the same name again with the same bytes
// goes on where it stopped, if the store can.
func (s *Session) Claim(key string) (Stored, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.folder != "" {
		return Stored{}, false
	}
	left, ok := s.left[key]
	delete(s.left, key)
	return left, ok && key != ""
}

// Mint returns a name that no object ever had.
func (s *Session) Mint() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.minted++
	return s.folder + ObjectName(s.intent.Session, s.minted)
}

// Note writes down what is stored, or begun, for a session that may have to go on
// from here. Notes are written some at a time; one of an object that has only
// begun is written at once.
func (s *Session) Note(ctx context.Context, stored ...Stored) error {
	if s.folder != "" {
		return nil
	}
	return s.notes.add(ctx, stored...)
}

// Commit publishes the session's snapshot; see [Writer.Commit].
func (s *Session) Commit(ctx context.Context, m *Manifest) error {
	if s.folder != "" {
		if err := s.complete(ctx, m); err != nil {
			return fmt.Errorf("complete savepoint %s: %w", m.ID, err)
		}
	}
	return s.writer.commit(ctx, m)
}

// Close ends the session, whose outcome was err. After a commit the intents and
// notes of the session, and of those that it adopted, are withdrawn. After a
// failure they stay, as long as there is anything to go on from. While the outcome
// of a commit is unknown, and once the writer is fenced, nothing is removed.
func (s *Session) Close(ctx context.Context, err error) error {
	defer s.writer.leave(s.intent.Session)
	switch {
	case errors.Is(err, blob.ErrUnknownOutcome), errors.Is(err, ErrFenced):
		return nil
	case err == nil && s.folder == "":
		return s.withdraw(ctx, append(s.intent.Adopts, s.intent.Session)...)
	case s.notes.empty(): // as those of a savepoint, which leaves what it has adopted to the next
		return s.withdraw(ctx, s.intent.Session)
	}
	return s.notes.flush(ctx)
}

func (s *Session) withdraw(ctx context.Context, sessions ...string) error {
	if err := s.writer.catalog.withdraw(ctx, sessions...); err != nil {
		return fmt.Errorf("withdraw session: %w", err)
	}
	return nil
}

// withdraw removes the notes and the intents of sessions, the intents last, so
// that no notes are left without one.
func (c *Catalog) withdraw(ctx context.Context, sessions ...string) error {
	var notes, intents []string
	for _, session := range sessions {
		for info, err := range c.store.List(ctx, notesPrefix(c.database)+session+"-", "") {
			if err != nil {
				return err
			}
			notes = append(notes, info.Name)
		}
		intents = append(intents, c.intentName(session))
	}
	if len(notes) > 0 {
		if err := c.store.Delete(ctx, notes...); err != nil {
			return err
		}
	}
	return c.store.Delete(ctx, intents...)
}
