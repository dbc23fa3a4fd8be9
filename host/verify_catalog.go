package host

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// readCatalog reads everything that is not data, or only what was named.
func (v *verification) readCatalog(ctx context.Context, p *Pass) error {
	t := newTally("verify", 0, 0, v.repository.report)
	defer func() { p.Checked = t.done.FilesDone }()
	steps := []func(context.Context, *tally) error{v.readDocuments, v.readHistory, v.countOrphans, v.readSavepoints}
	if len(v.options.Snapshots) > 0 {
		steps = []func(context.Context, *tally) error{v.readNamed, v.readSavepoints}
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
		h.users = append(h.users, user{m, f})
	}
}

// readDocuments reads what is small: the format, intents, notes and pins.
func (v *verification) readDocuments(ctx context.Context, t *tally) error {
	for name, err := range v.repository.catalog.CheckDocuments(ctx) {
		var d *catalog.DamageError
		switch {
		case errors.As(err, &d):
			v.find(Finding{Object: d.Object, What: d.What})
		case errors.Is(err, catalog.ErrNoRepository):
			v.find(Finding{Object: name, What: isMissing})
		case err != nil:
			return err
		}
		t.file()
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

// countOrphans asks prune what it would delete if it swept, but for what the
// policy would remove.
func (v *verification) countOrphans(ctx context.Context, _ *tally) error {
	pruned, err := v.repository.catalog.Prune(ctx, catalog.PruneOptions{
		Sweep: true, DryRun: true, Grace: time.Duration(v.repository.config().Retention.Grace), Owner: thisProcess(),
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
