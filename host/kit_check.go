package host

import (
	"context"
	"errors"
	"fmt"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/schema"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// CheckStrategy checks a single strategy of a configuration: the form of its
// module, its pin, imports and grants; its own table against the schema that the
// module carries, where it carries one; and that its init takes the table. It
// touches neither the database nor the repository.
func CheckStrategy(ctx context.Context, cfg *config.Config, name string, options ...Option) (info ModuleInfo, err error) {
	r, err := newRepository(cfg, newSettings(options))
	if err != nil {
		return info, err
	}
	defer func() { err = errors.Join(err, r.strategies.close(context.WithoutCancel(ctx))) }()
	g := r.strategies.current
	if err := g.check(ctx, name); err != nil {
		return info, err
	}
	if file := g.module(name); file != nil {
		if info, err = strategy.Inspect(file.wasm); err != nil {
			return info, problem(CodePlugin, fmt.Errorf("inspect strategy %s: %w", name, err), "")
		}
		if err := r.checkSchema(g, info, name); err != nil {
			return info, err
		}
	}
	return info, r.checkStrategy(ctx, g, name)
}

func (r *Repository) checkSchema(g *generation, info ModuleInfo, name string) error {
	if info.ConfigSchema == nil {
		return nil
	}
	if err := schema.Validate(info.ConfigSchema, g.config(name)); err != nil {
		return problem(CodePlugin, fmt.Errorf("%s: %w", g.cfg.Where("strategies", name, "config"), err),
			"'rocksnap plugin inspect' shows what the module takes")
	}
	return nil
}
