package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Swept is what a sweep deleted, or would delete, and what it had to leave.
type Swept struct {
	Objects      int       // deleted
	Bytes        int64     // that they took
	ObjectsLater int       // that nothing refers to either, but that have to stay for now
	BytesLater   int64     // that they take
	FreeAt       time.Time // when the last of them may go, by the store's clock; zero when none waits for its age
	Held         []string  // who keeps objects beyond that, in words
	Damaged      []error   // documents that cannot be read; while there are any, no object is deleted
}

type sweepOptions struct {
	now      time.Time // by the store's clock
	grace    time.Duration
	dry      bool
	declared slots    // of a dry run: what the prune would have declared removed in its catalog
	strays   []string // documents of groups that mean nothing any more
}

// sweeper deletes objects that nothing refers to. It looks at all databases of the
// repository.
//
// The order of its steps is what makes it safe beside writers and readers, who know
// nothing of it; DESIGN.md says why. It lists objects, then databases. It reads what
// is removed for good, and takes dead intents away. Then it reads intents, then pins,
// and the entries last.
type sweeper struct {
	store   blob.Store
	catalog *Catalog // whose database is pruned
	sweepOptions

	objects  map[string]blob.Info // all data objects, and what else belongs to savepoints
	removed  map[*Catalog]slots   // what is removed, as of before the intents
	fate     map[string]fate      // of those that anybody refers to
	sessions map[string]bool      // whose objects stay
	origins  map[Origin]bool      // that a session may use, without their ids
	watch    map[*Catalog]watch   // who may want what is removed
	dead     map[string]bool      // sessions whose intents go
	entries  []string             // removed entries, to be deleted after the objects; strays with them
	result   Swept
}

// fate is what a reference means for an object.
type fate uint8

const (
	unreferenced fate = iota
	waiting           // referred to by what is removed, but not for good, or is wanted by somebody
	referenced        // by a snapshot that is there
)

func (c *Catalog) sweep(ctx context.Context, o sweepOptions) (Swept, error) {
	s := &sweeper{
		store: c.store, catalog: c, sweepOptions: o,
		objects: make(map[string]blob.Info), removed: make(map[*Catalog]slots), fate: make(map[string]fate),
		sessions: make(map[string]bool), dead: make(map[string]bool),
		origins: make(map[Origin]bool), watch: make(map[*Catalog]watch),
	}
	err := s.run(ctx)
	return s.result, err
}

func (s *sweeper) run(ctx context.Context) error {
	if err := s.list(ctx); err != nil {
		return err
	}
	catalogs, err := s.catalog.siblings(ctx)
	if err != nil {
		return err
	}
	for _, c := range catalogs {
		if err := s.begin(ctx, c); err != nil {
			return err
		}
	}
	if catalogs, err = s.catalog.siblings(ctx, catalogs...); err != nil { // also one that is new: its sessions may have origins
		return err
	}
	for _, look := range []func(context.Context, *Catalog) error{s.ask, s.survey} {
		for _, c := range catalogs {
			if err := look(ctx, c); err != nil {
				return err
			}
		}
	}
	return s.finish(ctx, s.garbage())
}

// list lists the objects, and everything else that belongs to a savepoint.
func (s *sweeper) list(ctx context.Context) error {
	for _, prefix := range []string{"objects/", savepointsPrefix} {
		for info, err := range s.store.List(ctx, prefix, "") {
			if err != nil {
				return fmt.Errorf("list objects: %w", err)
			}
			if prefix != savepointsPrefix || savepointOf(info.Name) != "" { // else it is not ours
				s.objects[info.Name] = info
			}
		}
	}
	return nil
}

// begin reads what is removed from a database, and buries its dead.
func (s *sweeper) begin(ctx context.Context, c *Catalog) error {
	v, err := c.survey(ctx)
	if err != nil {
		return err
	}
	s.removed[c] = v.declared
	if c == s.catalog && s.dry {
		s.removed[c] = s.declared
	}
	return s.bury(ctx, c, v.epoch())
}

