package blob

import (
	"context"
	"errors"
	"fmt"
)

// Cloner is a [Store] that copies a file without moving its bytes, as file systems do
// that share blocks between files until one of them is written (reflinks).
type Cloner interface {
	// Clone makes an object of what a file holds, which nobody may change meanwhile.
	// The outcomes are those of [Store].Create; where the file system cannot do that
	// it fails with errors.ErrUnsupported, at once and without a trace.
	Clone(ctx context.Context, name, path string) error
}

// Clone has a store that is a [Cloner] copy a file; with others it fails with
// errors.ErrUnsupported.
func Clone(ctx context.Context, s Store, name, path string) error {
	cloner, ok := s.(Cloner)
	if !ok {
		return fmt.Errorf("clone %s: %w", name, errors.ErrUnsupported)
	}
	return cloner.Clone(ctx, name, path)
}

// Clone has the store below copy a file.
func (p *prefixed) Clone(ctx context.Context, name, path string) error {
	full, err := p.full(name)
	if err != nil {
		return err
	}
	return Clone(ctx, p.store, full, path)
}

// Clone has the store below copy a file; no byte of it moves.
func (l *limited) Clone(ctx context.Context, name, path string) error {
	return Clone(ctx, l.store, name, path)
}
