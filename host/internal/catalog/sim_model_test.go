package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
)

// model knows everything that happens in a world, as nobody in it can, and tells
// when an invariant is broken.
type model struct {
	*world
	wrong []string

	names map[string][32]byte // every name that was ever taken, but for entries
	born  map[string]int      // the step at which an object was created
	books map[string]*book    // by database

	sessions map[*simSession]bool   // that run
	handed   map[string]*simSession // that were ever handed over, by id
	holds    map[*hold]bool         // that last
	pins     map[string]*simPin     // of readers, by name
	done     map[string]int         // what was reached, for the test to see that everything is

	barrier  int                      // at which the members take their next group snapshot
	plans    map[string]GroupPlan     // of groups that are not decided, by group
	outcomes map[string]*GroupOutcome // by group
}

// book is the entries of a database.
type book struct {
	log      map[uint64]*entry // that ever counted, by slot
	body     map[uint64]*Manifest
	last     uint64
	epoch    uint64
	removal  *entry          // the newest
	refused  map[string]bool // ids of those that were reported as not committed
	attempts map[string]bool // ids that were to be committed
	pinned   map[string]int  // operators' pins that were acknowledged, by snapshot
}

// simPin is a reader's pin that is there.
type simPin struct {
	process *process
	slot    uint64
	at      time.Time
	stale   bool // some sweep may have taken its reader for dead
}

// hold is a snapshot that a process reads.
type hold struct {
	process  *process
	manifest *Manifest
	expired  bool
}

func newModel(w *world) *model {
	m := &model{
		world: w, names: map[string][32]byte{}, born: map[string]int{}, books: map[string]*book{}, sessions: map[*simSession]bool{}, handed: map[string]*simSession{},
		holds: map[*hold]bool{}, pins: map[string]*simPin{}, done: map[string]int{}, plans: map[string]GroupPlan{}, outcomes: map[string]*GroupOutcome{},
	}
	for _, database := range simDatabases {
		m.books[database] = &book{
			log: map[uint64]*entry{}, body: map[uint64]*Manifest{},
			refused: map[string]bool{}, attempts: map[string]bool{}, pinned: map[string]int{},
		}
	}
	return m
}

func (m *model) violated(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	m.tell("VIOLATION: %s", text)
	m.wrong = append(m.wrong, text)
}

// bookOf splits the name of an entry.
func (m *model) bookOf(name string) (*book, uint64) {
	for database, b := range m.books {
		if rest, ok := strings.CutPrefix(name, entriesPrefix(database)); ok {
			slot, _ := parseSlot(rest)
			return b, slot
		}
	}
	return nil, 0
}

func (b *book) declared(slot uint64) bool {
	return b.removal != nil && b.removal.removal.Removed.has(slot)
}

func (b *book) final(slot uint64) bool {
	if b.removal == nil {
		return false
	}
	r, _ := b.removal.removal.Removed.find(slot)
	return r.Final
}

// created is told of every object that comes to be.
func (m *model) created(p *process, name string, body []byte) {
	m.born[name] = m.step
	if b, slot := m.bookOf(name); b != nil {
		m.entered(b, slot, name, body)
		return
	}
	if strings.HasPrefix(name, groupsPrefix) {
		m.grouped(name, body)
		return
	}
	sum := sha256.Sum256(body)
	if before, taken := m.names[name]; taken && before != sum {
		m.violated("name %s is used again for other bytes", name)
	}
	m.names[name] = sum
	if strings.Contains(name, "/pins/") {
		var pin Pin
		if err := openDocument(body, &pin, &pin.Digest); err == nil && pin.Kind == readerPin {
			m.pins[name] = &simPin{process: p, slot: pin.Slot, at: m.now()}
		}
	}
}

// entered is told of every entry.
func (m *model) entered(b *book, slot uint64, name string, body []byte) {
	e, err := decodeEntry(body)
	switch {
	case err != nil:
		m.violated("%s: %v", name, err)
		return
	case slot <= b.last && b.declared(slot):
		m.tell("  it is void")
		m.done["void entries"]++
		return
	case slot != b.last+1:
		m.violated("%s comes after slot %d, and nobody has declared it removed", name, b.last)
		return
	}
	b.last, b.log[slot] = slot, e
	e.slot = slot
	switch {
	case e.epoch != nil:
		b.epoch = slot
	case e.removal != nil:
		m.repeats(b, e.removal)
		m.spares(b, e.removal)
		b.removal = e
	default:
		m.committed(b, e)
	}
}

