package catalog

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/rocksnap/rocksnap/host/blob"
)

// maxModule bounds a stored wasm module, in bytes.
const maxModule = 256 << 20

// PutModule keeps a wasm module, once for all snapshots that it takes, under its
// sha256 in hex, which the caller knows: to hash a module again costs more than the
// rest of a small snapshot. It fails with [ErrDamaged] when the one that is there has
// another size; names are never used twice, so it cannot be replaced.
func (c *Catalog) PutModule(ctx context.Context, digest string, code []byte) error {
	if len(code) > maxModule {
		return fmt.Errorf("store module: %d bytes are more than %d", len(code), maxModule)
	}
	info, err := c.store.Stat(ctx, ModuleName(digest))
	if err == nil && info.Size != int64(len(code)) {
		return &DamageError{ModuleName(digest), fmt.Sprintf("it has %d bytes instead of %d", info.Size, len(code))}
	}
	for try := 0; try < tries && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, blob.ErrUnknownOutcome)); try++ {
		// A repeated create is harmless: everybody writes the same bytes.
		err = c.store.Create(ctx, ModuleName(digest), bytes.NewReader(code))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("store module: %w", err)
	}
	return nil
}

// Module returns the wasm module with the given sha256. It fails with
// fs.ErrNotExist when it was never kept, and with [ErrDamaged] when it is not
// what it was.
func (c *Catalog) Module(ctx context.Context, digest string) ([]byte, error) {
	if !isDigest(digest) {
		return nil, fmt.Errorf("read module: digest %q: %w", digest, fs.ErrNotExist)
	}
	name := ModuleName(digest)
	code, err := readObject(ctx, c.store, name, maxModule)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	if sum := sha256.Sum256(code); hex.EncodeToString(sum[:]) != digest {
		return nil, &DamageError{name, "digest differs"}
	}
	return code, nil
}
