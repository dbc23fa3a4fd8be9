package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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
	Places     []Place     // where the lines of Config come from; none when from nowhere
}

// Place is where a line of a trial's options comes from.
type Place struct {
	From string // a file, or an option of a command line
	Line int    // 1 is the first; 0 for an option
}

// String returns the place in the form of the configuration's errors.
func (p Place) String() string {
	if p.Line == 0 {
		return p.From
	}
	return p.From + ":" + strconv.Itoa(p.Line)
}

// Configure writes a configuration for the trial into a folder and loads it. Its
// errors are those of the configuration, with the places of the trial. The module needs no pin: whoever tries it
// out has just named it.
func (t Trial) Configure(folder string) (*config.Config, error) {
	t.Database = cmp.Or(t.Database, filepath.Join(folder, "no-database"))
	t.Repository = cmp.Or(t.Repository, filepath.Join(folder, "no-repository"))
	file := filepath.Join(folder, "trial.toml")
	if err := os.WriteFile(file, []byte(t.text()), 0o600); err != nil {
		return nil, fmt.Errorf("configure trial: %w", err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil, t.placed(err)
	}
	return cfg, nil
}

// placed has errors in lines of the options name the places of these. An error at
// the very end stands after the last one.
func (t Trial) placed(err error) error {
	var problems config.Errors
	if !errors.As(err, &problems) || len(t.Places) == 0 {
		return err
	}
	for _, p := range problems {
		if line := p.Line - t.firstLine(); line >= 0 {
			at := t.Places[min(line, len(t.Places)-1)]
			p.File, p.Line = at.From, at.Line
		}
	}
	return problems
}

// firstLine is the number of the first line of the options in the text.
func (t Trial) firstLine() int {
	text := t.text()
	return 1 + strings.Count(text[:len(text)-len(t.Config)-1], "\n")
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
