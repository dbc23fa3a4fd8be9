package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
)

// pack stores a pack again that is missing or damaged. That takes every byte of it:
// what is damaged from another place, and the rest from a copy that is set aside,
// which keeps later snapshots from reusing it as long as it is there.
func (p *repair) pack(ctx context.Context, h *holding) (outcome, error) {
	whole, missing, err := p.isWhole(ctx, h)
	if err != nil || whole {
		return outcome{true, "it is whole again"}, err
	}
	aside := asideName(h.file.Object)
	if !missing {
		if _, err := p.host.copyAside(ctx, h.file.Object); err != nil {
			return outcome{}, err
		}
	}
	pieces, places, err := p.pieces(ctx, h, aside)
	if err == nil && pieces != nil {
		err = p.host.heal(ctx, h.file.Object, source{open: func() (io.ReadCloser, error) { return joined(pieces, h.file) }})
	}
	switch {
	case errors.Is(err, abi.ECORRUPT), errors.Is(err, abi.ECONFLICT), err == nil && pieces == nil:
		return p.leavePack(ctx, h, missing)
	case err != nil:
		return outcome{}, err
	}
	p.host.log.Info("stored a pack again", "object", h.file.Object, "from", abbreviate(places))
	return outcome{true, "from " + abbreviate(places)}, p.host.store.Delete(ctx, aside)
}

// isWhole reads all files of a pack.
func (p *repair) isWhole(ctx context.Context, h *holding) (whole, missing bool, err error) {
	what, err := p.host.inspect(ctx, h.file)
	if what != "" || err != nil {
		return false, what == isMissing, err
	}
	files := h.files()
	from, done := p.host.reading(files)
	defer done()
	for _, f := range files {
		if what, err := from.readObject(ctx, f, nil); what != "" || err != nil {
			return false, false, err
		}
	}
	return true, false, nil
}

// pieces lists what makes up a pack, in order, and where it is from; nil when a file
// is nowhere to be had.
func (p *repair) pieces(ctx context.Context, h *holding, aside string) (list []segment, places []string, err error) {
	at := int64(0)
	add := func(to int64, open func() (io.ReadCloser, error)) {
		list = append(list, segment{file: new(File), open: open, end: func() error { return nil }})
		at = to
	}
	left := false // of the pack, something is used
	rest := func(from, to int64) {
		left = true
		add(to, func() (io.ReadCloser, error) { return p.openAside(ctx, aside, from, to-from) })
	}
	for _, f := range h.files() {
		if f.Offset() > at { // a file that no snapshot has which was verified
			rest(at, f.Offset())
		}
		s, err := p.findPiece(ctx, f, aside)
		if s == nil || err != nil || f.Offset() < at {
			return nil, nil, err
		}
		left = left || s.name == ""
		if s.name != "" && !slices.Contains(places, s.name) {
			places = append(places, s.name)
		}
		add(endOf(f), s.open)
	}
	if at < h.file.Segment.Pack {
		rest(at, h.file.Segment.Pack)
	}
	if left {
		places = append(places, "what was whole of it")
	}
	return list, places, nil
}

// openAside reads a part of what was set aside.
func (p *repair) openAside(ctx context.Context, aside string, offset, length int64) (io.ReadCloser, error) {
	body, err := p.host.store.Open(ctx, aside, offset, length)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%w: %w", err, abi.ECORRUPT)
	}
	return body, err
}

// findPiece finds a place where the bytes of a file are, as they were stored; nil
// when there is none.
func (p *repair) findPiece(ctx context.Context, f *File, aside string) (*source, error) {
	left := *f
	left.Object = aside
	sources := []source{{open: func() (io.ReadCloser, error) { return p.host.openStored(ctx, &left, nil) }}}
	for _, find := range []func(context.Context, *File) ([]source, error){nil, p.twins, p.local} {
		if find != nil {
			var err error
			if sources, err = find(ctx, f); err != nil {
				return nil, err
			}
		}
		for _, s := range sources {
			err := s.prove()
			if err == nil {
				return &s, nil
			}
			if !errors.Is(err, abi.ECORRUPT) && !errors.Is(err, abi.ECONFLICT) {
				return nil, err
			}
		}
	}
	return nil, nil
}

// joined reads the pieces of a pack, one after the other. The end is an error
// unless they are what the object held.
func joined(pieces []segment, f *File) (io.ReadCloser, error) {
	body := &packBody{segments: pieces}
	return &joinedBody{packBody: body, meter: &meter{from: body}, file: f}, nil
}

type joinedBody struct {
	*packBody
	*meter
	file *File
}

// Read implements io.Reader.
func (j *joinedBody) Read(p []byte) (int, error) {
	n, err := j.meter.Read(p)
	if err == io.EOF && (j.size != j.file.ObjectSize() || j.crc != j.file.ObjectCRC32C()) {
		err = fmt.Errorf("its pieces do not make up the object: %w", abi.ECONFLICT)
	}
	return n, err
}

// Close implements io.Closer.
func (j *joinedBody) Close() error {
	j.packBody.close()
	return nil
}

// leavePack says what remains to be done about a pack. Other files in it may be
// whole, so it stays where it is; what was set aside keeps shared ones from being
// reused.
func (p *repair) leavePack(ctx context.Context, h *holding, missing bool) (outcome, error) {
	how := "neither the database nor other objects hold all of it"
	if h.file.Stored > 0 {
		how = errEncrypted.Error()
	}
	aside := asideName(h.file.Object)
	switch {
	case missing:
		return outcome{how: how}, nil
	case h.file.Scope != abi.ScopeShared:
		return outcome{how: how}, p.host.store.Delete(ctx, aside)
	}
	p.host.log.Warn("no later snapshot will reuse a damaged pack", "object", h.file.Object, "because of", aside)
	return outcome{how: how + ": copied to " + aside + ", for as long as that is there no snapshot reuses it; the next one stores anew what the database still has of it"}, nil
}
