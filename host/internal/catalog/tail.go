package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// tries is how often a create is sent for one slot before its outcome is
// reported as unknown. A store retries on its own; this is on top.
const tries = 5

// settleTime is how long a publish whose outcome is unknown goes on to find it
// out after the caller has cancelled. It decides nothing: when it is over, the
// outcome is reported as unknown.
const settleTime = 30 * time.Second

// tail is the end of the catalog as far as its owner has read it. Everything up
// to slot is known; an entry can only be published right after it.
type tail struct {
	catalog *Catalog
	slot    uint64 // 0 before the first
	digest  string // of the entry in slot
}

// claim is an entry that wants to be published.
type claim struct {
	id     string
	encode func(slot uint64, parent string) ([]byte, error)
	refuse func(*entry) error // may refuse to come after an entry
}

// seek moves to the newest entry. It needs that entry's header only, and takes
// it as it is: damage must not keep a new writer out.
func (t *tail) seek(ctx context.Context) error {
	var last place
	for p, err := range t.catalog.after(ctx, t.slot) {
		if err != nil {
			return err
		}
		last = p
	}
	if last.slot == 0 {
		return nil
	}
	data, err := t.catalog.readStart(ctx, last, headerSize)
	if err != nil {
		return err
	}
	t.slot, t.digest = last.slot, entryDigest(data)
	return nil
}

// advance reads the entries that were added since. It stops at the claim's own
// entry, which is there when a create succeeded whose answer was lost, and
// before an entry that the claim refuses to follow or that cannot be read. When an
// entry is gone that was listed, it goes on from another list: what replaced that
// entry comes after it.
func (t *tail) advance(ctx context.Context, c claim) (found bool, err error) {
	for range tries {
		found, err = t.walk(ctx, c)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	return found, err
}

func (t *tail) walk(ctx context.Context, c claim) (found bool, err error) {
	for p, err := range t.catalog.after(ctx, t.slot) {
		if err != nil {
			return false, err
		}
		e, err := t.catalog.readHead(ctx, p)
		if err != nil {
			return false, err
		}
		own := e.id() == c.id
		if !own {
			if err := t.refused(ctx, c, e); err != nil {
				return false, err
			}
		}
		t.slot, t.digest = e.slot, e.digest
		if own {
			return true, nil
		}
	}
	return false, nil
}

// refused asks whether the claim may follow an entry. One that is removed is of no
// account, and may be void: if it said anything that counts, so does a later one.
func (t *tail) refused(ctx context.Context, c claim, e *entry) error {
	refused := c.refuse(e)
	if refused == nil {
		return nil
	}
	declared, err := t.catalog.removedSince(ctx, e.slot)
	if err == nil && declared.has(e.slot) {
		return nil
	}
	return refused
}

// publish creates the claim's entry in the slot after the last one, having read
// every entry before that slot. When the slot turns out to be taken, or the
// outcome is unknown, it looks at what is there and goes on from that. The
// outcomes are:
//
//  1. nil: the entry is in t.slot, exactly once.
//  2. [blob.ErrUnknownOutcome]: it may be in the slot after t.slot, now or later.
//  3. any other error: it is in no slot, and never will be.
func (t *tail) publish(ctx context.Context, c claim) error {
	for try, sent := 0, false; try < tries; try++ {
		last := t.slot
		found, err := t.advance(ctx, c)
		if t.slot > last { // a slot that is taken settles what was sent for it
			try, sent = 0, false
		}
		if err != nil {
			return unsettled(sent, err)
		}
		if !found {
			err = t.create(ctx, c)
		}
		switch {
		case err == nil:
			return t.stands(ctx, c)
		case errors.Is(err, blob.ErrUnknownOutcome):
			if !sent {
				settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
				defer cancel()
				ctx, sent = settle, true
			}
		case !errors.Is(err, fs.ErrExist):
			return unsettled(sent, err)
		}
	}
	return fmt.Errorf("slot %d: %w", t.slot+1, blob.ErrUnknownOutcome)
}

// create tries to take the next slot.
func (t *tail) create(ctx context.Context, c claim) error {
	data, err := c.encode(t.slot+1, t.digest)
	if err != nil {
		return err
	}
	name := entryName(t.catalog.database, t.slot+1)
	if err := t.catalog.store.Create(ctx, name, bytes.NewReader(data)); err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	t.slot, t.digest = t.slot+1, entryDigest(data)
	return nil
}

// stands makes sure that the entry which was just created counts. Between reading
// that a slot is free and taking it, any time may have passed: others may have
// taken it, and prune may have removed what they put there. Then the name is free
// once more, but a removal entry, which is never removed itself, says that
// whatever stands in this slot is nothing.
func (t *tail) stands(ctx context.Context, c claim) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	void, refused, err := t.lookBehind(ctx, c)
	for try := 1; try < tries && err != nil; try++ {
		void, refused, err = t.lookBehind(ctx, c)
	}
	switch {
	case err != nil:
		return unsettled(true, err)
	case !void:
		return nil
	case refused != nil:
		return refused
	}
	return fmt.Errorf("slot %d was removed before it was taken", t.slot)
}

// lookBehind reads what comes after the entry in t.slot: whether a removal makes
// that entry void, and what the claim's publisher has against the others.
func (t *tail) lookBehind(ctx context.Context, c claim) (void bool, refused, err error) {
	for p, err := range t.catalog.after(ctx, t.slot) {
		if err != nil {
			return false, nil, err
		}
		e, err := t.catalog.readHead(ctx, p)
		if err != nil {
			return false, nil, err
		}
		if refused == nil {
			refused = c.refuse(e)
		}
		void = void || e.removal != nil && e.removal.Removed.has(t.slot)
	}
	return void, refused, nil
}

// unsettled marks an error that leaves the fate of a sent create open. Being
// fenced does not: the slot is taken by somebody else then.
func unsettled(sent bool, err error) error {
	if err == nil || !sent || errors.Is(err, ErrFenced) {
		return err
	}
	return fmt.Errorf("%w: %w", blob.ErrUnknownOutcome, err)
}
