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
	Verdicts []Verdict // on each snapshot, oldest first
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
	tail    tail      // as of before the survey, so that nothing lies between them
	survey  *survey
	result  *Pruned

	unreadable []uint64 // slots of damaged entries that are to go
}

func (p *pruning) run(ctx context.Context) (err error) {
	if p.now, err = p.catalog.clock(ctx, p.options.DryRun); err != nil {
		return err
	}
	p.tail = tail{catalog: p.catalog}
	if err := p.tail.seek(ctx); err != nil {
		return err
	}
	if p.survey, err = p.catalog.survey(ctx); err != nil {
		return err
	}
	if err := p.judge(ctx); err != nil {
		return err
	}
	if p.options.Policy.Empty() && len(p.options.Remove) == 0 && !p.options.Sweep {
		return nil
	}
	condemned := p.condemned()
	if len(condemned) > 0 && !p.options.DryRun {
		if err := p.declare(ctx, condemned); err != nil {
			return err
		}
	}
	p.result.Swept, err = p.catalog.sweep(ctx, sweepOptions{
		now: p.now, grace: p.options.Grace, dry: p.options.DryRun, condemned: condemned,
	})
	return err
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
func (p *pruning) judge(ctx context.Context) error {
	var list []Summary
	for r := range p.survey.present() {
		if r.entry != nil && r.entry.manifest != nil {
			list = append(list, r.entry.manifest.Summary)
		}
	}
	pinned := make(map[string]string)
	for pin, err := range p.catalog.Pins(ctx) {
		if err != nil { // it might be the pin of what is about to go
			return err
		}
		pinned[pin.Snapshot] = cmp.Or(pin.Reason, "by "+pin.Owner.String())
	}
	p.result.Verdicts = p.options.Policy.Apply(list, pinned, p.now)
	return p.removeByName(pinned)
}

// removeByName turns the verdict on snapshots that are to go by name.
func (p *pruning) removeByName(pinned map[string]string) error {
	for _, id := range p.options.Remove {
		i := slices.IndexFunc(p.result.Verdicts, func(v Verdict) bool { return v.Snapshot.ID == id })
		reason, isPinned := pinned[id]
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

// condemned lists the slots to be declared removed: the snapshots that go, and
// with them the epochs and removals that later ones have replaced.
func (p *pruning) condemned() []uint64 {
	list := p.unreadable
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

// declare publishes a removal entry. Another prune may publish one meanwhile; what
// that declares is repeated.
func (p *pruning) declare(ctx context.Context, condemned []uint64) error {
	there := make(map[uint64]bool)
	for _, r := range p.survey.heads {
		there[r.slot] = true
	}
	doc := &removal{
		Version: FormatVersion, ID: uuid.NewString(), Database: p.catalog.database,
		Created: time.Now().UTC(), Owner: p.options.Owner,
	}
	declared := p.survey.declared.without(p.survey.pinned)
	learn := func(e *entry) error {
		if e.removal != nil {
			declared = e.removal.Removed
		}
		return nil
	}
	encode := func(slot uint64, parent string) ([]byte, error) {
		doc.Slot, doc.Parent = slot, parent
		doc.Removed = declared.spent(there, slot).add(slot, condemned...)
		head, err := encodeHead(doc)
		return sealEntry(typeRemoval, head, nil), err
	}
	if err := p.tail.publish(ctx, claim{doc.ID, encode, learn}); err != nil {
		return err
	}
	info, err := p.catalog.store.Stat(ctx, entryName(p.catalog.database, doc.Slot))
	if err == nil && info.Modified.After(p.now) {
		p.now = info.Modified
	}
	return err
}
