package blob

import (
	"context"
	"errors"
	"fmt"
)

// Linker is a [Store] whose objects are files, each of which can be given a
// second name. The file is shared from then on: nobody may change it.
type Linker interface {
	// Link gives the file of an object a further name, outside of the store, which
	// must be free and on the same file system. It does not sync the directory of
	// the new name. It fails with fs.ErrNotExist when there is no such object.
	Link(ctx context.Context, name, path string) error
}

// Link links an object of a store that is a [Linker]; of others it fails with
// errors.ErrUnsupported.
func Link(ctx context.Context, s Store, name, path string) error {
	linker, ok := s.(Linker)
	if !ok {
		return fmt.Errorf("link %s: %w", name, errors.ErrUnsupported)
	}
	return linker.Link(ctx, name, path)
}

// Link links an object of the store below.
func (p *prefixed) Link(ctx context.Context, name, path string) error {
	full, err := p.full(name)
	if err != nil {
		return err
	}
	return Link(ctx, p.store, full, path)
}

// Link links an object of the store below; no byte of it moves.
func (l *limited) Link(ctx context.Context, name, path string) error {
	return Link(ctx, l.store, name, path)
}
