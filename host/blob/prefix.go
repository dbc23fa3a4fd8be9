package blob

import (
	"context"
	"io"
	"iter"
	"strings"
	"time"
)

// Prefix returns the part of a store whose names start with prefix, which
// usually ends with a slash; the names it takes and yields lack the prefix. Its
// laws are those of s, but that names are shorter by the prefix.
func Prefix(s Store, prefix string) Store {
	return &prefixed{store: s, prefix: prefix}
}

type prefixed struct {
	store  Store
	prefix string
}

// full returns the name in the underlying store. The name is checked before it
// is joined, because "dir" and ".." would make a good name.
func (p *prefixed) full(name string) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	return p.prefix + name, nil
}

func (p *prefixed) Create(ctx context.Context, name string, r io.Reader) error {
	full, err := p.full(name)
	if err != nil {
		return err
	}
	return p.store.Create(ctx, full, r)
}

func (p *prefixed) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	full, err := p.full(name)
	if err != nil {
		return nil, err
	}
	return p.store.Open(ctx, full, offset, length)
}

func (p *prefixed) Stat(ctx context.Context, name string) (Info, error) {
	full, err := p.full(name)
	if err != nil {
		return Info{}, err
	}
	info, err := p.store.Stat(ctx, full)
	return p.cut(info), err
}

func (p *prefixed) List(ctx context.Context, prefix, after string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := CheckPrefix(prefix); err != nil {
			yield(Info{}, err)
			return
		}
		for info, err := range p.store.List(ctx, p.prefix+prefix, p.prefix+after) {
			if !yield(p.cut(info), err) {
				return
			}
		}
	}
}

func (p *prefixed) Delete(ctx context.Context, names ...string) error {
	full := make([]string, len(names))
	for i, name := range names {
		var err error
		if full[i], err = p.full(name); err != nil {
			return err
		}
	}
	return p.store.Delete(ctx, full...)
}

// Tidy tidies the whole store: what is unfinished has no place under a prefix in
// every store.
func (p *prefixed) Tidy(ctx context.Context, before time.Time) (Tidied, error) {
	return p.store.Tidy(ctx, before)
}

// cut takes the prefix off a name that comes back.
func (p *prefixed) cut(info Info) Info {
	info.Name = strings.TrimPrefix(info.Name, p.prefix)
	return info
}
