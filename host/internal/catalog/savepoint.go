package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Apart makes a savepoint of what the session stores from now on: all of it goes
// into a folder of its own, which Commit completes to a repository that holds this
// one snapshot and needs nothing outside. Such a session goes on from no other,
// and none from it. It is called before anything is stored.
func (s *Session) Apart() { s.folder = SavepointFolder(s.intent.Session) }

// complete makes a repository of the session's folder. The snapshot is not
// committed by that: until it is, the folder is garbage, and protected by the
// intent as the objects in it are.
func (s *Session) complete(ctx context.Context, m *Manifest) error {
	within, err := m.within(s.folder)
	if err != nil {
		return err
	}
	outer := s.writer.catalog
	store := blob.Prefix(outer.store, s.folder)
	if _, err := Init(ctx, store, outer.format); err != nil {
		return err
	}
	c, err := Open(ctx, store, outer.database)
	if err == nil {
		err = outer.giveModule(ctx, c, m.Strategy.Module)
	}
	if err != nil {
		return err
	}
	w, err := c.Acquire(ctx, s.intent.Owner)
	if err != nil {
		return err
	}
	return w.commit(ctx, within)
}

// within returns the manifest as a copy in a repository whose names begin with a
// folder here.
func (m *Manifest) within(folder string) (*Manifest, error) {
	inner := *m
	inner.Copied = true
	inner.Contents = slices.Clone(m.Contents)
	for i := range inner.Contents {
		f := &inner.Contents[i]
		object, ok := strings.CutPrefix(f.Object, folder)
		if !ok {
			return nil, fmt.Errorf("object %s of %s is outside of %s", f.Object, f.Name, folder)
		}
		f.Object = object
	}
	return &inner, nil
}

// giveModule copies the module that took a snapshot. It tells where the snapshot
// comes from; where it cannot be had, the data is worth keeping all the same.
func (c *Catalog) giveModule(ctx context.Context, to *Catalog, digest string) error {
	if digest == "" {
		return nil
	}
	code, err := c.Module(ctx, digest)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrDamaged) {
		return nil
	}
	if err == nil {
		err = to.PutModule(ctx, digest, code)
	}
	return err
}

// CheckSavepoint demands that the folder of a savepoint is a repository that holds
// it. What is wrong comes as a [DamageError] that names the folder or a document in
// it. A copy of a savepoint has no folder.
func (c *Catalog) CheckSavepoint(ctx context.Context, m *Manifest) error {
	if !m.Savepoint || m.Copied {
		return nil
	}
	folder := SavepointFolder(m.ID)
	inner, err := Open(ctx, blob.Prefix(c.store, folder), c.database)
	var found *Manifest
	if err == nil {
		found, err = inner.Find(ctx, m.ID)
	}
	var d *DamageError
	switch {
	case errors.As(err, &d):
		return &DamageError{folder + d.Object, d.What}
	case errors.Is(err, ErrNoRepository), errors.Is(err, fs.ErrNotExist):
		return &DamageError{folder + formatName, "the savepoint cannot be restored from its folder alone: " + err.Error()}
	case err != nil:
		return err
	}
	outer, err := m.within(folder)
	if err != nil || !slices.EqualFunc(outer.Contents, found.Contents, sameObject) {
		return &DamageError{folder + formatName, "the folder of the savepoint holds other objects than its snapshot"}
	}
	return nil
}

func sameObject(a, b File) bool {
	return a.Name == b.Name && a.Object == b.Object && a.Digest == b.Digest && a.Offset() == b.Offset()
}
