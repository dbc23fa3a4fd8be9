package catalog

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// Intent announces an upload. While it is there and its epoch is the newest, no
// object of its session, and no object of a snapshot that was there when it was
// announced, may be swept.
type Intent struct {
	Version int       `json:"version"` // FormatVersion
	Session string    `json:"session"` // UUID, as in ObjectName
	Epoch   uint64    `json:"epoch"`   // of the writer
	Slot    uint64    `json:"slot"`    // last slot that the writer had read
	Created time.Time `json:"created"` // by the writer's clock; decides nothing
	Owner   Owner     `json:"owner"`
	Digest  string    `json:"digest"` // of the other fields
}

// Announce tells everybody that a session, named by a fresh UUID, is about to
// store objects and to choose a base. It comes before the first object, and
// before the base is looked up. It fails with [ErrFenced] when the writer is
// stale, so that nothing is uploaded in vain.
func (w *Writer) Announce(ctx context.Context, session string) error {
	if !isUUID(session) {
		return fmt.Errorf("announce session: %q is no UUID", session)
	}
	slot, err := w.look(ctx)
	if err != nil {
		return fmt.Errorf("announce session: %w", err)
	}
	i := Intent{
		Version: FormatVersion, Session: session, Epoch: w.epoch.Slot, Slot: slot,
		Created: time.Now().UTC(), Owner: w.epoch.Owner,
	}
	data, err := sealDocument(&i, &i.Digest)
	if err == nil {
		err = createOwn(ctx, w.catalog.store, w.intentName(session), data)
	}
	if err != nil {
		return fmt.Errorf("announce session: %w", err)
	}
	return nil
}

// look reads the entries that were added, and returns the last slot.
func (w *Writer) look(ctx context.Context) (slot uint64, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err = w.tail.advance(ctx, claim{refuse: w.refuse})
	return w.tail.slot, err
}

// Withdraw removes a session's intent, once its snapshot is committed or given
// up. It must not be called while the outcome of a commit is unknown. Withdrawing
// what is not announced is no error.
func (w *Writer) Withdraw(ctx context.Context, session string) error {
	if err := w.catalog.store.Delete(ctx, w.intentName(session)); err != nil {
		return fmt.Errorf("withdraw session: %w", err)
	}
	return nil
}

func (w *Writer) intentName(session string) string {
	return intentsPrefix(w.catalog.database) + session
}

// Intents yields every announced session. One that cannot be read yields an
// error that names it, and the sequence goes on; an error of the listing ends it.
func (c *Catalog) Intents(ctx context.Context) iter.Seq2[Intent, error] {
	return func(yield func(Intent, error) bool) {
		for info, err := range c.store.List(ctx, intentsPrefix(c.database), "") {
			if err != nil {
				yield(Intent{}, fmt.Errorf("list intents: %w", err))
				return
			}
			if !yield(c.readIntent(ctx, info.Name)) {
				return
			}
		}
	}
}

func (c *Catalog) readIntent(ctx context.Context, name string) (Intent, error) {
	data, err := readObject(ctx, c.store, name, maxDocument)
	if err != nil {
		return Intent{}, fmt.Errorf("read %s: %w", name, err)
	}
	var i Intent
	err = openDocument(data, &i, &i.Digest)
	if err == nil && intentsPrefix(c.database)+i.Session != name {
		err = fmt.Errorf("it was written for session %s", i.Session)
	}
	return i, blame(name, err)
}
