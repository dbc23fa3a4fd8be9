package dir

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/host/blob"
)

// List yields objects in the order of names. It reads only directories that can
// hold some of them, each when its turn comes, and describes only what it
// yields. See [blob.Store].
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		l := listing{ctx, prefix, after, yield}
		err := blob.CheckPrefix(prefix)
		if err == nil {
			base := prefix[:strings.LastIndexByte(prefix, '/')+1]
			err = l.walk(s.root, "./"+base, base)
		}
		if err != nil && err != errStop {
			yield(blob.Info{}, fmt.Errorf("list %q: %w", prefix, cause(err)))
		}
	}
}

// errStop ends a walk whose consumer has seen enough.
var errStop = errors.New("stop")

type listing struct {
	ctx           context.Context
	prefix, after string
	yield         func(blob.Info, error) bool
}

// walk yields the objects under a directory of parent; base is the beginning of
// their names. A directory that is gone is empty.
func (l *listing) walk(parent *os.Root, name, base string) error {
	dir, err := parent.OpenRoot(name)
	if missing(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	keys, err := l.keys(dir, base)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := l.visit(dir, key, base); err != nil {
			return err
		}
	}
	return nil
}

// keys returns the wanted entries of a directory in the order in which their
// names are listed. A directory's key ends with a slash: everything in it sorts
// there, after "a.b" for "a/".
func (l *listing) keys(dir *os.Root, base string) ([]string, error) {
	f, err := dir.Open(".")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, entry := range entries {
		if key := keyOf(entry, base); l.wanted(key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys, nil
}

// keyOf returns the key of an entry, or "" for one that holds no object.
func keyOf(entry fs.DirEntry, base string) string {
	key := base + entry.Name()
	switch {
	case blob.CheckName(key) != nil:
		return ""
	case entry.IsDir():
		return key + "/"
	case entry.Type().IsRegular():
		return key
	}
	return ""
}

// wanted reports whether a key is, or may hold, an object to be listed.
func (l *listing) wanted(key string) bool {
	if key == "" || !strings.HasPrefix(key, l.prefix) {
		return false
	}
	return key > l.after || strings.HasSuffix(key, "/") && strings.HasPrefix(l.after, key)
}

// visit yields the object of a key, or those of the directory that it is.
func (l *listing) visit(dir *os.Root, key, base string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	name := key[len(base):]
	if strings.HasSuffix(key, "/") {
		return l.walk(dir, name, key)
	}
	info, err := dir.Lstat(name)
	switch {
	case missing(err):
		return nil
	case err != nil:
		return err
	case !l.yield(blob.Info{Name: key, Size: info.Size(), Modified: info.ModTime()}, nil):
		return errStop
	}
	return nil
}
