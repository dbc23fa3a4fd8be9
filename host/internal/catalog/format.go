package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/google/uuid"

	"github.com/rocksnap/rocksnap/host/blob"
)

const formatKind = "rocksnap-repository"

// maxDocument bounds the small JSON documents, in bytes.
const maxDocument = 64 << 10

// Format describes a repository. It is written once, at init.
type Format struct {
	Format  string    `json:"format"`
	Version int       `json:"version"` // FormatVersion
	ID      string    `json:"id"`      // UUID of the repository
	Created time.Time `json:"created"` // by the creator's clock

	Encrypted    bool              `json:"encrypted"`       // every snapshot in it is
	SingleWriter bool              `json:"single_writer"`   // the store lets two creators of one name succeed: nothing keeps two hosts apart
	Probe        map[string]string `json:"probe,omitempty"` // what the store was found to do, by check

	Digest string `json:"digest"` // of the other fields
}

// Init makes a repository of a store, with the properties that f names; it sets
// the others. It fails with fs.ErrExist when the store is one already.
func Init(ctx context.Context, store blob.Store, f Format) (Format, error) {
	f.Format, f.Version, f.ID, f.Created = formatKind, FormatVersion, uuid.NewString(), time.Now().UTC()
	data, err := sealDocument(&f, &f.Digest)
	if err == nil {
		err = createOwn(ctx, store, formatName, data)
	}
	if err != nil {
		return Format{}, fmt.Errorf("initialize repository: %w", err)
	}
	return f, nil
}

// createOwn stores a document whose bytes nobody else can write, because they
// hold a fresh UUID. That is how an unknown outcome is resolved: whoever took the
// name, equal bytes are ours.
func createOwn(ctx context.Context, store blob.Store, name string, data []byte) error {
	err := store.Create(ctx, name, bytes.NewReader(data))
	for try := 1; try < tries && errors.Is(err, blob.ErrUnknownOutcome); try++ {
		err = store.Create(ctx, name, bytes.NewReader(data))
		if !errors.Is(err, fs.ErrExist) {
			continue
		}
		found, readErr := readObject(ctx, store, name, max(maxDocument, int64(len(data))))
		switch {
		case readErr != nil:
			return fmt.Errorf("%w: %w", blob.ErrUnknownOutcome, readErr)
		case bytes.Equal(found, data):
			return nil
		}
	}
	return err
}

// readObject reads an object whole, refusing one of more than limit bytes.
func readObject(ctx context.Context, store blob.Store, name string, limit int64) ([]byte, error) {
	r, err := store.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &DamageError{name, fmt.Sprintf("it has more than %d bytes", limit)}
	}
	return data, nil
}

// readFormat reads the format document. It fails with [ErrNoRepository] when
// there is none.
func readFormat(ctx context.Context, store blob.Store) (Format, error) {
	data, err := readObject(ctx, store, formatName, maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return Format{}, ErrNoRepository
	}
	if err != nil {
		return Format{}, err
	}
	var f Format
	err = openDocument(data, &f, &f.Digest)
	if err == nil && f.Format != formatKind {
		err = fmt.Errorf("format is %q", f.Format)
	}
	return f, blame(formatName, err)
}

// blame turns what a decoder found wrong into damage of the named object. A
// newer version is no damage.
func blame(object string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrVersion):
		return fmt.Errorf("%s: %w", object, err)
	}
	return &DamageError{object, err.Error()}
}
