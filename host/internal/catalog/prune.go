package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/google/uuid"
)

// PruneOptions says what prune may remove.
type PruneOptions struct {
	Policy Policy
	Remove []string      // ids, or names of damaged entries, to remove whatever the policy says, unless they are pinned
	Sweep  bool          // sweep leftovers although the policy is empty
	Grace  time.Duration // age of what is removed or left over before it is deleted, by the store's clock
	DryRun bool          // change nothing, only tell
	Owner  Owner
}

// Pruned is what prune did, or would do.
type Pruned struct {
	Verdicts  []Verdict // on each snapshot, oldest first
	Undecided []error   // groups that nobody can decide, because a document is damaged; what is theirs stays
	Swept
}

// Prune removes the snapshots that the policy does not keep, and sweeps what
// nothing refers to and nobody may still want. It may run at any time, anywhere,
// several times at once, beside writers and readers. It never removes the newest
// snapshot unless told so by name, and with an empty policy, no names and no Sweep
// it removes nothing at all. What it could not finish, the next one does.
//
// First a removal entry declares snapshots removed: that takes one step, and from
// then on they are in no list. Their objects go once the grace is over, in this
// run if it is zero and otherwise in a later one.
func (c *Catalog) Prune(ctx context.Context, o PruneOptions) (*Pruned, error) {
	p := &pruning{catalog: c, options: o, result: &Pruned{}}
	err := p.run(ctx)
	if err != nil {
		return p.result, fmt.Errorf("prune: %w", err)
	}
	return p.result, nil
}

type pruning struct {
	catalog *Catalog
	options PruneOptions
	now     time.Time // by the store's clock
	result  *Pruned

	published uint64 // slot of the removal entry that it has published, or 0

	// What was there when it last looked.
	tail       tail // as of before the survey, so that nothing lies between them
	survey     *survey
	declared   slots                // as the newest removal states it
	times      map[uint64]time.Time // of entries, by the store's clock
	pinned     map[uint64]bool      // slots
	reasons    map[string]string    // of the pins, by id of the snapshot
	unreadable []uint64             // slots of damaged entries that are to go
	unsure     bool                 // whether a damaged entry may be the newest removal
}

func (p *pruning) run(ctx context.Context) (err error) {
	if p.now, err = p.catalog.clock(ctx, p.options.DryRun); err != nil {
		return err
	}
	spent, err := p.concludeGroups(ctx)
	if err != nil {
		return err
	}
	if err := p.agree(ctx, p.remove); err != nil {
		return err
	}
	if p.idle() {
		return nil
	}
	switch {
	case p.options.DryRun:
		err = p.settle(ctx)
	case p.published > 0:
		err = p.agree(ctx, p.settle)
	}
	if err != nil {
		return err
	}
	p.result.Swept, err = p.catalog.sweep(ctx, sweepOptions{
		now: p.now, grace: p.options.Grace, dry: p.options.DryRun, declared: p.declared, strays: spent,
	})
	return err
}

func (p *pruning) idle() bool {
	return p.options.Policy.Empty() && len(p.options.Remove) == 0 && !p.options.Sweep
}

// errOvertaken reports that another prune has published a removal meanwhile.
var errOvertaken = errors.New("another prune is at work")

// agree takes a step in view of all removals before: when another prune publishes
// one meanwhile, it looks again. Two that judge side by side might each remove what
// the other kept.
func (p *pruning) agree(ctx context.Context, step func(context.Context) error) (err error) {
	for range tries {
		if err = p.look(ctx); err == nil {
			err = step(ctx)
		}
		if !errors.Is(err, errOvertaken) {
			break
		}
	}
	return err
}

// heads reads the head of every entry. What is remembered will do for a plan only: a
// snapshot that has rotted since must not be kept in the place of one that is sound.
func (p *pruning) heads(ctx context.Context) (*survey, error) {
	if p.options.DryRun {
		return p.catalog.survey(ctx)
	}
	return p.catalog.surveyBy(ctx, p.catalog.readHead)
}

// look reads the entries, and then the pins.
func (p *pruning) look(ctx context.Context) (err error) {
	p.tail = tail{catalog: p.catalog}
	if err := p.tail.seek(ctx); err != nil {
		return err
	}
	if p.survey, err = p.heads(ctx); err != nil {
		return err
	}
	p.declared, p.times = p.survey.declared, make(map[uint64]time.Time)
	p.unsure = false
	for _, r := range p.survey.heads {
		p.times[r.slot] = r.at
		switch {
		case r.err == nil:
			p.unsure = p.unsure && r.entry.removal == nil
		case !errors.Is(r.err, ErrDamaged):
			return r.err
		case r.entry == nil && !p.declared.has(r.slot) && !slices.Contains(p.options.Remove, r.name):
			p.unsure = true
		}
	}
	p.pinned, p.reasons = make(map[uint64]bool), make(map[string]string)
	for pin, err := range p.catalog.Pins(ctx) {
		if err != nil { // it might be the pin of what is about to go
			return err
		}
		p.pinned[pin.Slot] = true
		p.reasons[pin.Snapshot] = cmp.Or(pin.Reason, "by "+pin.Owner.String())
	}
	return nil
}

// remove judges the snapshots and declares removed what has to go.
func (p *pruning) remove(ctx context.Context) error {
	if err := p.judge(); err != nil || p.idle() {
		return err
	}
	return p.declare(ctx, p.condemned())
}

