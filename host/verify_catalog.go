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
	steps := []func(context.Context, *tally) error{v.readSeals, v.readFormat, v.readHistory, v.readDocuments, v.countOrphans}
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

// readSeals reads the small documents: the format, intents, notes and pins. Each
// proves by its last field that it is as it was written, whatever it says; a
// damaged version, say, would pass for a newer one.
func (v *verification) readSeals(ctx context.Context, t *tally) error {
	names := []string{formatFile}
	for _, folder := range []string{"intents", "notes", "pins"} {
		for info, err := range v.repository.store.List(ctx, "db/"+v.repository.name+"/"+folder+"/", "") {
			if err != nil {
				return err
			}
			names = append(names, info.Name)
		}
	}
	for _, name := range names {
		text, err := v.repository.readDocument(ctx, name)
		switch {
		case errors.Is(err, fs.ErrNotExist): // an intent, for one, comes and goes
			continue
		case err != nil:
			return err
		case !sealed(text):
			v.find(Finding{Object: name, What: "has changed: its digest is wrong"})
			v.broken[name] = true
		}
		t.file()
	}
	return nil
}

const formatFile = "format.json"

// readDocument reads a small document, and not much more when it has grown.
func (r *Repository) readDocument(ctx context.Context, name string) ([]byte, error) {
	body, err := r.store.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(io.LimitReader(body, 1<<20))
}

// sealed says whether a document is written in the one way in which documents are
// written, with the right digest of the rest as its last field; see the catalog's
// DESIGN.md.
func sealed(text []byte) bool {
	var plain, again bytes.Buffer
	if json.Compact(&plain, text) != nil || json.Indent(&again, plain.Bytes(), "", "  ") != nil || again.String()+"\n" != string(text) {
		return false
	}
	const field, end = `"digest":"`, `"}`
	body := plain.String()
	at := strings.LastIndex(body, field)
	if at < 0 {
		return false
	}
	at += len(field)
	sum := blake3.Sum256([]byte(body[:at] + end))
	return body[at:] == hex.EncodeToString(sum[:])+end
}

// readFormat reads the format again, which was read when the repository was
// opened, perhaps long ago.
func (v *verification) readFormat(ctx context.Context, _ *tally) error {
	again, err := catalog.Open(ctx, v.repository.store, v.repository.name)
	switch {
	case errors.Is(err, catalog.ErrNoRepository):
		v.find(Finding{Object: formatFile, What: isMissing})
	case err != nil:
		return v.document(err)
	case again.Format().ID != v.repository.catalog.Format().ID:
		v.find(Finding{Object: formatFile, What: "is that of another repository than before"})
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

// readDocuments looks at what the intents and pins say.
func (v *verification) readDocuments(ctx context.Context, _ *tally) error {
	for _, err := range v.repository.catalog.Intents(ctx) {
		if err := v.document(err); err != nil {
			return err
		}
	}
	// Whatever kind it is of, a pin that is damaged comes as an error here.
	for _, err := range v.repository.catalog.Pins(ctx) {
		if err := v.document(err); err != nil {
			return err
		}
	}
	return nil
}

// document enters what is wrong with a document that its seal has not told.
func (v *verification) document(err error) error {
	var d *catalog.DamageError
	switch {
	case errors.As(err, &d):
		if !v.broken[d.Object] {
			v.find(Finding{Object: d.Object, What: d.What})
		}
		return nil
	case errors.Is(err, catalog.ErrVersion) && len(v.broken) > 0:
		return nil // that of a damaged one
	}
	return err
}

// countOrphans asks prune what it would delete if it swept, but for what the
// policy would remove.
func (v *verification) countOrphans(ctx context.Context, _ *tally) error {
	pruned, err := v.repository.catalog.Prune(ctx, catalog.PruneOptions{
		Sweep: true, DryRun: true, Grace: time.Duration(v.repository.cfg.Retention.Grace), Owner: thisProcess(),
	})
	if errors.Is(err, catalog.ErrDamaged) || errors.Is(err, catalog.ErrVersion) {
		return nil // nobody knows what that refers to
	}
	if err != nil {
		return fmt.Errorf("count orphans: %w", err)
	}
	v.result.Orphans, v.result.OrphanBytes = pruned.Objects, pruned.Bytes
	return nil
}
