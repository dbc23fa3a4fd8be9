package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Intent announces an upload. While it is there, no object of its session and of
// those that it adopts, and no object of a snapshot that was there when it was
// announced or that it names as an origin, may be swept.
type Intent struct {
	Version int       `json:"version"`           // FormatVersion
	Session string    `json:"session"`           // UUID, as in ObjectName
	Epoch   uint64    `json:"epoch"`             // of the writer
	Slot    uint64    `json:"slot"`              // last slot that the writer had read
	Adopts  []string  `json:"adopts,omitempty"`  // sessions that came to no end, whose objects this one may use
	Origins []Origin  `json:"origins,omitempty"` // snapshots, perhaps of other databases, whose objects it may use
	Created time.Time `json:"created"`           // by the writer's clock; decides nothing
	Owner   Owner     `json:"owner"`
	By      string    `json:"by,omitempty"`    // name of the strategy that is run; "" for none
	Group   string    `json:"group,omitempty"` // that its snapshot is to be part of
	Digest  string    `json:"digest"`          // of the other fields
}

// maxAdopts bounds the sessions that an intent names, so that it stays within
// maxDocument. What is left of older ones is swept.
const maxAdopts = 256

func (c *Catalog) intentName(session string) string { return intentsPrefix(c.database) + session }

// announced is an intent with the time, by the store's clock, when it was made.
type announced struct {
	Intent
	name string
	at   time.Time
}

// Intents yields every announced session. One that cannot be read yields an
// error that names it, and the sequence goes on; an error of the listing ends it.
func (c *Catalog) Intents(ctx context.Context) iter.Seq2[Intent, error] {
	return func(yield func(Intent, error) bool) {
		for a, err := range c.intents(ctx) {
			if !yield(a.Intent, err) {
				return
			}
		}
	}
}

func (c *Catalog) intents(ctx context.Context) iter.Seq2[announced, error] {
	return documents(twice(ctx, c.store, intentsPrefix(c.database)), func(info blob.Info) (announced, error) {
		i, err := c.readIntent(ctx, info.Name)
		return announced{i, info.Name, info.Modified}, err
	})
}

func (c *Catalog) readIntent(ctx context.Context, name string) (Intent, error) {
	var i Intent
	err := readDocument(ctx, c.store, name, maxDocument, &i, &i.Digest)
	if err == nil && c.intentName(i.Session) != name {
		err = &DamageError{name, fmt.Sprintf("it was written for session %s", i.Session)}
	}
	return i, err
}

// twice lists objects, and then lists those that have come meanwhile. A list is a
// walk and no instant: where one object replaces another, by being created before
// that is deleted, a walk may come too early for the new and too late for the old.
// The second walk meets the new one.
func twice(ctx context.Context, store blob.Store, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		seen := make(map[string]bool)
		for range 2 {
			for info, err := range store.List(ctx, prefix, "") {
				if err != nil {
					yield(info, fmt.Errorf("list %s: %w", prefix, err))
					return
				}
				if !seen[info.Name] && !yield(info, nil) {
					return
				}
				seen[info.Name] = true
			}
		}
	}
}

// documents yields what read makes of every object that is listed. One that is
// gone since then is passed over; after an error of read the sequence goes on.
func documents[T any](list iter.Seq2[blob.Info, error], read func(blob.Info) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for info, err := range list {
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			document, err := read(info)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if !yield(document, err) {
				return
			}
		}
	}
}

// readDocument reads one sealed document of at most limit bytes.
func readDocument(ctx context.Context, store blob.Store, name string, limit int64, document any, digest *string) error {
	data, err := readObject(ctx, store, name, limit)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return blame(name, openDocument(data, document, digest))
}