// settle takes back the removal of what was pinned before it was declared, which
// shows only now, and makes the others final whose grace is over.
func (p *pruning) settle(ctx context.Context) error {
	if at := p.times[p.published]; at.After(p.now) {
		p.now = at
	}
	return p.declare(ctx, nil)
}

// clock tells the store's time, by the date that it gives to a new object.
func (c *Catalog) clock(ctx context.Context, dry bool) (time.Time, error) {
	if dry {
		return time.Now(), nil
	}
	name := clockPrefix(c.database) + uuid.NewString()
	if err := createOwn(ctx, c.store, name, []byte(name)); err != nil {
		return time.Time{}, fmt.Errorf("read the store's clock: %w", err)
	}
	info, err := c.store.Stat(ctx, name)
	if err != nil {
		return time.Time{}, fmt.Errorf("read the store's clock: %w", err)
	}
	return info.Modified, c.store.Delete(ctx, name)
}

// judge has the policy judge every snapshot, and the names that were given.
func (p *pruning) judge() error {
	var list []Summary
	for _, r := range p.survey.heads {
		removal, removed := p.declared.find(r.slot)
		stays := !removed || !removal.Final && p.pinned[r.slot]
		if stays && r.err == nil && r.entry.manifest != nil && r.entry.standing == counts {
			list = append(list, r.entry.manifest.Summary)
		}
	}
	p.result.Verdicts = p.verdicts(list)
	return p.removeByName()
}

// removeByName turns the verdict on snapshots that are to go by name.
func (p *pruning) removeByName() error {
	p.unreadable = nil
	for _, id := range p.options.Remove {
		i := slices.IndexFunc(p.result.Verdicts, func(v Verdict) bool { return v.Snapshot.ID == id })
		reason, isPinned := p.reasons[id]
		switch {
		case isPinned:
			return fmt.Errorf("snapshot %s: %w: %s", id, ErrPinned, reason)
		case i >= 0:
			p.result.Verdicts[i].Keep, p.result.Verdicts[i].Reasons = false, []string{"removed by name"}
		case !p.removeUnreadable(id):
			return fmt.Errorf("no snapshot %s: %w", id, fs.ErrNotExist)
		}
	}
	return nil
}

// removeUnreadable condemns an entry by its name, as errors show it, if it is
// damaged: it says of itself no longer what it is, and as long as it is there,
// nobody knows what it refers to.
func (p *pruning) removeUnreadable(name string) bool {
	for r := range p.survey.present() {
		if r.name == name && errors.Is(r.err, ErrDamaged) {
			p.unreadable = append(p.unreadable, r.slot)
			return true
		}
	}
	return false
}

// ErrPinned reports a snapshot that is to be removed by name and is pinned.
var ErrPinned = errors.New("pinned")

// condemned lists the slots to be declared removed: the snapshots that go, those
// that never came to count, and with them the epochs and removals that later ones
// have replaced.
func (p *pruning) condemned() []uint64 {
	list := append(p.unreadable, p.dropped()...)
	for _, v := range p.result.Verdicts {
		if !v.Keep {
			list = append(list, v.Snapshot.Slot)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return append(list, p.survey.replaced()...)
}

// replaced lists the slots of epochs and removals of which there are newer ones.
func (s *survey) replaced() []uint64 {
	var list []uint64
	var epoch, removal uint64 // the newest seen
	for _, r := range s.heads {
		var before *uint64
		switch {
		case r.entry == nil || s.declared.has(r.slot):
			continue
		case r.entry.epoch != nil:
			before = &epoch
		case r.entry.removal != nil:
			before = &removal
		default:
			continue
		}
		if *before > 0 {
			list = append(list, *before)
		}
		*before = r.slot
	}
	return list
}

// declare publishes a removal entry, if there is anything new to say. It says
// nothing while there is damage that may be a removal, which it would have to
// repeat.
func (p *pruning) declare(ctx context.Context, condemned []uint64) error {
	settled := p.declared.settled(p.pinned, p.ripe)
	if p.unsure || len(condemned) == 0 && slices.Equal(settled, p.declared) {
		return nil
	}
	if p.options.DryRun {
		next := p.tail.slot + 1
		p.declared, p.times[next] = settled.add(next, condemned...), p.now
		return nil
	}
	there := make(map[uint64]bool)
	for _, r := range p.survey.heads {
		there[r.slot] = true
	}
	doc := &removal{
		Version: FormatVersion, ID: uuid.NewString(), Database: p.catalog.database,
		Created: time.Now().UTC(), Owner: p.options.Owner,
	}
	encode := func(slot uint64, parent string) ([]byte, error) {
		doc.Slot, doc.Parent = slot, parent
		doc.Removed = settled.spent(there, slot).add(slot, condemned...)
		head, err := encodeHead(doc)
		return sealEntry(typeRemoval, head, nil), err
	}
	if err := p.tail.publish(ctx, claim{doc.ID, encode, overtaken}); err != nil {
		return err
	}
	p.published, p.declared = doc.Slot, doc.Removed
	return nil
}

func overtaken(e *entry) error {
	if e.removal != nil {
		return errOvertaken
	}
	return nil
}

// ripe says whether the grace is over since a removal. One that is not there any
// more was itself removed, long ago.
func (p *pruning) ripe(removal uint64) bool {
	at, ok := p.times[removal]
	return !ok || isOld(at, p.options.Grace, p.now)
}

func isOld(at time.Time, grace time.Duration, now time.Time) bool { return !at.Add(grace).After(now) }