// repeats demands that a removal takes nothing back but what it may.
func (m *model) repeats(b *book, r *removal) {
	if b.removal == nil {
		return
	}
	for _, run := range b.removal.removal.Removed {
		for slot := run.First; slot <= run.Last; slot++ {
			next, removed := r.Removed.find(slot)
			if run.Final && !next.Final || !removed && b.body[slot] == nil {
				m.violated("the removal in slot %d takes back that of slot %d", r.Slot, slot)
			}
		}
	}
}

// committed checks a snapshot at the moment at which it becomes one.
func (m *model) committed(b *book, e *entry) {
	s := e.manifest
	b.body[e.slot] = s
	m.done["commits"]++
	if s.Epoch != b.epoch {
		m.violated("snapshot %s of epoch %d is committed in slot %d, after epoch %d", s.ID, s.Epoch, e.slot, b.epoch)
	}
	if b.refused[s.ID] || !b.attempts[s.ID] {
		m.violated("snapshot %s is committed, and its session was told otherwise", s.ID)
	}
	based := s.Base == ""
	for slot, other := range b.body {
		if slot < e.slot && other.ID == s.ID && !b.declared(slot) {
			m.violated("snapshot %s is committed twice, in slots %d and %d", s.ID, slot, e.slot)
		}
		based = based || slot < e.slot && other.ID == s.Base && m.counts(b, slot)
	}
	for _, other := range m.books {
		for slot, origin := range other.body {
			based = based || other != b && origin.ID == s.Base && m.counts(other, slot)
		}
	}
	if !based {
		m.violated("snapshot %s has a base that was never committed", s.ID)
	}
	m.complete(s)
}

// complete demands every object of a snapshot, with its bytes.
func (m *model) complete(s *Manifest) {
	for _, f := range s.Contents {
		data, err := readObject(context.Background(), m.disk, f.Object, 1<<20)
		if err != nil || string(data) != content(f.Identity) {
			m.violated("snapshot %s in slot %d lacks object %s: %q, %v", s.ID, s.Slot, f.Object, data, err)
		}
	}
}

// deleted is told of every name before it is deleted.
func (m *model) deleted(p *process, name string) {
	delete(m.pins, name)
	if _, err := m.disk.Stat(context.Background(), name); err != nil {
		return
	}
	if b, slot := m.bookOf(name); b != nil {
		switch {
		case !b.final(slot), slot == b.epoch, slot == b.removal.slot, slot == b.last:
			m.violated("%s deletes %s", p.name, name)
		}
		return
	}
	if strings.HasPrefix(name, groupsPrefix) {
		m.ungrouped(p, name)
	}
	if strings.HasPrefix(name, "objects/") {
		m.done["objects deleted"]++
		if who := m.needs(name); who != "" {
			m.violated("%s deletes %s, which %s needs", p.name, name, who)
		}
	}
}

// needs says who may still want an object.
func (m *model) needs(object string) string {
	for _, b := range m.books {
		for slot, s := range b.body {
			if (!b.final(slot) || b.pinned[s.ID] > 0) && names(s, object) {
				return fmt.Sprintf("snapshot %s in slot %d", s.ID, slot)
			}
		}
	}
	for h := range m.holds {
		if !h.expired && names(h.manifest, object) {
			return "reader " + h.process.name
		}
	}
	for s := range m.sessions {
		if s.using[object] && !s.process.dead && s.epoch >= m.books[s.database].epoch {
			return fmt.Sprintf("session %s of %s", s.id, s.process.name)
		}
	}
	return m.keepsAhead(object)
}

func names(s *Manifest, object string) bool {
	return slices.ContainsFunc(s.Contents, func(f File) bool { return f.Object == object })
}

