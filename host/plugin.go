package host

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// ModuleInfo is what a strategy's module tells about itself.
type ModuleInfo = strategy.Info

// InspectModule describes the module in a file without running any of its code.
// A relative path is searched for as one of a configuration is: in the working
// folder, then ROCKSNAP_PLUGIN_PATH, then beside the executable.
func InspectModule(path string) (ModuleInfo, error) {
	path, wasm, err := findModule(path)
	if err != nil {
		return ModuleInfo{}, err
	}
	info, err := strategy.Inspect(wasm)
	if err != nil {
		return info, problem(CodePlugin, fmt.Errorf("inspect %s: %w", path, err), moduleHint)
	}
	return info, nil
}

const moduleHint = "name a WebAssembly module, as 'make build' leaves them in bin/plugins"

// FindModule returns the path of the file that [InspectModule] reads.
func FindModule(path string) (string, error) {
	path, _, err := (&generation{cfg: new(config.Config)}).find(path)
	return path, err
}

// findModule reads a module that somebody named, and returns its path besides.
func findModule(path string) (found string, wasm []byte, err error) {
	if found, err = FindModule(path); err != nil {
		return "", nil, err
	}
	if wasm, err = readModule(found); err != nil {
		return "", nil, problem(CodePlugin, fmt.Errorf("read module: %w", err), moduleHint)
	}
	return found, wasm, nil
}

// maxModuleFile is more than the compiler takes: what is read no further than here
// is refused by its size, whatever that is.
const maxModuleFile = 64 << 20

// readModule reads the file of a module. A path may name anything: a pipe that
// nobody writes to would be waited for, and a device has no end.
func readModule(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if about, err := file.Stat(); err != nil || !about.Mode().IsRegular() {
		return nil, cmp.Or(err, fmt.Errorf("%s is no regular file", path))
	}
	wasm, err := io.ReadAll(io.LimitReader(file, maxModuleFile+1))
	if err == nil && len(wasm) > maxModuleFile {
		err = fmt.Errorf("%s is larger than any module, %d bytes", path, maxModuleFile)
	}
	return wasm, err
}

// AnnotateModule writes a copy of the module in a file to another, with metadata,
// a JSON object, in the place that [InspectModule] reads. The first is searched for
// as [InspectModule] does.
func AnnotateModule(from, to string, metadata []byte) error {
	from, wasm, err := findModule(from)
	if err != nil {
		return err
	}
	annotated, err := strategy.Annotate(wasm, json.RawMessage(metadata))
	if err != nil {
		return problem(CodePlugin, fmt.Errorf("annotate %s: %w", from, err), "")
	}
	if err := os.WriteFile(to, annotated, 0o644); err != nil {
		return fmt.Errorf("annotate module: %w", err)
	}
	return nil
}

// CheckStrategies loads the strategies that a configuration chooses or changes,
// and has each check its own options. It touches neither the database nor the
// repository. Its error joins those of the single strategies; each names the key.
func CheckStrategies(ctx context.Context, cfg *config.Config, options ...Option) error {
	r, err := newRepository(cfg, newSettings(options))
	if err != nil {
		return err
	}
	return errors.Join(r.checkStrategies(ctx, r.strategies.current), r.strategies.close(context.WithoutCancel(ctx)))
}

// checkStrategies loads and dry-runs what a generation uses.
func (r *Repository) checkStrategies(ctx context.Context, g *generation) error {
	var errs []error
	for _, name := range g.cfg.Used() {
		errs = append(errs, r.checkStrategy(ctx, g, name))
	}
	return errors.Join(errs...)
}

func (r *Repository) checkStrategy(ctx context.Context, g *generation, name string) error {
	started, err := g.start(ctx, name)
	if errors.Is(err, abi.EPERM) || CodeOf(err) == CodeUsage { // it names the key itself
		return err
	} else if err != nil {
		return fmt.Errorf("%s: %w", g.cfg.Where("strategies", name, "module"), err)
	}
	defer started.Close(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancel(ctx)
	s := (&Host{Repository: r}).newSession(ctx, g, name, true) // what Init may call needs no database
	defer s.close()
	defer cancel()
	s.enter(ctx, abi.PhaseInit)
	if err := started.Init(ctx, s); err != nil {
		return problem(CodePlugin, fmt.Errorf("%s: %w", g.cfg.Where("strategies", name, "config"), err), "")
	}
	return nil
}
