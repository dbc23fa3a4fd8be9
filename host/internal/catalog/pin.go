package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Pin keeps a snapshot. One of an operator keeps it in the list, until it is taken
// away; one of a reader keeps its objects, until it grows old.
type Pin struct {
	Version  int       `json:"version"` // FormatVersion
	ID       string    `json:"id"`      // UUID
	Renewal  int       `json:"renewal"` // of a reader, which makes one pin after the other
	Kind     string    `json:"kind"`    // "operator" or "reader"
	Snapshot string    `json:"snapshot"`
	Slot     uint64    `json:"slot"` // of the snapshot
	Reason   string    `json:"reason,omitempty"`
	Created  time.Time `json:"created"` // by the maker's clock; decides nothing
	Owner    Owner     `json:"owner"`
	Digest   string    `json:"digest"` // of the other fields
}

const (
	operatorPin = "operator"
	readerPin   = "reader"
)

// A reader renews its pin; one that was not renewed for so long, by the store's
// clock, is of a reader that died. A reader that was merely suspended fails then,
// and loses nothing but its time.
const (
	readerEvery = 10 * time.Minute
	readerAge   = time.Hour
)

// releaseTime is how long a reader that is done tries to take its pin away.
const releaseTime = 5 * time.Second

// ErrRemoved reports a snapshot that prune has removed from the list.
var ErrRemoved = errors.New("removed by prune")

// Pin keeps a snapshot until it is unpinned. It fails with [ErrRemoved] when prune
// came first.
func (c *Catalog) Pin(ctx context.Context, s *Summary, reason string, owner Owner) (Pin, error) {
	return c.pin(ctx, operatorPin, s, reason, owner)
}

// pin makes a pin and then looks whether it came in time. Prune does it the other
// way round: it declares a removal, then reads the pins, and only then makes the
// removal final. So one of them sees the other.
func (c *Catalog) pin(ctx context.Context, kind string, s *Summary, reason string, owner Owner) (Pin, error) {
	p, err := c.putPin(ctx, Pin{ID: uuid.NewString(), Kind: kind, Snapshot: s.ID, Slot: s.Slot, Reason: reason, Owner: owner})
	if err == nil {
		if err = c.cameInTime(ctx, p); err != nil {
			err = errors.Join(err, c.store.Delete(context.WithoutCancel(ctx), c.pinName(p)))
		}
	}
	if err != nil {
		return Pin{}, fmt.Errorf("pin snapshot %s: %w", s.ID, err)
	}
	return p, nil
}

// putPin stores a pin under a name of its own.
func (c *Catalog) putPin(ctx context.Context, p Pin) (Pin, error) {
	p.Version, p.Created = FormatVersion, time.Now().UTC()
	data, err := sealDocument(&p, &p.Digest)
	if err == nil {
		err = createOwn(ctx, c.store, c.pinName(p), data)
	}
	return p, err
}

// cameInTime fails with [ErrRemoved] when the snapshot of a new pin was removed
// before.
func (c *Catalog) cameInTime(ctx context.Context, pin Pin) error {
	declared, err := c.removedSince(ctx, pin.Slot)
	if err == nil && declared.has(pin.Slot) {
		err = ErrRemoved
	}
	return err
}

// removedSince returns what the newest removal entry after a slot declares. An
// entry that cannot be read may be a removal.
func (c *Catalog) removedSince(ctx context.Context, slot uint64) (slots, error) {
	for range tries {
		var after []place
		for p, err := range c.after(ctx, slot) {
			if err != nil {
				return nil, err
			}
			after = append(after, p)
		}
		declared, err := c.newestRemoval(ctx, after)
		if !errors.Is(err, fs.ErrNotExist) { // else another removal has replaced what was listed
			return declared, err
		}
	}
	return nil, errRestless
}

func (c *Catalog) newestRemoval(ctx context.Context, places []place) (slots, error) {
	read := c.readHead
	if len(places) > keepEvery { // else to fetch what is known takes longer
		read = c.readKnown
	}
	for _, p := range slices.Backward(places) {
		e, err := read(ctx, p)
		if err != nil {
			return nil, err
		}
		if e.removal != nil {
			return e.removal.Removed, nil
		}
	}
	return nil, nil
}