// watch looks at the world between two calls.
func (m *model) watch() {
	for _, p := range m.pins {
		p.stale = p.stale || m.now().Sub(p.at) >= readerAge
	}
	for h := range m.holds {
		fresh := false
		for _, p := range m.pins {
			fresh = fresh || !p.stale && p.process == h.process && p.slot == h.manifest.Slot
		}
		h.expired = h.expired || !fresh
	}
	if m.step%64 == 0 {
		m.compare()
	}
}

// compare reads the repository as anybody can, and compares.
func (m *model) compare() {
	for database, b := range m.books {
		c := &Catalog{store: m.disk, database: database}
		seen := map[uint64]bool{}
		for s, err := range c.Snapshots(context.Background()) {
			seen[s.Slot] = true
			if err != nil || b.body[s.Slot] == nil || b.body[s.Slot].ID != s.ID || b.declared(s.Slot) || !m.counts(b, s.Slot) {
				m.violated("slot %d of %s is listed: %v", s.Slot, database, err)
			}
		}
		for slot, s := range b.body {
			if !b.declared(slot) && !seen[slot] && m.counts(b, slot) {
				m.violated("snapshot %s in slot %d is not listed", s.ID, slot)
			}
		}
		for _, err := range c.Check(context.Background(), Head{}) {
			if err != nil {
				m.violated("check of %s: %v", database, err)
			}
		}
	}
}

// clean demands what must hold once everybody is gone and prune has run: nothing
// is left that nothing refers to.
func (m *model) clean() {
	m.compare()
	referenced := map[string]bool{}
	for _, b := range m.books {
		for slot, s := range b.body {
			if b.pinned[s.ID] > 0 && b.declared(slot) {
				m.violated("snapshot %s in slot %d is pinned and not listed", s.ID, slot)
			}
			if b.declared(slot) {
				continue
			}
			if !m.counts(b, slot) {
				m.violated("snapshot %s in slot %d of group %s, which has failed without it, is left over", s.ID, slot, s.Group)
			}
			m.complete(s)
			for _, f := range s.Contents {
				referenced[f.Object] = true
			}
		}
	}
	for info, err := range m.disk.List(context.Background(), "", "") {
		b, slot := m.bookOf(info.Name)
		switch {
		case err != nil:
			m.violated("list: %v", err)
		case b != nil:
			if _, there := b.log[slot]; !there || b.declared(slot) {
				m.tell("left: %s", info.Name)
				m.done["entries left"]++
			}
		case strings.HasPrefix(info.Name, "objects/") && !referenced[info.Name]:
			m.violated("%s is left over", info.Name)
		case strings.HasPrefix(info.Name, groupsPrefix) && !strings.HasSuffix(info.Name, "/outcome"):
			m.violated("%s is left over", info.Name)
		case strings.Contains(info.Name, "/notes/"), strings.Contains(info.Name, "/intents/"), strings.Contains(info.Name, "/clock/"):
			m.violated("%s is left over", info.Name)
		}
	}
}

// acquired is told that a process believes to be the writer.
func (m *model) acquired(p *process, w *Writer, err error) {
	if p.dead || err != nil {
		return
	}
	e := m.books[w.catalog.database].log[w.Epoch()]
	if e == nil || e.epoch == nil || e.epoch.Writer != w.epoch.Writer {
		m.violated("%s was told that it has epoch %d", p.name, w.Epoch())
	}
}

// reported is told what a session was told about its commit.
func (m *model) reported(p *process, s *Manifest, err error) {
	b := m.books[s.Database]
	switch {
	case p.dead:
	case err == nil && (b.body[s.Slot] == nil || b.body[s.Slot].ID != s.ID):
		m.violated("%s was told that snapshot %s is committed", p.name, s.ID)
	case err != nil && !errors.Is(err, blob.ErrUnknownOutcome):
		b.refused[s.ID] = true
	}
}

// file returns the entry of a manifest for a file of a simulated database.
func file(identity, object string, reused bool) File {
	body := content(identity)
	sum := sha256.Sum256([]byte(body))
	return File{
		Name: identity + ".sst", Kind: abi.KindTable, Scope: abi.ScopeShared, Reused: reused, Object: object,
		Size: int64(len(body)), Digest: fmt.Sprintf("%x", sum), Identity: identity,
	}
}

// content is what a file holds; its identity says it all.
func content(identity string) string { return string(bytes.Repeat([]byte(identity+" "), 4)) }
