package host

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/rocksnap/rocksnap/config"
)

// Reload has the host go on with another configuration: other strategies, other
// modules, limits and settings of theirs, another retention. Modules are read
// anew, also where the configuration is the same, and what has not changed is not
// compiled again. Outcomes:
//
//  1. Whatever begins from now on begins on the new configuration. What is under
//     way ends as it has begun.
//  2. The new configuration is wrong: a strategy that it uses cannot be loaded or
//     refuses its settings, or it changes what takes a restart, which is the
//     database, the repository, the key groups and the TTLs. The error says what, and the
//     host goes on as before.
//
// It returns once it is decided; what is under way is not waited for.
func (h *Host) Reload(ctx context.Context, cfg *config.Config) error {
	h.reloading.Lock()
	defer h.reloading.Unlock()
	err := h.reload(ctx, cfg)
	if err != nil {
		return fmt.Errorf("reload: the former configuration stays: %w", err)
	}
	h.log.Info("reloaded the configuration", "file", cfg.Path, "strategy", cfg.Snapshot.Strategy)
	return nil
}

func (h *Host) reload(ctx context.Context, cfg *config.Config) error {
	if err := h.needsRestart(cfg); err != nil {
		return err
	}
	next := h.strategies.generation(cfg)
	if err := h.checkStrategies(ctx, next); err != nil {
		return errors.Join(err, next.release(context.WithoutCancel(ctx)))
	}
	before, err := h.strategies.replace(next)
	if err != nil {
		return errors.Join(err, next.release(context.WithoutCancel(ctx)))
	}
	if err := before.release(context.WithoutCancel(ctx)); err != nil {
		h.log.Warn("cannot close a module", "error", err)
	}
	h.preupload.follow()
	return nil
}

// needsRestart refuses what an open host cannot change.
func (h *Host) needsRestart(cfg *config.Config) error {
	now := h.config()
	var changed []string
	for _, section := range []struct {
		name     string
		now, new any
	}{
		{"[database]", now.Database, cfg.Database},
		{"[repository]", now.Repository, cfg.Repository},
		{"[keygroups]", now.KeyGroups, cfg.KeyGroups},
		{"[column_families]", now.Families, cfg.Families},
	} {
		if !reflect.DeepEqual(section.now, section.new) {
			changed = append(changed, section.name)
		}
	}
	if len(changed) > 0 {
		return problem(CodeUsage, fmt.Errorf("%s changed, which needs a restart", strings.Join(changed, " and ")), "restart the program, or take the change back")
	}
	if h.offline && cfg.Snapshot.Flush == config.FlushAlways && now.Snapshot.Flush != config.FlushAlways {
		return problem(CodeUsage, fmt.Errorf("%s: opening the database for writing needs a restart", cfg.Where("snapshot", "flush")), "restart the program, or use flush = \"auto\"")
	}
	return nil
}
