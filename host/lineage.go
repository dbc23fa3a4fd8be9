package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// lineage is the identity of a database's history. RocksDB's own IDENTITY changes
// when a checkpoint is opened elsewhere, so a restore leaves a note that says
// which history goes on; a database without a note starts one of its own.
type lineage struct {
	id      string
	origin  blobOrigin
	origins []catalog.Origin // what a fork was made of, as many as a session may have
}

// noteFile is the note's name in the database directory. RocksDB leaves alone
// what it does not know.
const noteFile = "ROCKSNAP"

// note is what a restore leaves in a database directory.
type note struct {
	Version  int               `json:"version"`
	Identity string            `json:"identity"` // IDENTITY of the restored database
	Lineage  string            `json:"lineage"`
	Snapshot string            `json:"snapshot"`          // the one that was restored, or the first of them
	Origins  []catalog.Origin  `json:"origins,omitempty"` // of a fork: what it may share objects with
	Blobs    map[uint64]string `json:"blobs,omitempty"`   // blob file number -> its writer
	TTL      ttls              `json:"ttl,omitempty"`     // of every column family
}

// lineageSpace is the namespace in which a database's IDENTITY names a lineage.
var lineageSpace = uuid.MustParse("6a0d9e52-58b8-4c8f-9a5e-0c7d3b1f2e64")

// readLineage tells which history the database in dir belongs to.
func readLineage(dir, identity string) (lineage, error) {
	l := lineage{origin: blobOrigin{database: identity}}
	n, err := readNote(filepath.Join(dir, noteFile))
	switch {
	case err != nil:
		return l, err
	case n != nil && n.Identity == identity && identity != "":
		l.id, l.origin.inherited, l.origins = n.Lineage, n.Blobs, n.Origins[:min(len(n.Origins), catalog.MaxOrigins)]
	case identity == "":
		l.id = uuid.NewString() // a checkpoint that nobody has opened has no history yet
	default:
		l.id = uuid.NewSHA1(lineageSpace, []byte(identity)).String()
	}
	return l, nil
}

// readNote returns nil when there is no note. RocksDB leaves the file behind when
// a database is destroyed and made anew, hence the IDENTITY in it.
func readNote(path string) (*note, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lineage: %w", err)
	}
	var n note
	if err := json.Unmarshal(text, &n); err != nil || n.Version != 1 || uuid.Validate(n.Lineage) != nil {
		return nil, problem(CodeFailed, fmt.Errorf("read lineage: %s is damaged", path),
			"remove the file to start a new history; the next snapshot is then a full one")
	}
	return &n, nil
}

// writeNote leaves a note in dir.
func writeNote(dir string, n note) error {
	identity, err := os.ReadFile(filepath.Join(dir, "IDENTITY"))
	if err != nil {
		return err
	}
	n.Version, n.Identity = 1, strings.TrimSpace(string(identity))
	text, err := json.MarshalIndent(n, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(dir, noteFile), 0o644, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}

// history is what a session knows of committed snapshots. It is read before the
// instant is captured; nothing is added afterwards.
type history struct {
	snapshots []catalog.Summary   // oldest first
	keys      string              // names the recipients of what is stored now
	sound     uint64              // slot after which every entry could be read
	unread    map[uint64]bool     // slots of entries that could not be
	origins   []*catalog.Manifest // what stands in while the lineage has no base
}

// history reads what is committed.
func (r *Repository) history(ctx context.Context) (history, error) {
	h := history{keys: r.keys.id(), unread: make(map[uint64]bool)}
	for s, err := range r.catalog.Snapshots(ctx) {
		switch {
		case errors.Is(err, catalog.ErrDamaged):
			h.sound, h.unread[s.Slot] = s.Slot, true
		case err != nil:
			return h, err
		default:
			h.snapshots = append(h.snapshots, s)
		}
	}
	catalog.Order(h.snapshots)
	return h, nil
}

// stranger returns the newest snapshot if it is of another history than this.
func (h history) stranger(lineage string) *catalog.Summary {
	if n := len(h.snapshots); n > 0 && h.snapshots[n-1].Lineage != lineage {
		return &h.snapshots[n-1]
	}
	return nil
}

// bases lists the native snapshots of a lineage that share something, newest
// first. One that comes before an entry which cannot be read is none: that may say
// that it was removed. Nor is one that was encrypted for others: whoever can read
// the new snapshot must be able to read all of it.
func (h history) bases(lineage string) []abi.Base {
	var list []abi.Base
	for i := len(h.snapshots) - 1; i >= 0; i-- {
		s := &h.snapshots[i]
		if s.Lineage != lineage || s.Kind != catalog.KindNative || s.BytesShared == 0 || s.Slot < h.sound || s.Keys != h.keys {
			continue
		}
		list = append(list, abi.Base{
			Slot: s.Slot, CreatedMs: s.Created.UnixMilli(), Files: uint64(s.Files),
			BytesFull: uint64(s.BytesFull), BytesNew: uint64(s.BytesNew), BytesReused: uint64(s.BytesReused),
		})
	}
	if len(list) == 0 && len(h.origins) > 0 {
		list = append(list, h.beginning())
	}
	return list
}

func (h history) has(slot uint64, lineage string) bool {
	for _, b := range h.bases(lineage) {
		if b.Slot == slot {
			return true
		}
	}
	return false
}

// newest returns the slot of the newest of the bases, or 0.
func (h history) newest(lineage string) uint64 {
	for _, b := range h.bases(lineage) {
		return b.Slot
	}
	return 0
}

// drop forgets the snapshot in a slot, which cannot be read.
func (h *history) drop(slot uint64) {
	h.unread[slot] = true
	h.snapshots = slices.DeleteFunc(h.snapshots, func(s catalog.Summary) bool { return s.Slot == slot })
}

// latestBy returns the slot of the newest snapshot of a lineage that a strategy
// took, or 0.
func (h history) latestBy(strategy, lineage string) uint64 {
	return h.latest(func(s *catalog.Summary) bool { return s.Lineage == lineage && s.Strategy.Name == strategy })
}

// statedBy returns the slot of the snapshot whose state a strategy goes on from: the
// newest one that is no savepoint, if there is one.
func (h history) statedBy(strategy, lineage string) uint64 {
	slot := h.latest(func(s *catalog.Summary) bool {
		return s.Lineage == lineage && s.Strategy.Name == strategy && !s.Savepoint
	})
	return cmp.Or(slot, h.latestBy(strategy, lineage))
}

// latest returns the slot of the newest snapshot that is as wanted, or 0.
func (h history) latest(wanted func(*catalog.Summary) bool) uint64 {
	for i := len(h.snapshots) - 1; i >= 0; i-- {
		if wanted(&h.snapshots[i]) {
			return h.snapshots[i].Slot
		}
	}
	return 0
}
