package blob

import (
	"context"
	"errors"
	"fmt"
)

// Adopter is a [Store] whose objects are files, and that takes in a file as it is.
// The file is shared from then on: what happens to it happens to the object.
type Adopter interface {
	// Adopt makes a file, which must be durable and on the file system of the store,
	// an object as well. The outcomes are those of [Store].Create; it fails with
	// EXDEV where the file is elsewhere.
	Adopt(ctx context.Context, name, path string) error
}

// Adopt has a store that is an [Adopter] take in a file; with others it fails with
// errors.ErrUnsupported.
func Adopt(ctx context.Context, s Store, name, path string) error {
	adopter, ok := s.(Adopter)
	if !ok {
		return fmt.Errorf("adopt %s: %w", name, errors.ErrUnsupported)
	}
	return adopter.Adopt(ctx, name, path)
}

// Adopt has the store below take in a file.
func (p *prefixed) Adopt(ctx context.Context, name, path string) error {
	full, err := p.full(name)
	if err != nil {
		return err
	}
	return Adopt(ctx, p.store, full, path)
}

// Adopt has the store below take in a file; no byte of it moves.
func (l *limited) Adopt(ctx context.Context, name, path string) error {
	return Adopt(ctx, l.store, name, path)
}