// Unpin takes away every operator's pin of a snapshot, even a damaged one, and
// returns how many there were. It fails with fs.ErrNotExist when there is no such
// snapshot.
func (c *Catalog) Unpin(ctx context.Context, snapshot string) (int, error) {
	slot, err := c.byPrefix(ctx, snapshot)
	if err != nil {
		return 0, fmt.Errorf("unpin snapshot %s: %w", snapshot, err)
	}
	var names []string
	for info, err := range c.store.List(ctx, c.pinsOf(operatorPin)+pinSlot(slot), "") {
		if err != nil {
			return 0, fmt.Errorf("unpin snapshot %s: %w", snapshot, err)
		}
		names = append(names, info.Name)
	}
	if len(names) == 0 {
		return 0, nil
	}
	if err := c.store.Delete(ctx, names...); err != nil {
		return 0, fmt.Errorf("unpin snapshot %s: %w", snapshot, err)
	}
	return len(names), nil
}

// Pins yields the operators' pins. One that cannot be read yields an error that
// names it, and the sequence goes on; an error of the listing ends it.
func (c *Catalog) Pins(ctx context.Context) iter.Seq2[Pin, error] {
	return documents(c.store.List(ctx, c.pinsOf(operatorPin), ""), func(info blob.Info) (Pin, error) {
		return c.readPin(ctx, info.Name)
	})
}

func (c *Catalog) readPin(ctx context.Context, name string) (p Pin, err error) {
	err = readDocument(ctx, c.store, name, maxDocument, &p, &p.Digest)
	if err == nil && c.pinName(p) != name {
		err = &DamageError{name, fmt.Sprintf("it was written for pin %s", p.ID)}
	}
	return p, err
}

func (c *Catalog) pinsOf(kind string) string { return pinsPrefix(c.database) + kind + "-" }

func pinSlot(slot uint64) string { return fmt.Sprintf("%020d-", slot) }

// pinName says all that prune has to know of a reader's pin, which may be gone before
// it can be read. The pins of one reader sort in the order in which they replace each
// other: while a list is walked through, the reader may make a new one and delete the
// old one, and the walk still meets one of them.
func (c *Catalog) pinName(p Pin) string {
	return fmt.Sprintf("%s%s%s-%06d", c.pinsOf(p.Kind), pinSlot(p.Slot), p.ID, p.Renewal)
}

// readerPins yields the pins of readers, with their slots.
func (c *Catalog) readerPins(ctx context.Context) iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		prefix := c.pinsOf(readerPin)
		for info, err := range c.store.List(ctx, prefix, "") {
			if err != nil {
				yield(place{}, fmt.Errorf("list pins: %w", err))
				return
			}
			element, _, _ := strings.Cut(info.Name[len(prefix):], "-")
			slot, ok := parseSlot(element)
			if ok && !yield(place{slot, info.Name, info.Size, info.Modified}, nil) {
				return
			}
		}
	}
}

// Hold keeps the objects of a snapshot for a reader, which calls release when it
// is done. It fails with [ErrRemoved] when prune came first. In a store that cannot
// be written there is no pin, and grace alone protects the reader: then the error
// is that of the store, and release may be called all the same.
func (c *Catalog) Hold(ctx context.Context, s *Summary, reason string, owner Owner) (release func(), err error) {
	p, err := c.pin(ctx, readerPin, s, reason, owner)
	if err != nil {
		return func() {}, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var renewing sync.WaitGroup
	renewing.Go(func() { p = c.renew(ctx, p) })
	return func() {
		cancel()
		renewing.Wait()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
		defer cancel()
		_ = c.store.Delete(ctx, c.pinName(p)) // else it grows old
	}, nil
}

// renew replaces a reader's pin by a new one from time to time, since a name is
// never used twice, until ctx ends. It returns the last.
func (c *Catalog) renew(ctx context.Context, p Pin) Pin {
	tick := time.NewTicker(readerEvery)
	defer tick.Stop()
	for next := p; ; {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
		if ctx.Err() != nil {
			return p
		}
		next.Renewal++
		if _, err := c.putPin(ctx, next); err == nil { // else the old one holds for a while yet
			_ = c.store.Delete(ctx, c.pinName(p))
			p = next
		}
	}
}
