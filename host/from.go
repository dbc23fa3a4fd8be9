package host

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// OpenSingle opens the repository that the configuration names for the one
// database that is in it, whatever [repository] name says: a savepoint that was
// moved, for example. Where there are several, it is that name that counts.
func OpenSingle(ctx context.Context, cfg *config.Config, options ...Option) (*Repository, error) {
	s := newSettings(options)
	r, err := openRepository(ctx, cfg, s)
	if CodeOf(err) == CodeNoRepository {
		return nil, problem(CodeNoRepository, err, "name the folder or prefix of a repository, or of a savepoint")
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for name, err := range catalog.Databases(ctx, r.store) {
		if err != nil {
			return nil, fmt.Errorf("open repository: %w", err)
		}
		names = append(names, name)
	}
	switch {
	case slices.Contains(names, r.name):
		return r, nil
	case len(names) != 1:
		return nil, problem(CodeUsage, fmt.Errorf("open repository: %s is none of the databases in %s: %s", r.name, cfg.Repository.URL, strings.Join(names, ", ")),
			"name one of them in [repository] name")
	}
	other := *cfg
	other.Repository.Name = names[0]
	return openRepository(ctx, &other, s)
}
