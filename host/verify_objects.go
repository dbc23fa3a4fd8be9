package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// askStore asks for every object and module once.
func (v *verification) askStore(ctx context.Context, p *Pass) error {
	p.Checked, p.Bytes = len(v.objects)+len(v.modules), v.result.Bytes
	t := newTally("verify", p.Bytes, p.Checked, v.repository.report)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(v.repository.workers)
	for _, h := range v.objects {
		g.Go(func() error {
			what, err := v.repository.inspect(ctx, h.file)
			if what != "" {
				v.blame(h, what)
			}
			t.add(h.file.ObjectSize(), 1)
			return err
		})
	}
	for digest := range v.modules {
		g.Go(func() error {
			_, err := v.repository.store.Stat(ctx, catalog.ModuleName(digest))
			if errors.Is(err, fs.ErrNotExist) {
				v.blameModule(digest, isMissing)
				err = nil
			}
			t.file()
			return err
		})
	}
	return g.Wait()
}

func (v *verification) blameModule(digest, what string) {
	for _, m := range v.modules[digest] {
		v.find(Finding{Snapshot: m.ID, Object: catalog.ModuleName(digest), What: what})
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.broken[catalog.ModuleName(digest)] = true
}

// readData reads every object of the sample that the store does not know to be
// damaged, and every module. It goes by snapshots, so that prune has to leave
// alone only what is being read.
func (v *verification) readData(ctx context.Context, p *Pass) error {
	todo := v.sample(p)
	t := newTally("verify", p.Bytes, p.Checked, v.repository.report)
	for _, m := range v.manifests {
		var batch []*holding
		for i := range m.Contents {
			object := m.Contents[i].Object
			if h := todo[object]; h != nil {
				batch = append(batch, h)
				delete(todo, object)
			}
		}
		if len(batch) == 0 {
			continue
		}
		if err := v.readBatch(ctx, m, batch, t); err != nil {
			return err
		}
	}
	return v.readModules(ctx, t)
}

// sample lists the objects to be read, and counts them and the modules.
func (v *verification) sample(p *Pass) map[string]*holding {
	todo := make(map[string]*holding)
	for object, h := range v.objects {
		switch {
		case v.isBroken(object):
		case !v.options.Sample.takes(object):
			p.Left++
		default:
			todo[object] = h
			p.Checked++
			p.Bytes += h.bytes()
		}
	}
	for digest := range v.modules {
		switch name := catalog.ModuleName(digest); {
		case v.isBroken(name):
		case !v.options.Sample.takes(name):
			p.Left++
		default:
			p.Checked++
		}
	}
	return todo
}

// readBatch reads objects of a snapshot while a pin holds it. Those of a snapshot
// that was removed meanwhile are nobody's loss, or another snapshot's: then they
// are read all the same, and forgive decides.
func (v *verification) readBatch(ctx context.Context, m *Manifest, batch []*holding, t *tally) error {
	release, err := v.repository.hold(ctx, m, "verify")
	switch {
	case err == nil:
		defer release()
	case !errors.Is(err, catalog.ErrRemoved):
		return err
	}
	plain := m.KeyGroups != nil && v.repository.keys.reveal(m) == nil
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(v.repository.workers)
	for _, h := range batch {
		g.Go(func() error {
			defer t.file()
			if plain && h.file.Kind == abi.KindCanonical {
				what, err := v.repository.readKeys(ctx, m, h.file, t)
				if what != "" {
					v.blame(h, what)
				}
				return err
			}
			return v.readHolding(ctx, h, t)
		})
	}
	return g.Wait()
}

// readHolding reads all that an object holds.
func (v *verification) readHolding(ctx context.Context, h *holding, t *tally) error {
	files := h.files()
	from, done := v.repository.reading(files)
	defer done()
	for _, f := range files {
		what, err := from.readObject(ctx, f, t.bytes)
		if what != "" {
			v.blame(h, what, f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readObject reads what an object holds of a file and says what is wrong with it,
// or "".
func (r *Repository) readObject(ctx context.Context, f *File, moved func(n int)) (what string, err error) {
	body, err := r.openStored(ctx, f, moved)
	if err == nil {
		err = drain(body)
		body.Close()
	}
	var d *objectDamage
	if errors.As(err, &d) {
		return d.what, nil
	}
	return "", err
}

// readModules reads the modules of the sample. Each says by its name what it is.
func (v *verification) readModules(ctx context.Context, t *tally) error {
	for digest := range v.modules {
		name := catalog.ModuleName(digest)
		if v.isBroken(name) || !v.options.Sample.takes(name) {
			continue
		}
		_, err := v.repository.catalog.Module(ctx, digest)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			v.blameModule(digest, isMissing)
		case errors.Is(err, catalog.ErrDamaged):
			v.blameModule(digest, "has changed: its digest is wrong")
		case err != nil:
			return err
		}
		t.file()
	}
	return nil
}

// drill restores the snapshots of the sample, one at a time. One of which an
// object is known to be damaged needs no proof that it cannot be restored. A
// failure that says nothing about the snapshot does not keep the others from
// theirs.
func (v *verification) drill(ctx context.Context, p *Pass) error {
	var failed []error
	for _, m := range v.manifests {
		if v.isBroken(m.ID) {
			continue
		}
		if !v.options.Sample.takes(m.ID) {
			p.Left++
			continue
		}
		what, err := v.drillOne(ctx, m)
		if what != "" {
			v.find(Finding{Snapshot: m.ID, What: what})
		}
		if ctx.Err() != nil {
			return fmt.Errorf("drill: %w", ctx.Err())
		}
		switch {
		case errors.Is(err, catalog.ErrRemoved):
		case errors.Is(err, rocks.ErrForeign):
			p.Unread++
			v.repository.log.Warn("the snapshot was restored but not read", "snapshot", m.ID, "reason", err)
		case err != nil:
			p.Unread++
			failed = append(failed, fmt.Errorf("drill: %w", err))
		default:
			p.Checked++
			p.Bytes += m.BytesFull
		}
	}
	return errors.Join(failed...)
}

// drillOne says what is wrong with a snapshot, or "". It fails with
// [catalog.ErrRemoved] when prune has removed the snapshot, and with
// [rocks.ErrForeign] when only the application can read it.
func (v *verification) drillOne(ctx context.Context, m *Manifest) (what string, err error) {
	r := v.repository
	release, err := r.hold(ctx, m, "verify")
	if err != nil {
		return "", err
	}
	defer release()
	var census keyCensus
	l := look{}
	if m.KeyGroups != nil {
		census.groups, l.at = m.KeyGroups, census.count
	}
	content, err := r.drill(ctx, m, l) // which also decrypts what is encrypted of the manifest
	switch {
	case CodeOf(err) == CodeDamaged, errors.Is(err, abi.ECORRUPT):
		return "cannot be restored: " + strings.TrimPrefix(err.Error(), "restore "+m.ID+": "), nil
	case err != nil:
		return "", err
	case m.ContentDigest != "" && m.ContentDigest != content.Digest:
		return fmt.Sprintf("restores to content %s instead of %s", content.Digest, m.ContentDigest), nil
	}
	return census.what(), nil
}
