package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
)

// Trial says how to try a strategy out for which there is no configuration yet.
type Trial struct {
	Strategy   string      // name
	Module     string      // path of its module; anything when it runs natively
	Allow      []abi.Grant // what the module needs
	Config     string      // lines of the strategy's own table, in TOML
	Database   string      // folder; "" when none is needed
	Repository string      // folder; "" when none is needed
	Flush      string      // as in the configuration; "" for its default
	KeyGroups  uint32      // count of key groups; 0 for none
}

// Configure writes a configuration for the trial into a folder and loads it. Its
// errors are those of the configuration. The module needs no pin: whoever tries it
// out has just named it.
func (t Trial) Configure(folder string) (*config.Config, error) {
	t.Database = cmp.Or(t.Database, filepath.Join(folder, "no-database"))
	t.Repository = cmp.Or(t.Repository, filepath.Join(folder, "no-repository"))
	file := filepath.Join(folder, "trial.toml")
	if err := os.WriteFile(file, []byte(t.text()), 0o600); err != nil {
		return nil, fmt.Errorf("configure trial: %w", err)
	}
	return config.Load(file)
}

func (t Trial) text() string {
	var text strings.Builder
	fmt.Fprintf(&text, "version = 1\n[database]\npath = %q\n[repository]\nurl = %q\nname = \"db\"\n", t.Database, "file:"+t.Repository)
	fmt.Fprintf(&text, "[snapshot]\nstrategy = %q\n", t.Strategy)
	if t.Flush != "" {
		fmt.Fprintf(&text, "flush = %q\n", t.Flush)
	}
	if t.KeyGroups > 0 {
		fmt.Fprintf(&text, "[keygroups]\ncount = %d\n", t.KeyGroups)
	}
	grants := make([]string, len(t.Allow))
	for i, grant := range t.Allow {
		grants[i] = fmt.Sprintf("%q", grant)
	}
	fmt.Fprintf(&text, "[strategies.%q]\nmodule = %q\nallow_unpinned = true\nallow = [%s]\n", t.Strategy, t.Module, strings.Join(grants, ", "))
	fmt.Fprintf(&text, "[strategies.%q.config]\n%s\n", t.Strategy, t.Config)
	return text.String()
}

// Drive runs a strategy over sessions of the caller's instead of the host's, one
// for each phase from init to snapshot. Neither a database nor a repository is
// touched. It ends with the first phase that fails.
func Drive(ctx context.Context, cfg *config.Config, strategy string, session func(abi.Phase) abi.Session, options ...Option) error {
	r, err := newRepository(cfg, newSettings(options))
	if err != nil {
		return err
	}
	started, err := r.strategies.start(ctx, strategy)
	if err != nil {
		return errors.Join(err, r.strategies.close(ctx))
	}
	err = drive(ctx, started, session)
	ctx = context.WithoutCancel(ctx)
	return errors.Join(err, started.Close(ctx), r.strategies.close(ctx))
}

func drive(ctx context.Context, s abi.Strategy, session func(abi.Phase) abi.Session) error {
	err := s.Init(ctx, session(abi.PhaseInit))
	if err == nil {
		err = s.Prepare(ctx, session(abi.PhasePrepare))
	}
	if err == nil {
		err = s.Snapshot(ctx, session(abi.PhaseSnapshot))
	}
	if err != nil {
		return problem(CodePlugin, err, "")
	}
	return nil
}
