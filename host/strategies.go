package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// instance is a strategy that serves one snapshot.
type instance interface {
	abi.Strategy
	abi.Notifier
	abi.Restorer
	Close(ctx context.Context) error
}

// strategies loads modules on first use and keeps them compiled.
type strategies struct {
	cfg    *config.Config
	native map[string]func() abi.Strategy
	wrap   func(abi.Session) abi.Session // nil for none
	cache  string

	mu      sync.Mutex // guards modules
	modules map[string]*loaded
}

// loaded is a compiled module with the bytes that it came from.
type loaded struct {
	module *strategy.Module
	wasm   []byte
}

// nativeInstance runs an author's Go type without a sandbox. It names the
// strategy and the phase in errors, as a module's instance does.
type nativeInstance struct {
	name     string
	strategy abi.Strategy
}

func (n nativeInstance) wrap(phase abi.Phase, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("strategy %q: %s: %w", n.name, phase, err)
}

// Init implements [abi.Strategy].
func (n nativeInstance) Init(ctx context.Context, s abi.Session) error {
	return n.wrap(abi.PhaseInit, n.strategy.Init(ctx, s))
}

// Prepare implements [abi.Strategy].
func (n nativeInstance) Prepare(ctx context.Context, s abi.Session) error {
	return n.wrap(abi.PhasePrepare, n.strategy.Prepare(ctx, s))
}

// Snapshot implements [abi.Strategy].
func (n nativeInstance) Snapshot(ctx context.Context, s abi.Session) error {
	return n.wrap(abi.PhaseSnapshot, n.strategy.Snapshot(ctx, s))
}

// Notify passes a notification on, where the type wants it.
func (n nativeInstance) Notify(ctx context.Context, s abi.Session, note abi.Notification) error {
	if notifier, ok := n.strategy.(abi.Notifier); ok {
		return n.wrap(abi.PhaseNotify, notifier.Notify(ctx, s, note))
	}
	return nil
}

// Restore steers a restore, where the type wants it; else [abi.ENOSYS].
func (n nativeInstance) Restore(ctx context.Context, s abi.Session) error {
	restorer, ok := n.strategy.(abi.Restorer)
	if !ok {
		return abi.ENOSYS
	}
	return n.wrap(abi.PhaseRestore, restorer.Restore(ctx, s))
}

// Close does nothing: there is no instance to discard.
func (nativeInstance) Close(context.Context) error { return nil }

// start returns a fresh instance of the named strategy.
func (s *strategies) start(ctx context.Context, name string) (instance, error) {
	started, err := s.launch(ctx, name)
	if err != nil || s.wrap == nil {
		return started, err
	}
	return watched{started, s.wrap}, nil
}

func (s *strategies) launch(ctx context.Context, name string) (instance, error) {
	if open, ok := s.native[name]; ok {
		return nativeInstance{name, open()}, nil
	}
	l, err := s.load(ctx, name)
	if err != nil {
		return nil, err
	}
	started, err := l.module.New(ctx)
	if err != nil {
		return nil, problem(CodePlugin, err, "")
	}
	return started, nil
}

// check loads a strategy, so that what is wrong with its module shows before a
// snapshot is asked for.
func (s *strategies) check(ctx context.Context, name string) error {
	if _, ok := s.native[name]; ok {
		return nil
	}
	_, err := s.load(ctx, name)
	return err
}

func (s *strategies) load(ctx context.Context, name string) (*loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.modules[name]; ok {
		return l, nil
	}
	table, ok := s.cfg.Strategies[name]
	if !ok {
		return nil, problem(CodeUsage, fmt.Errorf("no strategy %q", name),
			"use native-full, incremental or canonical, or add a [strategies."+name+"] table")
	}
	wasm, err := s.read(name, table)
	if err != nil {
		return nil, err
	}
	module, err := strategy.Load(ctx, name, wasm, strategy.Options{
		Limits:   strategy.Limits{Memory: int64(table.Limits.Memory), Prepare: time.Duration(table.Limits.Prepare), Snapshot: time.Duration(table.Limits.Snapshot)},
		Grants:   grants(table),
		CacheDir: s.cache,
	})
	if err != nil {
		return nil, problem(CodePlugin, err, "see 'rocksnap plugin inspect' for what the module needs")
	}
	l := &loaded{module, wasm}
	s.modules[name] = l
	return l, nil
}

