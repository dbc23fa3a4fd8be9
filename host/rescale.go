package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/surgery"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// refusesFiles says why the parts cannot become a database by their files, before
// anything is fetched, or "". An empty snapshot has no files, and needs none if the
// others that are taken have its column families.
func (w *restoration) refusesFiles() string {
	if !w.options.forRocksDB() {
		return "the records are for " + w.options.Engine
	}
	families := make(map[string]bool)
	for _, p := range w.parts {
		if p.Kind == catalog.KindNative && w.wanted.ofGroups(p.KeyGroups) != nothing {
			for _, f := range p.Families {
				families[f.Name] = true
			}
		}
	}
	for _, p := range w.parts {
		if p.Kind == catalog.KindNative {
			continue
		}
		missing := func(f catalog.Family) bool { return !families[f.Name] }
		if p.Kind != catalog.KindEmpty || slices.ContainsFunc(p.Families, missing) {
			return fmt.Sprintf("snapshot %s is %s", p.ID, p.Kind)
		}
	}
	return ""
}

// rescale makes a database of parts of native snapshots by choosing files: those
// that hold nothing wanted are not even fetched, and what lies in the others beyond
// a border is hidden. Of several parts the files across a border are rewritten, all
// others are taken as they are.
func (w *restoration) rescale(ctx context.Context) error {
	parts := slices.DeleteFunc(slices.Clone(w.parts), func(p *part) bool {
		return p.Kind == catalog.KindEmpty || w.wanted.ofGroups(p.KeyGroups) == nothing
	})
	if err := w.fetchParts(ctx, parts); err != nil {
		return err
	}
	w.result.Skipped = w.skipped(parts)
	var sources []surgery.Source
	for _, p := range parts {
		if err := w.trim(p); err != nil {
			return fmt.Errorf("%s: %w", p.ID, err)
		}
		set, err := version.Read(p.dir)
		if err != nil {
			return err
		}
		sources = append(sources, surgery.Source{Dir: p.dir, Set: set, Options: p.Options})
	}
	err := w.join(ctx, sources)
	if err == nil {
		err = writeIdentity(w.staging.dir, w.staging.attempt.Identity)
	}
	return err
}

// fetchParts makes a database of each part, several at a time.
func (w *restoration) fetchParts(ctx context.Context, parts []*part) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(w.workers)
	for _, p := range parts {
		g.Go(func() error { return w.fetchNative(ctx, p, max(1, w.workers/len(parts))) })
	}
	return g.Wait()
}

// skipped counts the files of the parts that hold nothing wanted.
func (w *restoration) skipped(taken []*part) (files int) {
	for _, p := range w.parts {
		if slices.Contains(taken, p) {
			files += p.left
		} else {
			files += p.Files
		}
	}
	return files
}

// fetchNative makes a database of a part in its folder: of the files that may hold
// something wanted, and a MANIFEST that says so. As many workers fetch.
func (w *restoration) fetchNative(ctx context.Context, p *part, workers int) error {
	if p.dir != "" {
		return nil // by an attempt to do without reading records
	}
	dir := filepath.Join(w.staging.dir, p.folder)
	isData := func(f *File) bool { return f.Kind == abi.KindTable || f.Kind == abi.KindBlob }
	if err := w.fetchSome(ctx, p, workers, func(f *File) bool { return !isData(f) && f.Kind != abi.KindStream }); err != nil {
		return err
	}
	set, err := version.Read(dir)
	if err != nil {
		return damagedMetadata(p, err)
	}
	subset, err := surgery.Subset(set, surgery.Keep{Families: w.options.Families, Range: w.borders(p)})
	if err != nil {
		return err
	}
	live := liveFiles(subset)
	if err := w.fetchSome(ctx, p, workers, func(f *File) bool { return isData(f) && live[f.Name] }); err != nil {
		return err
	}
	p.left = len(liveFiles(set)) - len(live)
	if p.left > 0 || len(set.Families) > len(subset.Families) {
		if err := surgery.WriteManifest(dir, subset); err != nil {
			return err
		}
	}
	p.dir = dir
	return nil
}

// damagedMetadata reports a MANIFEST that was stored as it was, and is no good.
func damagedMetadata(p *part, err error) error {
	return problem(CodeDamaged, fmt.Errorf("snapshot %s: %w", p.ID, err), "restore all of it, and look at it with RocksDB's own tools")
}