// bury takes away the intents of sessions that can never commit, because their
// epoch was replaced, once they are old enough that nobody may want to go on from
// them. From then on nobody can adopt their objects.
func (s *sweeper) bury(ctx context.Context, c *Catalog, epoch uint64) error {
	var names, dead []string
	for a, err := range c.intents(ctx) {
		switch {
		case errors.Is(err, ErrDamaged): // see spare
		case err != nil:
			return err
		case a.Epoch < epoch && s.old(a.at):
			names, dead = append(names, a.name), append(dead, a.Session)
			s.dead[a.Session] = true
		}
	}
	if len(dead) == 0 || s.dry {
		return nil
	}
	// Before their notes: a note without an intent is adopted by nobody.
	if err := s.store.Delete(ctx, names...); err != nil {
		return fmt.Errorf("delete dead intents: %w", err)
	}
	return c.withdraw(ctx, dead...)
}

func (s *sweeper) old(at time.Time) bool { return isOld(at, s.grace, s.now) }

// watch is who may want what is removed from a database.
type watch struct {
	oldest uint64          // of the slots that its sessions knew when they were announced
	held   map[uint64]bool // slots that somebody reads
}

// ask finds out what sessions and readers may want, in all databases before any
// entry is read: a session of one may have committed, and be gone, when the
// entries of another are read that it refers to.
func (s *sweeper) ask(ctx context.Context, c *Catalog) error {
	oldest, err := s.spare(ctx, c) // before the pins
	if err != nil {
		return err
	}
	held, err := s.readers(ctx, c)
	if err != nil {
		return err
	}
	s.watch[c] = watch{oldest, held}
	return s.ticks(ctx, c)
}

// wanted says whether a session or a reader may want what is removed.
func (s *sweeper) wanted(c *Catalog, slot, removal uint64) bool {
	w := s.watch[c]
	return w.oldest < removal || w.held[slot] || s.origins[Origin{Database: c.database, Slot: slot}]
}

// survey finds out what one database refers to.
func (s *sweeper) survey(ctx context.Context, c *Catalog) error {
	places, err := c.places(ctx)
	if err != nil {
		return err
	}
	times := make(map[uint64]time.Time)
	for _, p := range places {
		times[p.slot] = p.at
	}
	read := c.readWhole
	if s.dry {
		read = newReferences(c).read
	}
	for r := range c.readAll(ctx, places, read) {
		removal, removed := s.removed[c].find(r.slot)
		switch {
		case !removed:
			s.refer(r, referenced)
		case !removal.Final:
			s.wait(cmp.Or(times[removal.By], s.now)) // not there yet: this is a dry run
			s.refer(r, waiting)
		case s.wanted(c, r.slot, removal.By): // a session may have chosen it as base before
			s.refer(r, waiting)
		default:
			s.refer(r, unreferenced)
		}
	}
	c.known.settle(places)
	return ctx.Err()
}

// ticks finds what prunes that were killed have left of reading the clock.
func (s *sweeper) ticks(ctx context.Context, c *Catalog) error {
	for info, err := range s.store.List(ctx, clockPrefix(c.database), "") {
		if err != nil {
			return fmt.Errorf("list clock: %w", err)
		}
		if s.old(info.Modified.Add(tickAge)) {
			s.strays = append(s.strays, info.Name)
		}
	}
	return nil
}

// tickAge is how long a prune may take to read the clock.
const tickAge = time.Hour

// spare keeps the objects of announced sessions, and of those that they adopt. It
// returns the oldest of the slots that they knew when they were announced.
func (s *sweeper) spare(ctx context.Context, c *Catalog) (oldest uint64, err error) {
	notes, err := s.aged(ctx, notesPrefix(c.database)) // before the intents, which come before their notes
	if err != nil {
		return 0, err
	}
	announced := make(map[string]bool)
	oldest = ^uint64(0)
	for a, err := range c.intents(ctx) {
		switch {
		case errors.Is(err, ErrDamaged): // it may have named anything
			s.result.Damaged = append(s.result.Damaged, err)
			continue
		case err != nil:
			return 0, err
		case s.dead[a.Session]:
			continue
		}
		announced[a.Session] = true
		oldest = min(oldest, a.Slot)
		s.keep(c, a)
	}
	for _, name := range notes {
		session := name[len(notesPrefix(c.database)):]
		if len(session) > 36 && !announced[session[:36]] && len(s.result.Damaged) == 0 {
			s.strays = append(s.strays, name)
		}
	}
	return oldest, nil
}

