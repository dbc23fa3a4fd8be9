package host

import (
	"cmp"
	"context"
	"io"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// carried is a small file on its way: as it is in the source, and as it will be in
// the destination.
type carried struct {
	from File
	to   *File
}

// isSmall says whether a file shares an object with others in the destination, whose
// configuration decides that, and not how the source has it.
func (p *passage) isSmall(f *File) bool {
	pack := p.to.config().Repository.Pack
	return pack != nil && f.Size < int64(pack.Below)
}

func (p *passage) put(c *carried) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.small = append(p.small, c)
}

// carrySmall carries over what was put aside for packs.
func (p *passage) carrySmall(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(p.to.workers)
	for _, files := range p.packs() {
		g.Go(func() error { return p.carryPack(ctx, files) })
	}
	return g.Wait()
}

// packs cuts what is small into packs of one scope each, in the order in which the
// source has it.
func (p *passage) packs() (list [][]*carried) {
	slices.SortFunc(p.small, func(a, b *carried) int {
		return cmp.Or(cmp.Compare(a.from.Scope, b.from.Scope), cmp.Compare(a.from.Object, b.from.Object),
			cmp.Compare(a.from.Offset(), b.from.Offset()))
	})
	size := int64(0)
	for i, c := range p.small {
		isNew := i == 0 || c.from.Scope != p.small[i-1].from.Scope || size+c.from.Size > int64(p.to.config().Repository.Pack.Into)
		if isNew {
			list, size = append(list, nil), 0
		}
		list[len(list)-1] = append(list[len(list)-1], c)
		size += c.from.Size
	}
	return list
}

func (p *passage) carryPack(ctx context.Context, files []*carried) error {
	var bytes int64
	for _, c := range files {
		bytes += p.bytes(&c.from)
	}
	switch {
	case p.dry:
		p.count(&p.result.Bytes, bytes, 1)
		p.tally.add(bytes, len(files))
		return nil
	case len(files) == 1:
		if err := p.send(ctx, p.from, &files[0].from, files[0].to, p.session.Mint()); err != nil {
			return err
		}
	default:
		if err := p.sendPack(ctx, files); err != nil {
			return err
		}
	}
	records := make([]catalog.Stored, len(files))
	for i, c := range files {
		records[i] = p.record(&c.from, c.to)
	}
	return p.session.Note(ctx, records...)
}

// sendPack stores files as one object. Nothing is stored unless the source has all
// of them as its manifest says.
func (p *passage) sendPack(ctx context.Context, files []*carried) error {
	var segments []segment
	for _, run := range byObject(files) {
		source, done := p.from.reading(run)
		defer done()
		for range run {
			segments = append(segments, p.segment(ctx, source, files[len(segments)]))
		}
	}
	if _, err := p.to.createPack(ctx, p.session.Mint(), segments); err != nil {
		return err
	}
	p.count(&p.result.Bytes, files[0].to.ObjectSize(), 1)
	for range files {
		p.tally.file()
	}
	return nil
}

// byObject cuts files where another object of the source begins.
func byObject(files []*carried) (list [][]*File) {
	for i, c := range files {
		if i == 0 || c.from.Segment == nil || c.from.Object != files[i-1].from.Object {
			list = append(list, nil)
		}
		list[len(list)-1] = append(list[len(list)-1], &c.from)
	}
	return list
}

func (p *passage) segment(ctx context.Context, source *Repository, c *carried) segment {
	var stored *meter
	return segment{
		file: c.to,
		open: func() (io.ReadCloser, error) {
			body, err := p.open(ctx, source, &c.from)
			if err != nil {
				return nil, err
			}
			if stored, err = p.outgoing(body); err != nil {
				body.Close()
				return nil, err
			}
			return readCloser{stored, body}, nil
		},
		end: func() error {
			describeCopy(c.to, stored)
			return nil
		},
	}
}
