package host

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// keptNote says which snapshot a checkpoint is of that was kept on this machine,
// and by what its files are known again.
type keptNote struct {
	Version    int        `json:"version"`
	Repository string     `json:"repository"` // its id
	Database   string     `json:"database"`   // name within the repository
	Snapshot   string     `json:"snapshot"`
	Slot       uint64     `json:"slot"`
	Files      []keptFile `json:"files"`
}

// keptFile is a file of a checkpoint that was kept.
type keptFile struct {
	Name     string `json:"name"`
	Size     int64  `json:"size"`   // bytes
	Digest   string `json:"digest"` // BLAKE3-256 of the file as it was when it was stored, hex; "" when nobody knows
	Identity string `json:"identity,omitempty"`
	Object   string `json:"object"`
}

// digestLine is the length of the first line of a note: the BLAKE3-256 of the rest.
const digestLine = 2*32 + 1

func (n *keptNote) encode() ([]byte, error) {
	body, err := json.Marshal(n)
	if err != nil {
		return nil, err
	}
	sum := blake3.Sum256(body)
	return append([]byte(hex.EncodeToString(sum[:])+"\n"), body...), nil
}

// errNote reports a note that is not as it was written.
var errNote = errors.New("its note is damaged")

func readKeptNote(k rocks.Kept) (*keptNote, error) {
	text, err := k.Note()
	if err != nil {
		return nil, err
	}
	if len(text) < digestLine {
		return nil, errNote
	}
	sum := blake3.Sum256(text[digestLine:])
	n := new(keptNote)
	if !bytes.Equal(text[:digestLine], []byte(hex.EncodeToString(sum[:])+"\n")) || json.Unmarshal(text[digestLine:], n) != nil ||
		n.Version != 1 || n.Snapshot != k.Name {
		return nil, errNote
	}
	return n, nil
}

// keepLocal leaves the checkpoint of a snapshot beside the database once it is
// committed, and removes older ones. The snapshot does not depend on it.
func (op *Operation) keepLocal() {
	s, most := op.session, op.generation.cfg.Local.Keep
	if op.err != nil || s.dry {
		return
	}
	fresh := ""
	if s.capture != nil && !s.savepoint && most > 0 {
		text, err := op.host.keptNote(op.manifest, &s.digests).encode()
		if err == nil {
			err = s.capture.keep(op.manifest.ID, text)
		}
		if err != nil {
			op.host.log.Warn("no checkpoint of the snapshot is kept on this machine", "snapshot", s.id, "error", err)
		} else {
			fresh, s.capture.remove = op.manifest.ID, func() error { return nil }
		}
	}
	op.host.tidyKept(most, fresh, &s.history)
}

// keptNote describes the checkpoint of a snapshot. The digests that a manifest has
// are of the stored bytes. Where these are encrypted, those of the plain ones are
// known of what this session has stored, and from the notes before: reading the file
// now would vouch for a file that has rotted since it was stored.
func (r *Repository) keptNote(m *Manifest, stored *plainDigests) *keptNote {
	n := &keptNote{Version: 1, Repository: r.catalog.Format().ID, Database: m.Database, Snapshot: m.ID, Slot: m.Slot}
	var before map[keptFile]string
	for i := range m.Contents {
		f := &m.Contents[i]
		k := keptFile{Name: f.Name, Size: f.Size, Digest: f.Digest, Identity: f.Identity, Object: f.Object}
		if f.Stored > 0 {
			if before == nil {
				before = r.keptDigests(n.Repository)
			}
			k.Digest = stored.of(f)
			if k.Digest == "" && k.Identity != "" {
				k.Digest = before[k.stem()]
			}
		}
		n.Files = append(n.Files, k)
	}
	return n
}

// stem is what two notes say alike of one file.
func (k keptFile) stem() keptFile {
	return keptFile{Size: k.Size, Identity: k.Identity, Object: k.Object}
}

// keptDigests returns what the notes on this machine know of a repository's files.
func (r *Repository) keptDigests(repository string) map[keptFile]string {
	known := make(map[keptFile]string)
	list, err := rocks.ListKept(r.config().Database.Path)
	if err != nil {
		return known
	}
	for _, k := range list {
		n, err := readKeptNote(k)
		if err != nil || !k.Own || n.Repository != repository {
			continue
		}
		for _, f := range n.Files {
			if f.Digest != "" {
				known[f.stem()] = f.Digest
			}
		}
	}
	return known
}

// tidyKept removes the checkpoints on this machine that are not to be kept: all but
// the newest ones, those whose snapshot is known to be gone, and those whose note is
// damaged. fresh is the newest, "" for whichever that is; without a history nothing
// is known to be gone.
func (h *Host) tidyKept(most int, fresh string, known *history) {
	list, err := rocks.ListKept(h.db.Path())
	if err != nil {
		h.log.Warn("cannot look after the checkpoints that are kept", "error", err)
		return
	}
	if i := slices.IndexFunc(list, func(k rocks.Kept) bool { return k.Name == fresh }); i > 0 { // the clock was put back
		newest := list[i]
		list = slices.Insert(slices.Delete(list, i, i+1), 0, newest)
	}
	for _, k := range list {
		if most > 0 && (k.Name == fresh || h.isWorthKeeping(k, known)) {
			most--
			continue
		}
		if err := k.Remove(); err != nil {
			h.log.Warn("cannot remove a checkpoint that was kept", "snapshot", k.Name, "error", err)
		}
	}
}

func (h *Host) isWorthKeeping(k rocks.Kept, known *history) bool {
	n, err := readKeptNote(k)
	if err != nil {
		return false
	}
	ours := n.Repository == h.catalog.Format().ID && n.Database == h.name
	if known == nil || !ours || n.Slot <= known.sound { // a damaged entry may be its own
		return true
	}
	return slices.ContainsFunc(known.snapshots, func(s catalog.Summary) bool { return s.ID == n.Snapshot })
}

// plainDigests are those of files as they were before they were encrypted, by the
// place that each has in the store.
type plainDigests struct{ byPlace sync.Map }

// storedAt is the place of a file in the store.
type storedAt struct {
	object string
	offset int64
}

func (d *plainDigests) add(f *File, digest string) {
	d.byPlace.Store(storedAt{f.Object, f.Offset()}, digest)
}

// of returns the digest of a file, and "" when it is not known.
func (d *plainDigests) of(f *File) string {
	digest, ok := d.byPlace.Load(storedAt{f.Object, f.Offset()})
	if !ok {
		return ""
	}
	return digest.(string)
}