// liveFiles returns the names of the tables and blob files of a live set.
func liveFiles(set *version.Set) map[string]bool {
	names := make(map[string]bool)
	for _, f := range set.Families {
		for _, t := range f.Tables {
			names[t.Name()] = true
		}
		for _, b := range f.Blobs {
			names[b.Name()] = true
		}
	}
	return names
}

// fetchSome fetches some files of a part.
func (w *restoration) fetchSome(ctx context.Context, p *part, workers int, some func(*File) bool) error {
	files := slices.DeleteFunc(filesOf(p.Manifest), func(f *File) bool { return !some(f) })
	return w.eachRun(ctx, files, workers, func(ctx context.Context, from *Repository, f *File) error {
		return w.fetch(ctx, p, from, f)
	})
}

// trim hides what a part holds beyond its keys, and empties its WAL. Of one of
// several parts nothing may be left beyond a border, not even a deletion: its
// neighbour's records would vanish under it.
func (w *restoration) trim(p *part) error {
	ranges := make(map[string]surgery.Range)
	wanted := w.options.Families
	for _, f := range p.Families {
		if wanted == nil || slices.Contains(wanted, f.Name) {
			ranges[f.Name] = w.borders(p)
		}
	}
	if wanted != nil && !slices.Contains(wanted, defaultFamily) {
		ranges[defaultFamily] = surgery.Range{Upper: []byte{}} // every database has it; a WAL may fill it
	}
	rewritten, err := rocks.Trim(p.dir, ranges, len(w.parts) > 1)
	w.result.Rewritten += rewritten
	return err
}

// defaultFamily is the column family that no database is without.
const defaultFamily = "default"

// join makes one database of the sources in the staging directory.
func (w *restoration) join(ctx context.Context, sources []surgery.Source) error {
	if len(sources) == 1 {
		return linkDatabase(sources[0], w.staging.dir)
	}
	merged, err := surgery.Merge(sources)
	for tried := make(map[int]bool); err != nil; merged, err = surgery.Merge(sources) {
		var refusal *surgery.Refusal
		if !errors.As(err, &refusal) || !refusal.Curable || tried[refusal.Source] {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		tried[refusal.Source] = true
		if err := w.compact(&sources[refusal.Source]); err != nil {
			return err
		}
	}
	made := w.staging.work(newDatabase)
	if err := durable.Mkdir(made, 0o755); err != nil {
		return err
	}
	if err := merged.Write(made, linkOrMove); err != nil {
		return err
	}
	return moveFiles(made, w.staging.dir)
}

// compact compacts a source whole, and reads anew what it consists of.
func (w *restoration) compact(s *surgery.Source) error {
	before := liveFiles(s.Set)
	db, err := rocks.Open(s.Dir, rocks.Options{})
	if err != nil {
		return err
	}
	err = db.Flush()
	for _, f := range s.Set.Families {
		if err == nil { // the last level too, where deletions may lie that reach over a border
			err = db.CompactRange(f.Name, nil, nil)
		}
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if s.Set, err = version.Read(s.Dir); err != nil {
		return err
	}
	for _, f := range s.Set.Families {
		for _, t := range f.Tables {
			if !before[t.Name()] {
				w.result.Rewritten += t.Size
			}
		}
	}
	return nil
}

// linkDatabase gives the files of a database a place in another folder, CURRENT
// last.
func linkDatabase(s surgery.Source, to string) error {
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return err
	}
	live := liveFiles(s.Set)
	live[s.Set.Manifest] = true
	for _, e := range entries {
		kind, _, ok := version.FileKind(e.Name())
		isPart := live[e.Name()] || kind == abi.KindOptions || kind == abi.KindWAL
		if !ok || !isPart {
			continue
		}
		if err := linkOrMove(filepath.Join(s.Dir, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	if err := durable.SyncDir(to); err != nil {
		return err
	}
	return linkOrMove(filepath.Join(s.Dir, "CURRENT"), filepath.Join(to, "CURRENT"))
}

// linkOrMove gives a file another name, and leaves it the first where the file
// system can.
func linkOrMove(from, to string) error {
	err := durable.Link(from, to)
	if errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return durable.Move(from, to)
	}
	return err
}

// isRefusal says whether records could still be read one by one where files could
// not be taken.
func isRefusal(err error) bool {
	var refusal *surgery.Refusal
	return errors.As(err, &refusal) || errors.Is(err, rocks.ErrOutside)
}
