package host

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/sink"
)

// restoreRecords makes a new database with the options and column families of
// the parts, writes what is wanted of their records into runs beside it, and has
// it take these. An attempt goes on from the runs of an earlier one, but not from
// its database.
func (w *restoration) restoreRecords(ctx context.Context) error {
	kind, err := kindOf(w.options.Engine)
	if err != nil {
		return err
	}
	if err := w.proveApart(); err != nil {
		return err
	}
	made := w.staging.work(newDatabase)
	out, err := kind.Create(made, sink.Spec{Families: w.wanted.families, Options: w.parts[0].Options})
	if err != nil {
		return err
	}
	defer out.Abort()
	err = w.load(ctx, out)
	if ended := w.closeViews(); err == nil {
		err = ended
	}
	if err == nil {
		err = out.Close()
	}
	if err != nil {
		return err
	}
	return moveFiles(made, w.staging.dir)
}

// moveFiles moves what is in one folder into another.
func moveFiles(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := durable.Move(filepath.Join(from, e.Name()), filepath.Join(to, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// runs are the records that were written beside the database.
type runs struct {
	mu   sync.Mutex // guards list
	list []writtenRun
}

// writtenRun is a run of records of one part.
type writtenRun struct {
	finished
	part   *part
	family string
	group  uint32 // first key group that it may hold
}

func (r *runs) add(run writtenRun) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.list = append(r.list, run)
}

// load writes the runs of all parts in parallel, and has the database take those
// of each column family at once.
func (w *restoration) load(ctx context.Context, out sink.Sink) error {
	r := &runs{}
	g, run := errgroup.WithContext(ctx)
	g.SetLimit(w.workers)
	for _, p := range w.parts {
		if w.wanted.ofGroups(p.KeyGroups) == nothing {
			w.result.Skipped += len(p.Contents)
			continue
		}
		if err := w.loadPart(run, g, p, out, r); err != nil {
			g.Go(func() error { return err }) // what is under way ends first
			break
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := w.prove(r.list); err != nil {
		return err
	}
	for _, f := range w.wanted.families {
		files := w.sorted(r.list, f.Name)
		if len(files) == 0 {
			continue
		}
		if err := out.Load(f.Name, w.staging.linked(files)); err != nil {
			return err
		}
	}
	return nil
}

// loadPart starts to write the runs of a part.
func (w *restoration) loadPart(ctx context.Context, g *errgroup.Group, p *part, out sink.Sink, r *runs) error {
	if p.Kind == catalog.KindNative {
		return w.scanPart(ctx, g, p, out, r)
	}
	for i := range p.Contents {
		f := &p.Contents[i]
		if w.wanted.ofFile(f) == nothing {
			w.result.Skipped++
			continue
		}
		g.Go(func() error {
			e, err := w.importFile(ctx, p, f, out)
			if err == nil {
				r.add(writtenRun{e, p, f.Family, f.FirstGroup})
			}
			return err
		})
	}
	return nil
}

// prove compares what was loaded of parts that are wanted as a whole with their
// content digests. Of the others no digest is known: their frames have checksums,
// as tables do, and the store returned what was asked for or failed.
func (w *restoration) prove(list []writtenRun) error {
	for _, p := range w.parts {
		sums := make(map[string]canonical.Sum)
		for _, run := range list {
			if run.part == p {
				sums[run.family] = sums[run.family].Merge(*run.Sum)
				w.result.Records += run.Sum.Records
			}
		}
		whole := w.options.Families == nil && w.wanted.ofGroups(p.KeyGroups) == everything
		if digest := canonical.Database(sums); whole && p.ContentDigest != "" && digest != p.ContentDigest {
			return problem(CodeDamaged, fmt.Errorf("the records have content digest %s, the manifest says %s: %w", digest, p.ContentDigest, abi.ECORRUPT), "")
		}
	}
	return nil
}

// sorted returns the files of a column family in key order.
func (w *restoration) sorted(list []writtenRun, family string) (files []string) {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b writtenRun) int {
		return cmp.Or(cmp.Compare(a.group, b.group), bytes.Compare(a.First, b.First))
	})
	for _, run := range list {
		for _, p := range run.Pieces {
			if run.family == family {
				files = append(files, w.staging.path(p))
			}
		}
	}
	return files
}

// linked gives files second names. A sink may take the names that it is given
// away; the first stay for an attempt that follows this one. Where the file system
// has no links that attempt has to fetch them again.
func (s *staging) linked(files []string) []string {
	links := make([]string, len(files))
	for i, file := range files {
		links[i] = s.work(linksFolder, filepath.Base(file))
		if err := durable.Link(file, links[i]); err != nil {
			links[i] = file
		}
	}
	return links
}

// importFile turns a canonical file into a run, unless an earlier attempt did.
func (w *restoration) importFile(ctx context.Context, from *part, f *File, out sink.Sink) (finished, error) {
	s, name := w.staging, from.path(f.Name)
	if e, done := s.kept[name]; done {
		return e, nil
	}
	e, err := w.writeRun(out, f.Family, s.work(tablesFolder, from.stem()+f.Name), func(run *runWriter) error {
		if w.wanted.ofFile(f) == everything {
			return w.readWhole(ctx, f, run)
		}
		return w.readRange(ctx, from, f, run)
	})
	if err == nil {
		err = w.measureRun(ctx, &e)
	}
	if err != nil {
		return finished{}, fmt.Errorf("import %s: %w", f.Name, err)
	}
	e.File = name
	w.tally.file()
	return e, s.journal.add(e)
}

// readWhole reads all records of a canonical file into a run, which proves it.
func (w *restoration) readWhole(ctx context.Context, f *File, run *runWriter) error {
	body, err := w.source(ctx, f, w.tally)
	if err != nil {
		return err
	}
	defer body.Close()
	reader, err := canonical.NewStreamReader(body)
	if err != nil {
		return unreadable(f, err)
	}
	for block, err := range reader.Blocks() {
		if err != nil {
			return unreadable(f, err)
		}
		if err := run.add(block); err != nil {
			return err
		}
	}
	sum := reader.Totals().Digest
	run.Sum = &sum
	return nil
}

// runWriter writes a run, and notes what a journal has to know of it.
type runWriter struct {
	finished
	sink.Run
}

// add writes packed records.
func (r *runWriter) add(packed []byte) error {
	if r.First == nil {
		for key := range canonical.Records(packed) {
			r.First = append([]byte{}, key...)
			break
		}
	}
	return r.AddBlock(packed)
}

// writeRun has read write records into a run in a new folder.
func (w *restoration) writeRun(out sink.Sink, family, dir string, read func(*runWriter) error) (finished, error) {
	if err := durable.Mkdir(dir, 0o755); err != nil {
		return finished{}, err
	}
	run, err := out.NewRun(family, dir)
	if err != nil {
		return finished{}, err
	}
	defer run.Close()
	writer := &runWriter{Run: run}
	if err := read(writer); err != nil {
		return finished{}, err
	}
	files, err := run.Finish()
	for _, path := range files {
		writer.Pieces = append(writer.Pieces, piece{Path: path})
	}
	return writer.finished, err
}

// measureRun completes what is known of the files of a run.
func (w *restoration) measureRun(ctx context.Context, e *finished) (err error) {
	for i := range e.Pieces {
		if e.Pieces[i], err = w.staging.measureMade(ctx, e.Pieces[i].Path); err != nil {
			return err
		}
	}
	return nil
}