func grants(table config.Strategy) []abi.Grant {
	list := make([]abi.Grant, len(table.Allow))
	for i, name := range table.Allow {
		list[i] = abi.Grant(name)
	}
	return list
}

// read finds and reads a module, and checks its pin on the very bytes that will
// run.
func (s *strategies) read(name string, table config.Strategy) ([]byte, error) {
	path, own, err := s.find(table.Module)
	if err != nil {
		return nil, err
	}
	wasm, err := os.ReadFile(path)
	if err != nil {
		return nil, problem(CodePlugin, fmt.Errorf("strategy %s: read module: %w", name, err), "")
	}
	sum := sha256.Sum256(wasm)
	digest := hex.EncodeToString(sum[:])
	switch {
	case table.SHA256 != "" && table.SHA256 != digest:
		return nil, problem(CodePlugin, fmt.Errorf("strategy %s: module %s has sha256 %s, the configuration pins %s", name, path, digest, table.SHA256),
			"restore the module, or pin the new one after inspecting it")
	case table.SHA256 == "" && !own && !table.AllowUnpinned:
		return nil, problem(CodePlugin, fmt.Errorf("strategy %s: module %s is not pinned", name, path),
			fmt.Sprintf("add sha256 = %q to [strategies.%s], or allow_unpinned = true", digest, name))
	}
	return wasm, nil
}

// find resolves a module's path: the configuration's folder, the folders of
// ROCKSNAP_PLUGIN_PATH, then the folders that come with the executable, which
// alone are trusted without a pin.
func (s *strategies) find(module string) (path string, own bool, err error) {
	installed := pluginFolders()
	if filepath.IsAbs(module) {
		return module, slices.Contains(installed, filepath.Dir(module)), nil
	}
	folders := append([]string{s.cfg.Dir()}, filepath.SplitList(os.Getenv("ROCKSNAP_PLUGIN_PATH"))...)
	folders = append(folders, installed...)
	for _, folder := range folders {
		path = filepath.Join(folder, module)
		if _, err := os.Stat(path); err == nil {
			return path, slices.Contains(installed, filepath.Dir(path)), nil
		}
	}
	return "", false, problem(CodePlugin, fmt.Errorf("module %s: %w in %v", module, fs.ErrNotExist, folders),
		"run 'make build', or set module or ROCKSNAP_PLUGIN_PATH")
}

// pluginFolders lists where the executable's own modules may be installed.
func pluginFolders() []string {
	exe, err := os.Executable()
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	dir := filepath.Dir(exe)
	return []string{filepath.Join(dir, "plugins"), filepath.Join(dir, "..", "lib", "rocksnap", "plugins")}
}

// config returns a strategy's own table as JSON.
func (s *strategies) config(name string) []byte {
	if table, ok := s.cfg.Strategies[name]; ok {
		return table.Config
	}
	return []byte("{}") // a native strategy without a table
}

// provenance says for the manifest what runs under a name.
func (s *strategies) provenance(name string) catalog.Strategy {
	p := catalog.Strategy{Name: name, ABI: fmt.Sprintf("%d.%d", abi.Major, abi.Minor)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.modules[name]; ok {
		p.Module = l.module.SHA256()
	}
	return p
}

// module returns the bytes that run under a name; nil for a native strategy.
func (s *strategies) module(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l, ok := s.modules[name]; ok {
		return l.wasm
	}
	return nil
}

func (s *strategies) close(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, l := range s.modules {
		errs = append(errs, l.module.Close(ctx))
	}
	s.modules = nil
	return errors.Join(errs...)
}
