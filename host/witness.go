package host

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// WithStateDir has this machine remember, in a folder, the newest entry that it
// has seen of each catalog, after every snapshot and every verification without a
// problem. [Repository.Verify] then finds out when somebody has put a repository
// back to what it was before, which the repository alone cannot tell. Nothing
// fails when the folder cannot be written. Without this option nothing is kept.
func WithStateDir(folder string) Option { return func(s *settings) { s.state = folder } }

// witness is what this machine remembers of a catalog: the zero witness, nothing.
type witness struct {
	path string // of the file that holds it; "" for none
	head catalog.Head
}

// witness reads what is remembered of this catalog.
func (r *Repository) witness() witness {
	if r.state == "" {
		return witness{}
	}
	w := witness{path: filepath.Join(r.state, "heads", r.catalog.Format().ID, r.name)}
	text, err := os.ReadFile(w.path)
	if err == nil {
		w.head, err = parseHead(strings.TrimSuffix(string(text), "\n"))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("nobody knows what this machine has seen of the repository", "file", w.path, "error", err)
	}
	return w
}

// remember keeps a head, unless a later one is remembered.
func (r *Repository) remember(head catalog.Head) {
	w := r.witness()
	if w.path == "" || head.Slot <= w.head.Slot {
		return
	}
	if err := w.replace(formatHead(head) + "\n"); err != nil {
		r.log.Warn("cannot remember what this machine has seen of the repository", "file", w.path, "error", err)
	}
}

func (w witness) replace(text string) error { return replaceFile(w.path, text) }

// replaceFile keeps a small file of the state folder, whole in any case.
func replaceFile(path, text string) error {
	if err := durable.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	next := path + "." + uuid.NewString()
	err := durable.CreateFile(next, 0o600, func(f io.Writer) error {
		_, err := io.WriteString(f, text)
		return err
	})
	if err != nil {
		return err
	}
	if err = durable.Rename(next, path); err != nil {
		_ = os.Remove(next) // gone already when only the sync has failed
	}
	return err
}

// attest remembers the entry of a snapshot that was just committed, if the history
// still contains what is remembered: otherwise a history that was put back would
// grow past it, and nobody would notice any more.
func (r *Repository) attest(ctx context.Context, slot uint64) {
	w := r.witness()
	if w.path == "" {
		return
	}
	digest, err := r.catalog.EntryDigest(ctx, slot)
	var seen string
	if err == nil && w.head.Slot > 0 {
		seen, err = r.catalog.EntryDigest(ctx, w.head.Slot)
	}
	switch {
	case err == nil && seen == w.head.Digest:
		r.remember(catalog.Head{Slot: slot, Digest: digest})
	case err == nil, errors.Is(err, fs.ErrNotExist):
		r.log.Warn("the history has not the entry that this machine has seen: 'rocksnap verify' tells whether prune has removed it",
			"slot", w.head.Slot, "file", w.path)
	default:
		r.log.Warn("cannot remember what this machine has seen of the repository", "file", w.path, "error", err)
	}
}

// formatHead writes a head as it stands in [Verified.Head]; "" for the zero one.
func formatHead(h catalog.Head) string {
	if h.Slot == 0 {
		return ""
	}
	return fmt.Sprintf("%d:%s", h.Slot, h.Digest)
}

// parseHead reads what formatHead writes.
func parseHead(text string) (catalog.Head, error) {
	slot, digest, _ := strings.Cut(text, ":")
	n, errSlot := strconv.ParseUint(slot, 10, 64)
	raw, errDigest := hex.DecodeString(digest)
	if err := cmp.Or(errSlot, errDigest); err != nil || n == 0 || len(raw) != 32 {
		return catalog.Head{}, problem(CodeUsage, fmt.Errorf("%q is no head of a catalog", text), "give it as an earlier verification printed it: slot:digest")
	}
	return catalog.Head{Slot: n, Digest: strings.ToLower(digest)}, nil
}
