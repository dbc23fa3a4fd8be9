package catalog

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Stored is one object as a session has stored it, or begun to.
type Stored struct {
	Key    string `json:"key"`            // what the object holds, by which it is recognised: the identity of a file, say
	Object string `json:"object"`         // its name
	Size   int64  `json:"size"`           // bytes of what it holds
	Stored int64  `json:"stored"`         // bytes of the object
	Digest string `json:"digest"`         // BLAKE3-256 of the object, hex; "" while it has only begun
	CRC32C uint32 `json:"crc32c"`         // of the object
	Keys   string `json:"keys,omitempty"` // names the recipients that it is encrypted for; "" for none

	// Segment is the place in a pack; then Stored, Digest and CRC32C are of that
	// part of the object.
	Segment *Segment `json:"segment,omitempty"`
}

// Whole says whether the object was stored to its end.
func (s Stored) Whole() bool { return s.Digest != "" }

// note is the document that keeps some of what a session has stored.
type note struct {
	Version int      `json:"version"`
	Session string   `json:"session"`
	Stored  []Stored `json:"stored"`
	Digest  string   `json:"digest"` // of the other fields
}

// A note is written when it is full or when the last one is old: what is stored
// after the last note is stored again by whoever goes on.
const (
	notesEach  = 100 // files
	notesEvery = time.Second

	// notesMost files are in a note at most: those of one pack are noted together.
	notesMost = 4096
	maxNote   = 8 << 20 // bytes of them
)

// notebook collects what a session stores.
type notebook struct {
	store  blob.Store
	prefix string // of the notes' names, with the session

	mu      sync.Mutex
	open    []Stored
	flushed time.Time
	written int
}

func (n *notebook) add(ctx context.Context, stored ...Stored) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = append(n.open, stored...)
	begun := slices.ContainsFunc(stored, func(s Stored) bool { return !s.Whole() })
	if !begun && len(n.open) < notesEach && time.Since(n.flushed) < notesEvery {
		return nil
	}
	return n.write(ctx)
}

func (n *notebook) flush(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.write(ctx)
}

func (n *notebook) empty() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.open) == 0 && n.written == 0
}

func (n *notebook) write(ctx context.Context) error {
	session := n.prefix[len(n.prefix)-37 : len(n.prefix)-1]
	for len(n.open) > 0 {
		some := n.open[:min(len(n.open), notesMost)]
		d := note{Version: FormatVersion, Session: session, Stored: some}
		data, err := sealDocument(&d, &d.Digest)
		if err == nil {
			n.written++ // whatever comes of it: nobody knows, perhaps, and a name is used once
			err = createOwn(ctx, n.store, fmt.Sprintf("%s%06d", n.prefix, n.written), data)
		}
		if err != nil {
			return fmt.Errorf("note what is stored: %w", err)
		}
		n.open, n.flushed = slices.Delete(n.open, 0, len(some)), time.Now()
	}
	return nil
}

// notes yields what a session has noted, in order. A damaged note yields an error
// that names it, and the sequence goes on.
func (c *Catalog) notes(ctx context.Context, session string) iter.Seq2[note, error] {
	return documents(c.store.List(ctx, notesPrefix(c.database)+session+"-", ""), func(info blob.Info) (note, error) {
		return c.readNote(ctx, info.Name)
	})
}

func (c *Catalog) readNote(ctx context.Context, name string) (note, error) {
	var n note
	err := readDocument(ctx, c.store, name, maxNote, &n, &n.Digest)
	if err == nil && !strings.HasPrefix(name, notesPrefix(c.database)+n.Session+"-") {
		err = &DamageError{name, fmt.Sprintf("it was written for session %s", n.Session)}
	}
	return n, err
}
