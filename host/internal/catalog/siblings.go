package catalog

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/host/blob"
)

// siblings returns the catalog of every database in the repository: those that are
// known first, or else this one.
func (c *Catalog) siblings(ctx context.Context, known ...*Catalog) ([]*Catalog, error) {
	list := known
	if len(list) == 0 {
		list = []*Catalog{c}
	}
	for name, err := range Databases(ctx, c.store) {
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(list, func(c *Catalog) bool { return c.database == name }) {
			list = append(list, c.beside(name))
		}
	}
	return list, nil
}

// Databases yields the name of every database in a repository, in their order. An
// error of the listing ends the sequence.
func Databases(ctx context.Context, store blob.Store) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		after := ""
		for {
			name := ""
			for info, err := range store.List(ctx, "db/", after) {
				if err != nil {
					yield("", fmt.Errorf("list databases: %w", err))
					return
				}
				name, _, _ = strings.Cut(strings.TrimPrefix(info.Name, "db/"), "/")
				break
			}
			if name == "" || !yield(name, nil) {
				return
			}
			after = "db/" + name + "0" // sorts right behind everything in "db/<name>/"
		}
	}
}
