package catalog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Writer may commit snapshots for as long as no newer writer has come. It is
// safe for concurrent use by the sessions of one process.
type Writer struct {
	catalog *Catalog
	epoch   epoch

	mu      sync.Mutex // guards the rest, and makes sessions commit one after the other
	tail    tail
	running map[string]bool // sessions
}

// Acquire makes the caller the one writer of the database, by taking the next
// slot with an epoch entry. It does not ask the writer before: that one is fenced
// from now on. With [blob.ErrUnknownOutcome] the epoch may have been taken; the
// caller just acquires again.
func (c *Catalog) Acquire(ctx context.Context, owner Owner) (*Writer, error) {
	w := &Writer{catalog: c, tail: tail{catalog: c}, running: make(map[string]bool), epoch: epoch{
		Version:  FormatVersion,
		Writer:   uuid.NewString(),
		Database: c.database,
		Created:  time.Now().UTC(),
		Owner:    owner,
	}}
	err := w.tail.seek(ctx)
	if err == nil {
		err = w.tail.publish(ctx, claim{w.epoch.Writer, w.encodeEpoch, func(*entry) error { return nil }})
	}
	if err != nil {
		return nil, fmt.Errorf("acquire epoch: %w", err)
	}
	return w, nil
}

func (w *Writer) encodeEpoch(slot uint64, parent string) ([]byte, error) {
	w.epoch.Slot, w.epoch.Parent = slot, parent
	head, err := encodeHead(&w.epoch)
	if err != nil {
		return nil, err
	}
	return sealEntry(typeEpoch, head, nil), nil
}

// Epoch returns the slot of the writer's epoch entry: its fencing token.
func (w *Writer) Epoch() uint64 { return w.epoch.Slot }

// commit publishes a snapshot, and sets the manifest's Version, Slot, Epoch and
// Parent. It is called once for a manifest. The outcomes are:
//
//  1. nil: the snapshot is committed and durable, exactly once.
//  2. [ErrFenced], as a [FencedError]: a newer writer came first; nothing is
//     committed, now or ever.
//  3. [blob.ErrUnknownOutcome]: no answer could be had from the store. The
//     snapshot may be committed, or become so later, so nothing that it names
//     may be removed and its intent stays.
//  4. any other error: nothing is committed.
//
// It never removes anything. Cancellation counts until the create has
// been sent.
func (w *Writer) commit(ctx context.Context, m *Manifest) error {
	s := m.Summary
	s.Version, s.Epoch = FormatVersion, w.epoch.Slot
	err := m.Validate()
	if err == nil && m.Database != w.catalog.database {
		err = fmt.Errorf("manifest is of database %q", m.Database)
	}
	if err != nil {
		return fmt.Errorf("commit snapshot %s: %w", m.ID, err)
	}
	body, err := pack(&m.Detail)
	if err != nil {
		return fmt.Errorf("commit snapshot %s: %w", m.ID, err)
	}
	var digest string
	encode := func(slot uint64, parent string) ([]byte, error) {
		s.Slot, s.Parent = slot, parent
		head, err := encodeHead(&s)
		data := sealEntry(typeManifest, head, body)
		digest = entryDigest(data)
		return data, err
	}
	if err := w.publish(ctx, claim{m.ID, encode, w.refuse}); err != nil {
		return fmt.Errorf("commit snapshot %s: %w", m.ID, err)
	}
	m.Summary = s
	w.catalog.recent.keepOf(digest, m)
	return nil
}

func (w *Writer) publish(ctx context.Context, c claim) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.tail.publish(ctx, c)
}

// refuse finds out from another entry that this writer is stale. The tail does
// not move past such an entry, so a writer once fenced stays so.
func (w *Writer) refuse(e *entry) error {
	if e.term() <= w.epoch.Slot {
		return nil
	}
	fenced := &FencedError{Epoch: w.epoch.Slot, Owner: w.epoch.Owner, ByEpoch: e.term()}
	if e.epoch != nil {
		fenced.By = e.epoch.Owner
	}
	return fenced
}
