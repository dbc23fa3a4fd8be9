package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// finished is a line of the journal: a file of the snapshot that was fetched,
// checked and synced, and what became of it.
type finished struct {
	File   string         `json:"file"`
	Pieces []piece        `json:"pieces"`         // the file itself, or what a sink made of a canonical one, in key order
	Sum    *canonical.Sum `json:"sum,omitempty"`  // of the records of a canonical file that are wanted
	First  []byte         `json:"first"`          // key of these records; nil when there are none
	Read   int64          `json:"read,omitempty"` // bytes that were read of a canonical file of which a part is wanted
}

// piece is a file in a staging directory.
type piece struct {
	Path   string `json:"path"`   // within the directory
	Size   int64  `json:"size"`   // bytes
	Digest string `json:"digest"` // BLAKE3-256 in hex; of what a sink made, crcPrefix and its CRC32C
}

// crcPrefix begins the digest of a file that a sink made. It has to tell the whole file
// from what a crash left of it, for a tenth of what the other digest costs.
const crcPrefix = "crc32c:"

// fits tells whether a line can be of a file of the manifest. Where the manifest
// knows the digest of the plain bytes, nothing is taken on the journal's word.
func (e *finished) fits(f *File, wanted extent) bool {
	for _, p := range e.Pieces {
		if !filepath.IsLocal(p.Path) {
			return false
		}
	}
	if f.Kind == abi.KindCanonical {
		return e.Sum != nil && (e.First != nil) == (e.Sum.Records > 0) &&
			(e.Sum.Records == f.Records || wanted == something && e.Sum.Records < f.Records)
	}
	return len(e.Pieces) == 1 && e.Pieces[0].Path == e.File && e.Pieces[0].Size == f.Size &&
		(f.Stored > 0 || e.Pieces[0].Digest == f.Digest)
}

// resume keeps every file that an earlier attempt finished and that still is as
// the journal says, and removes all else. There must be room for what is missing.
func (w *restoration) resume(ctx context.Context, size int64) error {
	s := w.staging
	found, err := readJournal(s.work(journalFile))
	if err == nil {
		s.journal, err = openJournal(s.work(journalFile), len(found))
	}
	if err == nil {
		err = w.keep(ctx, found)
	}
	if err == nil {
		err = s.clear(w.parts)
	}
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	if err := checkSpace(filepath.Dir(s.dir), size-w.tally.done.BytesResumed); err != nil {
		return &passing{err}
	}
	return nil
}

// keep sets what is kept of the files that were found in the journal.
func (w *restoration) keep(ctx context.Context, found map[string]finished) error {
	s := w.staging
	s.kept = make(map[string]finished)
	var mu sync.Mutex // guards s.kept
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(w.workers)
	for _, p := range w.parts {
		for i := range p.Contents {
			f := &p.Contents[i]
			e, ok := found[p.path(f.Name)]
			if !ok || !e.fits(f, w.wanted.ofFile(f)) {
				continue
			}
			g.Go(func() error {
				if !s.holds(ctx, e.Pieces) {
					return ctx.Err() // whatever ails a piece, its file is fetched again
				}
				w.tally.resume(cmp.Or(e.Read, f.Size))
				mu.Lock()
				defer mu.Unlock()
				s.kept[e.File] = e
				return nil
			})
		}
	}
	return g.Wait()
}

// resume counts a file that an earlier attempt has fetched.
func (t *tally) resume(bytes int64) {
	t.mu.Lock()
	t.done.BytesResumed += bytes
	t.mu.Unlock()
	t.add(bytes, 1)
}

// holds tells whether pieces are as they were.
func (s *staging) holds(ctx context.Context, pieces []piece) bool {
	for _, want := range pieces {
		measure := s.measure
		if strings.HasPrefix(want.Digest, crcPrefix) {
			measure = s.measureMade
		}
		if p, err := measure(ctx, s.path(want)); err != nil || p != want {
			return false
		}
	}
	return true
}

func (s *staging) path(p piece) string { return filepath.Join(s.dir, p.Path) }

// measure reads a file of the staging directory.
func (s *staging) measure(ctx context.Context, path string) (piece, error) {
	m := newProof(nil, nil)
	p, err := s.measureBy(ctx, path, m)
	p.Digest = m.digest()
	return p, err
}

// measureMade reads a file that a sink made.
func (s *staging) measureMade(ctx context.Context, path string) (piece, error) {
	m := &meter{}
	p, err := s.measureBy(ctx, path, m)
	p.Digest = fmt.Sprintf("%s%08x", crcPrefix, m.crc)
	return p, err
}