// keep spares what an intent protects.
func (s *sweeper) keep(c *Catalog, a announced) {
	for _, session := range append(a.Adopts, a.Session) {
		s.sessions[session] = true
	}
	for _, o := range a.Origins {
		s.origins[Origin{Database: o.Database, Slot: o.Slot}] = true
	}
	s.result.Held = append(s.result.Held, fmt.Sprintf("session %s of %s, announced by %s at %s",
		a.Session, c.database, a.Owner, a.at.UTC().Format(time.DateTime)))
}

// aged lists the objects under a prefix that are older than the grace.
func (s *sweeper) aged(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	for info, err := range s.store.List(ctx, prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list %s: %w", prefix, err)
		}
		if s.old(info.Modified) {
			names = append(names, info.Name)
		}
	}
	return names, nil
}

// readers lists the slots of snapshots that somebody is reading. Pins of readers
// that died are left for deletion.
func (s *sweeper) readers(ctx context.Context, c *Catalog) (map[uint64]bool, error) {
	held := make(map[uint64]bool)
	for p, err := range c.readerPins(ctx) {
		switch {
		case err != nil:
			return nil, err
		case isOld(p.at, readerAge, s.now):
			s.strays = append(s.strays, p.name)
		default:
			held[p.slot] = true
		}
	}
	return held, nil
}

// wait notes that something has to wait for the grace after a time.
func (s *sweeper) wait(at time.Time) {
	if free := at.Add(s.grace); free.After(s.result.FreeAt) {
		s.result.FreeAt = free
	}
}

// refer enters what an entry refers to.
func (s *sweeper) refer(r reading, f fate) {
	switch {
	case f == unreferenced:
		s.entries = append(s.entries, r.name)
	case r.err != nil:
		s.result.Damaged = append(s.result.Damaged, r.err)
	case r.err == nil && r.entry.manifest != nil:
		if folder := SavepointFolder(r.entry.manifest.ID); r.entry.manifest.Savepoint {
			s.fate[folder] = max(s.fate[folder], f)
		}
		for i := range r.entry.manifest.Contents {
			object := r.entry.manifest.Contents[i].Object
			s.fate[object] = max(s.fate[object], f)
		}
	}
}

// garbage lists the objects to be deleted, and counts what has to wait.
func (s *sweeper) garbage() []string {
	var names []string
	for name, info := range s.objects {
		fate, session := s.fate[name], sessionOf(name)
		if session == "" && savepointOf(name) != "" { // a document of a savepoint shares its fate
			session = savepointOf(name)
			fate = s.fate[SavepointFolder(session)]
		}
		switch {
		case fate == referenced:
			continue
		case fate == unreferenced && len(s.result.Damaged) == 0 && s.old(info.Modified) && !s.sessions[session]:
			names = append(names, name)
			s.result.Objects++
			s.result.Bytes += info.Size
			continue
		case fate == unreferenced && !s.old(info.Modified):
			s.wait(info.Modified)
		}
		s.result.ObjectsLater++
		s.result.BytesLater += info.Size
	}
	slices.Sort(names)
	return names
}

// deleteEach is how many names are deleted at a time.
const deleteEach = 1000

// finish deletes: objects before the entries that name them, so that whoever goes
// on after a crash still knows who refers to what.
func (s *sweeper) finish(ctx context.Context, garbage []string) error {
	if s.dry {
		return nil
	}
	if len(s.result.Damaged) > 0 {
		s.entries = nil
	}
	for batch := range slices.Chunk(slices.Concat(garbage, s.strays, s.entries), deleteEach) {
		if err := s.store.Delete(ctx, batch...); err != nil {
			return fmt.Errorf("sweep: %w", err)
		}
	}
	if _, err := s.store.Tidy(ctx, s.now.Add(-max(s.grace, tidyAge))); err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}

// tidyAge is how old an unfinished upload gets: an upload that was killed is to be
// resumed, perhaps after a weekend.
const tidyAge = 7 * 24 * time.Hour
