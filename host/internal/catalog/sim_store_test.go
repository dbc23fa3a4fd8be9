package catalog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Each process sees the store through itself: every call is a point at which the
// world may turn to another process.
var _ blob.Store = (*process)(nil)

// spoiler breaks the protocol as one process sees it, to prove that the model
// notices. The zero spoiler breaks nothing.
type spoiler struct {
	hide func(p *process, prefix, after, name string) bool // leaves a name out of a list
	stat func(p *process, name string) bool                // makes an object seem to be there
	free func(p *process, name string) bool                // makes a create seem to succeed where the name is taken
	read func(p *process, name string, r io.ReadCloser, err error) (io.ReadCloser, error)
}

func (p *process) Create(ctx context.Context, name string, r io.Reader) error {
	body, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	f := p.enter(blob.VerbCreate, name)
	switch {
	case f == crashBefore:
		return errCrashed
	case f == fail:
		return errFault
	case ctx.Err() != nil:
		return ctx.Err()
	case f == delay:
		p.late = append(p.late, lateCreate{p, name, body})
		return blob.ErrUnknownOutcome
	}
	if p.spoil.read != nil {
		p.sent[name] = body
	}
	err = p.apply(name, body)
	switch f {
	case lose:
		return blob.ErrUnknownOutcome
	case crashAfter:
		return errCrashed
	}
	return err
}

// apply creates an object, and tells the model.
func (p *process) apply(name string, body []byte) error {
	err := p.disk.Create(context.Background(), name, bytes.NewReader(body))
	switch {
	case err == nil:
		p.made = name
		p.model.created(p, name, body)
	case p.spoil.free != nil && p.spoil.free(p, name):
		return nil
	default:
		p.tell("  it is taken")
	}
	return err
}

func (p *process) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	// Entries are read so often that most of the time nothing else may come between.
	if !strings.Contains(name, "/entries/") || (int(name[len(name)-1])+p.step)%4 == 0 {
		if err := p.enter(blob.VerbOpen, name).err(); err != nil {
			return nil, err
		}
	}
	r, err := p.disk.Open(ctx, name, offset, length)
	if p.spoil.read != nil {
		return p.spoil.read(p, name, r, err)
	}
	return r, err
}

// err is the error of a call that changes nothing.
func (f turn) err() error {
	switch f {
	case fail, lose:
		return errFault
	case crashBefore, crashAfter:
		return errCrashed
	}
	return nil
}

func (p *process) Stat(ctx context.Context, name string) (blob.Info, error) {
	if err := p.enter(blob.VerbStat, name).err(); err != nil {
		return blob.Info{}, err
	}
	if p.spoil.stat != nil && p.spoil.stat(p, name) {
		return blob.Info{Name: name}, nil
	}
	return p.disk.Stat(ctx, name)
}

// List takes the names page by page. What a page shows is as of one instant.
func (p *process) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if p.walks[prefix]++; p.walks[prefix]%2 == 1 {
			p.walked[prefix] = p.step
		}
		for last := after; ; {
			page, err := p.page(ctx, prefix, last)
			if err != nil {
				yield(blob.Info{}, err)
				return
			}
			for _, info := range page {
				last = info.Name
				if p.spoil.hide != nil && p.spoil.hide(p, prefix, after, info.Name) {
					continue
				}
				if !yield(info, nil) {
					return
				}
			}
			if len(page) == 0 || !p.nature.paged {
				return
			}
		}
	}
}

func (p *process) page(ctx context.Context, prefix, after string) ([]blob.Info, error) {
	if err := p.enter(blob.VerbList, prefix).err(); err != nil {
		return nil, err
	}
	size := 1 << 30
	if p.nature.paged {
		size = pick(p.random, 1, 3, 1000)
	}
	var page []blob.Info
	for info, err := range p.disk.List(ctx, prefix, after) {
		if err != nil {
			return nil, err
		}
		if page = append(page, info); len(page) == size {
			break
		}
	}
	return page, nil
}

// Delete may come only half way.
func (p *process) Delete(ctx context.Context, names ...string) error {
	f := p.enter(blob.VerbDelete, strings.Join(names, " "))
	switch {
	case f == crashBefore:
		return errCrashed
	case ctx.Err() != nil:
		return ctx.Err()
	case f != pass:
		names = names[:p.random.IntN(len(names)+1)]
	}
	for _, name := range names {
		p.model.deleted(p, name)
	}
	if err := p.disk.Delete(context.Background(), names...); err != nil {
		return err
	}
	return errors.Join(f.err())
}

func (p *process) Tidy(context.Context, time.Time) (blob.Tidied, error) {
	return blob.Tidied{}, p.enter(blob.VerbTidy, "").err()
}