func (s *staging) measureBy(ctx context.Context, path string, m *meter) (piece, error) {
	name, err := filepath.Rel(s.dir, path)
	if err != nil {
		return piece{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return piece{}, err
	}
	defer f.Close()
	m.from = &interruptible{ctx, f}
	err = drain(m)
	return piece{Path: name, Size: m.size}, err
}

// clear removes what is not kept, and makes the folders that the attempt needs.
// A canonical file is kept as a folder of tables of the same name.
func (s *staging) clear(parts []*part) error {
	s.journal.count = len(s.kept)
	folders := []string{partsFolder, tablesFolder, linksFolder}
	kept, keptTables := []string{workFolder}, []string{}
	var err error
	for _, p := range parts {
		names := []string{}
		for i := range p.Contents {
			if name := p.Contents[i].Name; s.has(p.path(name)) {
				names = append(names, name)
				keptTables = append(keptTables, p.stem()+name)
			}
		}
		if p.folder == "" {
			kept = append(kept, names...)
			continue
		}
		folders = append(folders, filepath.Base(p.folder))
		err = errors.Join(err, clearFolder(filepath.Join(s.dir, p.folder), names...))
	}
	err = errors.Join(err, clearFolder(s.dir, kept...), clearFolder(s.work(tablesFolder), keptTables...),
		clearFolder(s.work(), append(folders[1:], attemptFile, journalFile)...), clearFolder(s.work(linksFolder)))
	for _, name := range folders {
		folder := s.work(name)
		err = errors.Join(err, durable.Change("mkdir", folder, func() error { return os.MkdirAll(folder, 0o755) }))
	}
	return err
}

// has tells whether an earlier attempt has finished a file.
func (s *staging) has(path string) bool {
	_, ok := s.kept[path]
	return ok
}

// clearFolder removes all but some entries of a folder, if there is one.
func clearFolder(folder string, keep ...string) error {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	kept := make(map[string]bool, len(keep))
	for _, name := range keep {
		kept[name] = true
	}
	for _, e := range entries {
		if !kept[e.Name()] {
			err = errors.Join(err, durable.RemoveAll(filepath.Join(folder, e.Name())))
		}
	}
	return err
}

// journal lists what is finished, one line for each file, so that a later attempt
// knows. It is not synced: a power cut costs the last lines, and with them the
// files they name, but a line that is there is proven by the digests in it.
type journal struct {
	mu    sync.Mutex
	file  *os.File
	count int // files that are finished
}

// readJournal returns the files that are in a journal, if there is one, each as
// its last line says. A line that was not written to its end does not count.
func readJournal(path string) (map[string]finished, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	found := make(map[string]finished)
	for line := range bytes.Lines(text) {
		var e finished
		if json.Unmarshal(line, &e) == nil {
			found[e.File] = e
		}
	}
	return found, nil
}

// openJournal opens a journal to add lines. The last one may be torn, so the next
// must begin on a line of its own.
func openJournal(path string, count int) (*journal, error) {
	var f *os.File
	err := durable.Change("create", path, func() (err error) {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		return err
	})
	if err != nil {
		return nil, err
	}
	j := &journal{file: f, count: count}
	if err := j.write([]byte("\n")); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return j, nil
}

// add adds a line. The file that it is about must be synced by now.
func (j *journal) add(e finished) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.write(append(line, '\n')); err != nil {
		return err
	}
	j.count++
	return nil
}

func (j *journal) write(text []byte) error {
	return durable.Change("append", j.file.Name(), func() error {
		_, err := j.file.Write(text)
		return err
	})
}

// close closes the journal, for any number of times. A nil journal is closed.
func (j *journal) close() {
	if j != nil {
		_ = j.file.Close() // a line that is lost costs a file, and no more
	}
}

// passing is a failure that a later attempt may not meet: of the store, or of a
// file system that was full before anything was written.
type passing struct{ error }

// Unwrap returns the failure.
func (p *passing) Unwrap() error { return p.error }

// source opens a file like open, and tells the failures of the store from those
// of what becomes of the bytes.
func (r *Repository) source(ctx context.Context, f *File, t *tally) (io.ReadCloser, error) {
	body, err := r.open(ctx, f, t)
	if err != nil {
		return nil, asPassing(err)
	}
	return &sourceBody{body}, nil
}

type sourceBody struct{ io.ReadCloser }

func (b *sourceBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = asPassing(err)
	}
	return n, err
}

// asPassing marks the failure of a read, unless it has a class: damage stays, and
// so does the lack of a key.
func asPassing(err error) error {
	if p := (*Problem)(nil); errors.As(err, &p) {
		return err
	}
	return &passing{err}
}
