package host

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// objectWriter is a stored object that is written piece by piece. It exists in
// the store only after finish.
type objectWriter struct {
	pipe  *io.PipeWriter
	entry catalog.File
	done  chan error
}

func (s *session) createObject(ctx context.Context, entry catalog.File) *objectWriter {
	r, w := io.Pipe()
	o := &objectWriter{pipe: w, entry: entry, done: make(chan error, 1)}
	// A strategy that fails leaves its streams open; the end of its context
	// frees the store from waiting for more.
	release := context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
	s.writers.Go(func() {
		defer release()
		err := s.keep(ctx, &o.entry, r)
		r.CloseWithError(err) // a writer must not wait for a store that gave up
		o.done <- err
	})
	return o
}

// keep stores what it reads. A plan only counts it.
func (s *session) keep(ctx context.Context, entry *catalog.File, r io.Reader) error {
	if s.dry {
		size, err := io.Copy(io.Discard, r)
		entry.Size = size
		return err
	}
	_, err := s.store(ctx, entry, s.run.Mint(), r)
	return err
}

func (o *objectWriter) Write(p []byte) (int, error) { return o.pipe.Write(p) }

// finish ends the object and returns its entry once it is stored.
func (o *objectWriter) finish() (catalog.File, error) {
	o.pipe.Close()
	err := <-o.done
	return o.entry, err
}

// abandon leaves no object behind and returns the error that led to it.
func (o *objectWriter) abandon(cause error) error {
	o.pipe.CloseWithError(cause)
	<-o.done
	return cause
}

// recordsWriter writes packed records into an object in the canonical format.
type recordsWriter struct {
	*canonical.Writer
	object *objectWriter
}

// openRecords starts an object for a range of records.
func (s *session) openRecords(ctx context.Context, r keyRange, o canonical.Options) (*recordsWriter, error) {
	object := s.createObject(ctx, catalog.File{
		Kind: abi.KindCanonical, Family: r.family.Name, Level: -1,
		Name:       fmt.Sprintf("%03d-%06d.canonical", r.family.ID, s.ledger.number()),
		FirstGroup: r.first, LastGroup: r.last, SmallestKey: r.lower, LargestKey: r.upper,
	})
	w, err := canonical.NewWriter(object, s.header(r), o)
	if err != nil {
		return nil, object.abandon(err)
	}
	return &recordsWriter{w, object}, nil
}

func (w *recordsWriter) finish() (catalog.File, canonical.Sum, error) {
	totals, err := w.Writer.Close()
	if err != nil {
		return catalog.File{}, canonical.Sum{}, w.object.abandon(err)
	}
	entry, err := w.object.finish()
	entry.Records = totals.Records
	return entry, totals.Digest, err
}

func (w *recordsWriter) abandon(cause error) error { return w.object.abandon(cause) }

// ScanOpen starts to read records.
func (s *session) ScanOpen(family, first, last uint32) (abi.Scan, error) {
	if err := s.allow("scan_open", abi.PhaseSnapshot); err != nil {
		return nil, err
	}
	r, err := s.keyRange(family, first, last)
	if err != nil {
		return nil, err
	}
	scan, err := s.view.Scan(family, r.lower, r.upper)
	if err != nil {
		return nil, err
	}
	return &guestScan{Scan: scan, session: s, read: coverage{family: family, first: first, last: last}}, nil
}

// guestScan sums up what a guest reads, for comparison with what it writes.
type guestScan struct {
	*rocks.Scan
	session *session
	read    coverage
	ended   bool
}

// Next fills a block of whole records.
func (g *guestScan) Next(buf []byte) (int, error) {
	if err := g.session.ctx.Err(); err != nil {
		return 0, err
	}
	n, _, err := g.Scan.Next(buf)
	if err != nil {
		if !errors.Is(err, abi.EBUF) { // which tells the guest to come with a larger buffer
			g.session.ledger.fail(err)
		}
		return 0, err
	}
	if n == 0 && !g.ended {
		g.ended = true
		g.session.ledger.scanned(g.read)
	}
	return n, g.read.sum.AddBlock(buf[:n])
}

// Close ends the scan.
func (g *guestScan) Close() error {
	g.Scan.Close()
	return nil
}

// StreamOpen starts an object that the guest fills.
func (s *session) StreamOpen(spec abi.StreamSpec) (abi.Stream, error) {
	if err := s.allow("stream_open", abi.PhaseSnapshot); err != nil {
		return nil, err
	}
	if spec.Flags&^abi.StreamTransformed != 0 {
		return nil, fmt.Errorf("stream flags %#x: %w", spec.Flags, abi.EINVAL)
	}
	switch spec.Kind {
	case abi.StreamRaw:
		s.ledger.opened(1)
		return &rawStream{session: s, object: s.createObject(s.ctx, catalog.File{
			Kind: abi.KindStream, Level: -1, Name: fmt.Sprintf("stream-%06d", s.ledger.number()),
		})}, nil
	case abi.StreamRecords:
		return s.openRecordsStream(spec)
	}
	return nil, fmt.Errorf("stream kind %d: %w", spec.Kind, abi.EINVAL)
}

func (s *session) openRecordsStream(spec abi.StreamSpec) (abi.Stream, error) {
	r, err := s.keyRange(spec.Family, spec.FirstGroup, spec.LastGroup)
	if err != nil {
		return nil, err
	}
	out, err := s.openRecords(s.ctx, r, canonical.Options{Codec: spec.Codec})
	if err != nil {
		return nil, err
	}
	s.ledger.opened(1)
	return &recordsStream{session: s, out: out, covered: coverage{
		family: spec.Family, first: spec.FirstGroup, last: spec.LastGroup,
		streamed: true, transformed: spec.Flags&abi.StreamTransformed != 0,
	}}, nil
}

// rawStream is an object of opaque bytes.
type rawStream struct {
	session *session
	object  *objectWriter
	closed  bool
}

func (r *rawStream) Write(p []byte) (int, error) {
	if r.closed {
		return 0, fmt.Errorf("write to a closed stream: %w", abi.EBADH)
	}
	return r.object.Write(p)
}

func (r *rawStream) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	entry, err := r.object.finish()
	if err != nil {
		r.session.ledger.fail(err)
		return err
	}
	r.session.ledger.opened(-1)
	r.session.ledger.streamed(entry)
	return nil
}

// recordsStream is an object of records that the guest packs.
type recordsStream struct {
	session *session
	out     *recordsWriter
	covered coverage
	closed  bool
}

func (r *recordsStream) Write(p []byte) (int, error) {
	if r.closed {
		return 0, fmt.Errorf("write to a closed stream: %w", abi.EBADH)
	}
	if err := r.out.WriteBlock(p); err != nil {
		r.session.ledger.fail(err)
		return 0, err
	}
	return len(p), nil
}

func (r *recordsStream) Close() error {
	if r.closed {
		return nil
	}
	r.closed = true
	entry, sum, err := r.out.finish()
	if err != nil {
		r.session.ledger.fail(err)
		return err
	}
	r.covered.sum, r.covered.entries = sum, []catalog.File{entry}
	r.session.ledger.opened(-1)
	r.session.ledger.cover(r.covered)
	return nil
}

// Pump moves a block from a scan into a stream, and leaves it in buf.
func (s *session) Pump(from abi.Scan, to abi.Stream, buf []byte) (int, error) {
	if err := s.allow("pump", abi.PhaseSnapshot); err != nil {
		return 0, err
	}
	n, err := from.Next(buf)
	if err != nil || n == 0 {
		return 0, err
	}
	return to.Write(buf[:n])
}
