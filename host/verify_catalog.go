package host

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/zeebo/blake3"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// readCatalog reads everything that is not data, or only what was named.
func (v *verification) readCatalog(ctx context.Context, p *Pass) error {
	t := newTally("verify", 0, 0, v.repository.report)
	defer func() { p.Checked = t.done.FilesDone }()
	steps := []func(context.Context, *tally) error{v.readFormat, v.readHistory, v.readDocuments, v.countOrphans}
	if len(v.options.Snapshots) > 0 {
		steps = []func(context.Context, *tally) error{v.readNamed}
	}
	for _, step := range steps {
		if err := step(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) readNamed(ctx context.Context, t *tally) error {
	named := make(map[string]bool)
	for _, ref := range v.options.Snapshots {
		m, err := v.repository.Find(ctx, ref)
		if err != nil {
			return err
		}
		if !named[m.ID] {
			named[m.ID] = true
			v.enter(m)
			t.file()
		}
	}
	return nil
}

// enter adds a snapshot to what is verified.
func (v *verification) enter(m *Manifest) {
	v.manifests = append(v.manifests, m)
	v.result.Snapshots++
	if digest := m.Strategy.Module; digest != "" {
		v.modules[digest] = append(v.modules[digest], m)
	}
	for i := range m.Contents {
		f := &m.Contents[i]
		h := v.objects[f.Object]
		if h == nil {
			h = &holding{file: f}
			v.objects[f.Object] = h
			v.result.Objects++
			v.result.Bytes += f.ObjectSize()
		}
		h.users = append(h.users, user{m, f.Name})
	}
}

// readFormat reads the format again, which was read when the repository was
// opened, perhaps long ago.
func (v *verification) readFormat(ctx context.Context, t *tally) error {
	again, err := catalog.Open(ctx, v.repository.store, v.repository.name)
	t.file()
	var d *catalog.DamageError
	switch {
	case errors.As(err, &d):
		v.find(Finding{Object: d.Object, What: d.What})
	case errors.Is(err, catalog.ErrNoRepository):
		v.find(Finding{Object: "format.json", What: isMissing})
	case err != nil:
		return err
	case again.Format().ID != v.repository.catalog.Format().ID:
		v.find(Finding{Object: "format.json", What: "is that of another repository than before"})
	}
	return nil
}

// readHistory reads every entry. It notes the newest first, so that all entries up
// to that one are among those that it reads.
func (v *verification) readHistory(ctx context.Context, t *tally) error {
	var err error
	if v.head, err = v.repository.catalog.Head(ctx); err != nil {
		return err
	}
	v.result.Head = formatHead(v.head)
	witness := v.repository.witness()
	if err := v.follow(ctx, witness.head, witness.path, func(m *Manifest) { v.enter(m); t.file() }); err != nil {
		return err
	}
	if v.seen.Slot == 0 || v.seen == witness.head {
		return nil
	}
	return v.follow(ctx, v.seen, "", func(*Manifest) {})
}

// follow reads the history, which has to contain an entry that was seen. path is
// the file that remembers it.
func (v *verification) follow(ctx context.Context, seen catalog.Head, path string, enter func(*Manifest)) error {
	for m, err := range v.repository.catalog.Check(ctx, seen) {
		var d *catalog.DamageError
		switch {
		case errors.As(err, &d):
			f := Finding{Object: d.Object, What: d.What}
			if m != nil {
				f.Snapshot = m.ID
			}
			if path != "" && strings.HasSuffix(d.Object, fmt.Sprintf("/%020d", seen.Slot)) {
				f.What += "; if that was done on purpose, remove " + path + ", which remembers it"
			}
			v.find(f)
		case err != nil:
			return err
		}
		if m != nil {
			enter(m)
		}
	}
	return nil
}

// readDocuments reads the intents, pins and notes, in which nothing refers to
// anything that a snapshot needs.
func (v *verification) readDocuments(ctx context.Context, t *tally) error {
	for _, err := range v.repository.catalog.Intents(ctx) {
		if err := v.document(err, t); err != nil {
			return err
		}
	}
	// Whatever kind it is of, a pin that is damaged is reported here.
	for _, err := range v.repository.catalog.Pins(ctx) {
		if err := v.document(err, t); err != nil {
			return err
		}
	}
	return v.readNotes(ctx, t)
}

func (v *verification) document(err error, t *tally) error {
	t.file()
	var d *catalog.DamageError
	if errors.As(err, &d) {
		v.find(Finding{Object: d.Object, What: d.What})
		return nil
	}
	return err
}

func (v *verification) readNotes(ctx context.Context, t *tally) error {
	for info, err := range v.repository.store.List(ctx, "db/"+v.repository.name+"/notes/", "") {
		if err != nil {
			return err
		}
		what, err := v.repository.readSealed(ctx, info.Name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case what != "":
			v.find(Finding{Object: info.Name, What: what})
		}
		t.file()
	}
	return nil
}

// readSealed says what is wrong with a small document, or "". Its last field is
// the digest of the rest, as the catalog's DESIGN.md says, so it proves itself
// whatever it is about.
func (r *Repository) readSealed(ctx context.Context, name string) (what string, err error) {
	body, err := r.store.Open(ctx, name, 0, -1)
	if err != nil {
		return "", err
	}
	defer body.Close()
	const limit = 64 << 10
	text, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && (len(text) > limit || !sealed(text)) {
		what = "its digest is wrong"
	}
	return what, err
}

// sealed says whether a document is written in the one way in which documents are
// written, with the right digest.
func sealed(text []byte) bool {
	var plain, again bytes.Buffer
	if json.Compact(&plain, text) != nil || json.Indent(&again, plain.Bytes(), "", "  ") != nil || again.String()+"\n" != string(text) {
		return false
	}
	const field, end = `"digest":"`, `"}`
	body, digest := plain.String(), ""
	if at := strings.LastIndex(body, field) + len(field); at >= len(field) {
		body, digest = body[:at]+end, strings.TrimSuffix(body[at:], end)
	}
	sum := blake3.Sum256([]byte(body))
	return digest == hex.EncodeToString(sum[:])
}

// countOrphans asks prune what it would delete if it swept, but for what the
// policy would remove.
func (v *verification) countOrphans(ctx context.Context, _ *tally) error {
	pruned, err := v.repository.catalog.Prune(ctx, catalog.PruneOptions{
		Sweep: true, DryRun: true, Grace: time.Duration(v.repository.cfg.Retention.Grace), Owner: thisProcess(),
	})
	if errors.Is(err, catalog.ErrDamaged) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("count orphans: %w", err)
	}
	v.result.Orphans, v.result.OrphanBytes = pruned.Objects, pruned.Bytes
	return nil
}
