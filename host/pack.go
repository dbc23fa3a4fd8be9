package host

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// smallFile is an upload that waits for others, to go into an object with them.
type smallFile struct {
	request *request
	id      uint32
	entry   catalog.File
	err     error
}

// bundle is what goes into the next pack of a scope. Private files die with
// their snapshot, and would leave holes among the shared ones.
type bundle struct {
	files []*smallFile
	size  int64 // bytes of the files
}

// isSmall says whether a file shares an object with others.
func (s *session) isSmall(f *capturedFile) bool {
	p := s.generation.cfg.Repository.Pack
	return p != nil && !s.dry && !s.links(f.entry.Kind) && f.entry.Size < int64(p.Below)
}

// bundle accepts the upload of a small file. It is queued when the pack is full, or
// when nothing else is under way that a strategy could wait for: however many it
// submits before it waits, it waits for something that will end.
func (s *session) bundle(r abi.Upload, f *capturedFile) bool {
	if !s.transfers.hold() {
		return false
	}
	entry := s.entryOf(r, f)
	if g := s.bundles[entry.Scope]; g != nil && g.size+entry.Size > int64(s.generation.cfg.Repository.Pack.Into) {
		s.dispatch(entry.Scope)
	}
	if s.bundles == nil {
		s.bundles = make(map[abi.Scope]*bundle)
	}
	g := s.bundles[entry.Scope]
	if g == nil {
		g = new(bundle)
		s.bundles[entry.Scope] = g
	}
	request := &request{completion: abi.Completion{User: r.User, Op: abi.OpUpload, Bytes: uint64(entry.Size)}, failed: s.ledger.fail}
	g.files = append(g.files, &smallFile{request: request, id: r.File, entry: entry})
	g.size += entry.Size
	return true
}

// dispatch has a worker store the bundle of a scope.
func (s *session) dispatch(scope abi.Scope) {
	files := s.bundles[scope].files
	delete(s.bundles, scope)
	s.transfers.queue(len(files), func(ctx context.Context) { s.storeSmall(ctx, files) })
}

func (s *session) dispatchAll() {
	for scope := range s.bundles {
		s.dispatch(scope)
	}
}

// storeSmall stores files as one object, except for what a session that was killed
// has stored of them, and ends their requests.
func (s *session) storeSmall(ctx context.Context, files []*smallFile) {
	var begun, fresh []*smallFile
	for _, f := range files {
		if f.err = s.ledger.begin(f.id, f.entry.Name); f.err != nil {
			continue
		}
		begun = append(begun, f)
		if !s.resume(ctx, &f.entry, s.claim(&f.entry)) {
			fresh = append(fresh, f)
		}
	}
	s.storePacked(ctx, fresh)
	s.noteSmall(ctx, begun)
	for _, f := range begun {
		s.ledger.end(f.id, f.entry, f.err)
	}
	for _, f := range files {
		s.transfers.complete(f.request, f.err)
	}
}

func (s *session) noteSmall(ctx context.Context, files []*smallFile) {
	var stored []*catalog.File
	for _, f := range files {
		if f.err == nil {
			stored = append(stored, &f.entry)
		}
	}
	if err := s.note(ctx, stored...); err != nil {
		fail(files, err)
	}
}

// storePacked stores files as one object. One that cannot be read fails alone, and
// one that is left alone has an object to itself.
func (s *session) storePacked(ctx context.Context, files []*smallFile) {
	for len(files) > 1 {
		entries := make([]catalog.File, len(files))
		segments := make([]segment, len(files))
		for i, f := range files {
			entries[i] = f.entry
			segments[i] = s.segment(&entries[i])
		}
		bad, err := s.host.createPack(ctx, s.run.Mint(), segments)
		if err == nil {
			for i, f := range files {
				f.entry = entries[i]
			}
			return
		}
		if bad < 0 || ctx.Err() != nil {
			fail(files, fmt.Errorf("upload: %w", err))
			return
		}
		files[bad].err = err
		files = slices.Delete(files, bad, bad+1)
	}
	for _, f := range files {
		f.err = s.sendFile(ctx, &f.entry, s.run.Mint())
	}
}

// fail fails those files that have not failed by themselves.
func fail(files []*smallFile, err error) {
	for _, f := range files {
		if f.err == nil {
			f.err = err
		}
	}
}

// segment is a file of the checkpoint on its way into a pack.
func (s *session) segment(entry *catalog.File) segment {
	var o *outgoing
	want := entry.Size
	return segment{
		file: entry,
		open: func() (io.ReadCloser, error) {
			file, err := os.Open(filepath.Join(s.capture.dir, entry.Name))
			if err != nil {
				return nil, fmt.Errorf("upload: %w", err)
			}
			if o, err = s.send(file); err != nil {
				file.Close()
				return nil, err
			}
			return readCloser{o.stored, file}, nil
		},
		end: func() error {
			s.describe(entry, o)
			return proveRead(entry, want, o.plain.crc)
		},
	}
}

// wasteful lists the packs of a base of which too little is still in the checkpoint:
// what is, is stored anew, so that they can go. Those of another history stay in any
// case as long as that needs them.
func (s *session) wasteful() map[string]bool {
	p := s.generation.cfg.Repository.Pack
	if p == nil || p.MaxSpaceAmplification < 1 || s.base == nil || s.base.Lineage != s.lineage.id {
		return nil
	}
	live, size := make(map[string]int64), make(map[string]int64) // bytes, by object
	for _, f := range s.shared {
		if f.Segment != nil {
			size[f.Object] = f.Segment.Pack
		}
	}
	for i := range s.capture.files {
		if base := s.capture.files[i].in(s.shared); base != nil && base.Segment != nil {
			live[base.Object] += base.StoredSize()
		}
	}
	wasteful := make(map[string]bool)
	for object := range size {
		wasteful[object] = float64(size[object]) > p.MaxSpaceAmplification*float64(live[object])
	}
	return wasteful
}
