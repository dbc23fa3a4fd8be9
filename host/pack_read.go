package host

import (
	"cmp"
	"context"
	"io"
	"slices"

	"github.com/rocksnap/rocksnap/host/blob"
)

const (
	runBytes = 4 << 20  // of a run; a worker reads one after another, and others have their share
	runFiles = 64       // in a run
	runGap   = 64 << 10 // bytes that are rather read in vain than skipped by another request
)

// filesOf returns the files of a snapshot.
func filesOf(m *Manifest) []*File {
	files := make([]*File, len(m.Contents))
	for i := range m.Contents {
		files[i] = &m.Contents[i]
	}
	return files
}

// sideBySide groups files that lie side by side in packs, so that those of a run can be
// read with one request. A file that has its object to itself is a run.
func sideBySide(files []*File) (list [][]*File) {
	open := make(map[string]int) // index in list of the run at the end of an object
	for _, f := range slices.SortedStableFunc(slices.Values(files), func(a, b *File) int { return cmp.Compare(a.Offset(), b.Offset()) }) {
		i, ok := open[f.Object]
		if f.Segment == nil || !ok || !follows(list[i], f) {
			list = append(list, nil)
			i = len(list) - 1
			open[f.Object] = i
		}
		list[i] = append(list[i], f)
	}
	return list
}

// follows says whether a file goes well with those of a run before it.
func follows(run []*File, f *File) bool {
	last := run[len(run)-1]
	gap := f.Offset() - endOf(last)
	return gap <= runGap && len(run) < runFiles && endOf(f)-run[0].Offset() <= runBytes
}

// endOf returns where a file ends in its object.
func endOf(f *File) int64 { return f.Offset() + f.StoredSize() }

// eachRun works on runs of files, some at a time. Within a run from is a repository
// from which its files are best read in their order, each to its end, by nobody else.
func (r *Repository) eachRun(ctx context.Context, files []*File, workers int, work func(ctx context.Context, from *Repository, f *File) error) error {
	all := newParallel(ctx, workers)
	for _, run := range sideBySide(files) {
		all.run(func(ctx context.Context) error {
			from, done := r.reading(run)
			defer done()
			for _, f := range run {
				if err := work(ctx, from, f); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.wait()
}

// reading returns the repository for one goroutine that reads files of one object
// in their order.
func (r *Repository) reading(run []*File) (from *Repository, done func()) {
	if len(run) < 2 {
		return r, func() {}
	}
	ahead := &neighbours{Store: r.store, object: run[0].Object, end: endOf(run[len(run)-1])}
	other := *r
	other.store = ahead
	return &other, ahead.drop
}

// neighbours is a store of which parts of one object are read, one after the other,
// with one request. It serves one goroutine.
type neighbours struct {
	blob.Store
	object string
	end    int64         // of the last part
	body   io.ReadCloser // from at to end; nil before the first part and after a failure
	at     int64
}

// Open implements blob.Store.
func (n *neighbours) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if name != n.object || offset < 0 || length < 1 || offset+length > n.end {
		return n.Store.Open(ctx, name, offset, length)
	}
	if n.body == nil || offset < n.at || offset > n.at+runGap || n.skip(offset-n.at) != nil {
		n.drop()
		body, err := n.Store.Open(ctx, name, offset, n.end-offset)
		if err != nil { // the end may be missing, and this part be there
			return n.Store.Open(ctx, name, offset, length)
		}
		n.body, n.at = body, offset
	}
	return &neighbour{n, length}, nil
}

func (n *neighbours) skip(bytes int64) error {
	skipped, err := io.CopyN(io.Discard, n.body, bytes)
	n.at += skipped
	return err
}

func (n *neighbours) drop() {
	if n.body != nil {
		n.body.Close()
		n.body = nil
	}
}

// neighbour is one part.
type neighbour struct {
	of   *neighbours
	left int64 // bytes
}

// Read implements io.Reader.
func (p *neighbour) Read(b []byte) (int, error) {
	switch {
	case p.left == 0:
		return 0, io.EOF
	case p.of.body == nil:
		return 0, io.ErrClosedPipe
	}
	n, err := p.of.body.Read(b[:min(int64(len(b)), p.left)])
	p.of.at, p.left = p.of.at+int64(n), p.left-int64(n)
	switch {
	case err == nil || err == io.EOF && p.left == 0: // which the next call tells
		return n, nil
	case err == io.EOF:
		err = io.ErrUnexpectedEOF
	}
	p.of.drop()
	return n, err
}

// Close leaves what follows to the next part.
func (p *neighbour) Close() error { return nil }
