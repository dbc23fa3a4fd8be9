package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// ModuleInfo is what a strategy's module tells about itself.
type ModuleInfo = strategy.Info

// InspectModule describes the module in a file without running any of its code.
func InspectModule(path string) (ModuleInfo, error) {
	wasm, err := os.ReadFile(path)
	if err != nil {
		return ModuleInfo{}, problem(CodePlugin, fmt.Errorf("inspect module: %w", err), "")
	}
	info, err := strategy.Inspect(wasm)
	if err != nil {
		return info, problem(CodePlugin, fmt.Errorf("inspect %s: %w", path, err), "name a WebAssembly module, as 'make build' leaves them in bin/plugins")
	}
	return info, nil
}

// AnnotateModule writes a copy of the module in a file to another, with metadata,
// a JSON object, in the place that [InspectModule] reads.
func AnnotateModule(from, to string, metadata []byte) error {
	wasm, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("annotate module: %w", err)
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

// CheckStrategies finds, checks and compiles the modules of all strategies that a
// configuration chooses or changes, and runs none. Its error joins those of the
// single strategies.
func CheckStrategies(ctx context.Context, cfg *config.Config, options ...Option) error {
	o := newSettings(options)
	s := &strategies{cfg: cfg, native: o.native, cache: o.cache, modules: make(map[string]*loaded)}
	var errs []error
	for _, name := range cfg.Used() {
		errs = append(errs, s.check(ctx, name))
	}
	return errors.Join(append(errs, s.close(ctx))...)
}
