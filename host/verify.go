package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Level is how deep a verification goes; each contains the ones before it.
type Level string

// The levels.
const (
	LevelCatalog Level = "catalog" // every manifest decodes and follows its parent
	LevelObjects Level = "objects" // every object exists with its size
	LevelData    Level = "data"    // every object has its digest
	LevelRestore Level = "restore" // every snapshot is restored, opened and read
)

// Levels lists the levels from cheap to thorough.
var Levels = []Level{LevelCatalog, LevelObjects, LevelData, LevelRestore}

// Finding is one thing that is wrong.
type Finding struct {
	Snapshot string // id
	File     string // name in the manifest, "" for the manifest itself
	Object   string // name in the store
	What     string
}

// Verified is the outcome of a verification.
type Verified struct {
	Level     Level
	Snapshots int
	Objects   int
	Bytes     int64 // of objects that were looked at
	Problems  []Finding
}

// Verify checks the named snapshots, or all of them when none is named. Damage is
// in the result; the error is for what kept it from looking.
func (r *Repository) Verify(ctx context.Context, level Level, refs ...string) (*Verified, error) {
	if !slices.Contains(Levels, level) {
		return nil, problem(CodeUsage, fmt.Errorf("verify: no level %q", level), "use catalog, objects, data or restore")
	}
	v := &verification{repository: r, result: Verified{Level: level}}
	manifests, err := v.manifests(ctx, refs)
	if err != nil {
		return nil, err
	}
	v.result.Snapshots = len(manifests)
	if level == LevelCatalog {
		return &v.result, nil
	}
	if err := v.objects(ctx, manifests); err != nil {
		return nil, err
	}
	if err := v.modules(ctx, manifests); err != nil {
		return nil, err
	}
	if level == LevelRestore {
		err = v.drills(ctx, manifests)
	}
	return &v.result, err
}

type verification struct {
	repository *Repository
	mu         sync.Mutex // guards result
	result     Verified
}

func (v *verification) find(f Finding) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.result.Problems = append(v.result.Problems, f)
}

// manifests reads what is to be verified; reading proves the shape.
func (v *verification) manifests(ctx context.Context, refs []string) ([]*Manifest, error) {
	var list []*Manifest
	if len(refs) > 0 {
		for _, ref := range refs {
			m, err := v.repository.Find(ctx, ref)
			if err != nil {
				return nil, err
			}
			list = append(list, m)
		}
		return list, nil
	}
	for m, err := range v.repository.catalog.Check(ctx) {
		var d *catalog.DamageError
		switch {
		case errors.As(err, &d):
			v.find(Finding{Object: d.Object, What: d.What})
		case err != nil:
			return nil, fmt.Errorf("verify: %w", err)
		}
		if m != nil {
			list = append(list, m)
		}
	}
	return list, nil
}

// objects looks at each object once and blames every file that refers to it.
func (v *verification) objects(ctx context.Context, manifests []*Manifest) error {
	files := make(map[string][]Finding) // by object
	want := make(map[string]*File)
	for _, m := range manifests {
		for i := range m.Contents {
			f := &m.Contents[i]
			files[f.Object] = append(files[f.Object], Finding{Snapshot: m.ID, File: f.Name, Object: f.Object})
			if want[f.Object] == nil {
				want[f.Object] = f
				v.result.Bytes += f.Size
			}
		}
	}
	v.result.Objects = len(want)
	t := newTally("verify", v.result.Bytes, len(want), v.repository.report)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(v.repository.workers)
	for object, f := range want {
		g.Go(func() error {
			what, err := v.look(ctx, f, t)
			for _, finding := range files[object] {
				if what != "" {
					finding.What = what
					v.find(finding)
				}
			}
			return err
		})
	}
	return g.Wait()
}

// modules reads the module of each strategy that took a snapshot, once.
func (v *verification) modules(ctx context.Context, manifests []*Manifest) error {
	seen := make(map[string]string) // what is wrong, by digest
	for _, m := range manifests {
		digest := m.Strategy.Module
		what, known := seen[digest]
		if !known && digest != "" {
			_, err := v.repository.catalog.Module(ctx, digest)
			switch {
			case errors.Is(err, fs.ErrNotExist):
				what = "missing"
			case errors.Is(err, catalog.ErrDamaged):
				what = "its digest is wrong"
			case err != nil:
				return fmt.Errorf("verify: %w", err)
			}
			seen[digest] = what
		}
		if what != "" {
			v.find(Finding{Snapshot: m.ID, Object: catalog.ModuleName(digest), What: what})
		}
	}
	return nil
}

// look returns what is wrong with an object, or "".
func (v *verification) look(ctx context.Context, f *File, t *tally) (what string, err error) {
	defer t.file()
	if v.result.Level == LevelObjects {
		info, err := v.repository.store.Stat(ctx, f.Object)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "missing", nil
		case err != nil:
			return "", fmt.Errorf("verify: %w", err)
		case info.Size != f.Size:
			return fmt.Sprintf("has %d bytes instead of %d", info.Size, f.Size), nil
		}
		t.bytes(int(f.Size))
		return "", nil
	}
	body, err := v.repository.open(ctx, f, t)
	if err == nil {
		_, err = io.Copy(io.Discard, body)
		body.Close()
	}
	if CodeOf(err) == CodeDamaged {
		return err.Error(), nil
	}
	return "", err
}

// drills restores each snapshot, one at a time, and compares the content digest
// with the recorded one where it is known.
func (v *verification) drills(ctx context.Context, manifests []*Manifest) error {
	var failed []error
	for _, m := range manifests {
		content, err := v.repository.drill(ctx, m)
		switch {
		case errors.Is(err, context.Canceled):
			return err
		case errors.Is(err, rocks.ErrForeign):
			v.repository.log.Warn("the snapshot was restored but not read", "snapshot", m.ID, "reason", err)
		case CodeOf(err) == CodeDamaged, errors.Is(err, abi.ECORRUPT):
			v.find(Finding{Snapshot: m.ID, What: "cannot be restored: " + err.Error()})
		case err != nil: // it says nothing about the snapshot
			failed = append(failed, fmt.Errorf("verify: drill: %w", err))
		case m.ContentDigest != "" && m.ContentDigest != content.Digest:
			v.find(Finding{Snapshot: m.ID, What: fmt.Sprintf("restores to content %s instead of %s", content.Digest, m.ContentDigest)})
		}
	}
	return errors.Join(failed...)
}
