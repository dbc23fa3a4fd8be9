package catalog

import (
	"context"
	"fmt"
	"strings"
)

// siblings returns the catalog of every database in the repository, this one first.
func (c *Catalog) siblings(ctx context.Context) ([]*Catalog, error) {
	list := []*Catalog{c}
	after := ""
	for {
		next := ""
		for info, err := range c.store.List(ctx, "db/", after) {
			if err != nil {
				return nil, fmt.Errorf("list databases: %w", err)
			}
			next, _, _ = strings.Cut(strings.TrimPrefix(info.Name, "db/"), "/")
			break
		}
		if next == "" {
			return list, nil
		}
		if next != c.database {
			list = append(list, &Catalog{store: c.store, database: next, format: c.format})
		}
		after = "db/" + next + "0" // sorts right behind everything in "db/<next>/"
	}
}
