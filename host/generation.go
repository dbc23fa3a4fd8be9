package host

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	"github.com/rocksnap/rocksnap/host/internal/child"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
	"github.com/rocksnap/rocksnap/host/internal/strategy/remote"
)

// generation is a configuration with the strategies that it describes, loaded on
// first use. A reload makes a new one; what has begun ends on the one it began on.
type generation struct {
	cfg        *config.Config
	strategies *strategies
	uses       int // guarded by strategies.mu

	mu     sync.Mutex // guards the maps
	files  map[string]*moduleFile
	loaded map[string]*module
}

// moduleFile is a module's file as it was read, once: what was checked is what
// runs, whatever becomes of the file.
type moduleFile struct {
	wasm   []byte
	digest string   // sha256, hex
	signer string   // the trusted key that has signed it; "" for none
	stamps []string // of the files, before they were read
}

// release gives the generation back. The last to do so closes the modules that no
// other generation shares.
func (g *generation) release(ctx context.Context) error {
	g.strategies.mu.Lock()
	g.uses--
	last := g.uses == 0
	g.strategies.mu.Unlock()
	if !last {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	var errs []error
	for _, m := range g.loaded {
		errs = append(errs, g.strategies.modules.release(ctx, m))
	}
	clear(g.loaded)
	return errors.Join(errs...)
}

// start returns a fresh instance of the named strategy.
func (g *generation) start(ctx context.Context, name string) (instance, error) {
	started, err := g.launch(ctx, name)
	if err != nil || g.strategies.wrap == nil {
		return started, err
	}
	return watched{started, g.strategies.wrap}, nil
}

func (g *generation) launch(ctx context.Context, name string) (instance, error) {
	if open, ok := g.strategies.native[name]; ok {
		return nativeInstance{name, open()}, nil
	}
	m, err := g.load(ctx, name)
	if err != nil {
		return nil, err
	}
	var started instance
	if o := g.options(name); o.Process {
		started, err = remote.New(ctx, name, g.module(name).wasm, o)
	} else {
		started, err = m.New(ctx)
	}
	if err != nil {
		return nil, problem(CodePlugin, err, "")
	}
	return started, nil
}

// check loads a strategy, so that what is wrong with its module shows before a
// snapshot is asked for.
func (g *generation) check(ctx context.Context, name string) error {
	if _, ok := g.strategies.native[name]; ok {
		return nil
	}
	_, err := g.load(ctx, name)
	g.warm(name, 0)
	return err
}

// nextAfter is how long a host waits before it readies a strategy for the next
// snapshot: a program that takes one and ends shall not wait for that.
const nextAfter = 50 * time.Millisecond

// warm has an instance of a module that is loaded started ahead, so that the next
// snapshot finds it.
func (g *generation) warm(name string, after time.Duration) {
	g.mu.Lock()
	m := g.loaded[name]
	g.mu.Unlock()
	if m != nil && !g.options(name).Process {
		m.Warm(after)
	}
}

func (g *generation) load(ctx context.Context, name string) (*module, error) {
	g.mu.Lock()
	m, ok := g.loaded[name]
	g.mu.Unlock()
	if ok {
		return m, nil
	}
	file, err := g.file(name)
	if err != nil {
		return nil, err
	}
	options := g.options(name)
	if err := g.isolable(ctx, name, options); err != nil {
		return nil, err
	}
	m, err = g.strategies.modules.acquire(ctx, keyOf(name, file.digest, options), func() (*strategy.Module, error) {
		return strategy.Load(ctx, name, file.wasm, options)
	})
	if err != nil {
		return nil, g.refused(name, err)
	}
	return g.keep(ctx, name, m)
}

// isolable refuses a process for each instance in a program that cannot start one.
func (g *generation) isolable(ctx context.Context, name string, o strategy.Options) error {
	if !o.Process {
		return nil
	}
	if _, err := child.Command(ctx, "strategy"); err != nil {
		return problem(CodeUsage, fmt.Errorf("%s: %w", g.cfg.Where("strategies", name, "isolation"), err),
			"call host.RunChild first in main, or set isolation = \"runtime\"")
	}
	return nil
}

// keep enters a module that was loaded, unless another goroutine was faster.
func (g *generation) keep(ctx context.Context, name string, m *module) (*module, error) {
	g.mu.Lock()
	first, ok := g.loaded[name]
	if !ok {
		g.loaded[name] = m
	}
	g.mu.Unlock()
	if ok {
		return first, g.strategies.modules.release(ctx, m)
	}
	return m, nil
}

// refused names the line of the configuration that a module which asks for too
// much is at odds with.
func (g *generation) refused(name string, err error) error {
	hint := "see 'rocksnap plugin inspect' for what the module needs"
	if errors.Is(err, abi.EPERM) {
		err = fmt.Errorf("%s: %w", g.cfg.Where("strategies", name, "allow"), err)
	}
	return problem(CodePlugin, err, hint)
}

// options are what a table of the configuration means to the sandbox.
func (g *generation) options(name string) strategy.Options {
	table := g.cfg.Strategies[name]
	return strategy.Options{
		Limits:   limits(table.Limits),
		Grants:   grants(table),
		CacheDir: g.strategies.cache,
		Process:  table.Isolation == config.IsolationProcess,
		Budget:   budget(int64(g.cfg.Plugins.Memory)),
		LogLevel: leastLevel(g.strategies.log),
		Report: func(err error) {
			g.strategies.log.Warn("compiled code of a module cannot be used", "strategy", name, "error", err)
		},
	}
}

// limits takes over what is given. To the sandbox zero means the default, so what
// the configuration sets to zero becomes the least that there is.
func limits(l config.Limits) strategy.Limits {
	return strategy.Limits{
		Memory: int64(l.Memory), Stack: int64(l.Stack), Table: cmp.Or(l.Table, -1),
		Compile: time.Duration(l.Compile), Prepare: time.Duration(l.Prepare), Snapshot: time.Duration(l.Snapshot),
		Control: time.Duration(l.Control), Grace: max(time.Duration(l.Grace), 1),
		Calls: l.Calls, Handles: l.Handles, LogBytes: int(l.Log),
	}
}

func grants(table config.Strategy) []abi.Grant {
	list := make([]abi.Grant, len(table.Allow))
	for i, name := range table.Allow {
		list[i] = abi.Grant(name)
	}
	return list
}

// file returns the module's file, which is read and checked on first use.
func (g *generation) file(name string) (*moduleFile, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f, ok := g.files[name]; ok {
		return f, nil
	}
	table, ok := g.cfg.Strategies[name]
	if !ok {
		return nil, problem(CodeUsage, fmt.Errorf("no strategy %q", name),
			"use native-full, incremental or canonical, or add a [strategies."+name+"] table")
	}
	f, err := g.read(name, table)
	if err != nil {
		return nil, err
	}
	g.files[name] = f
	return f, nil
}

// digest returns the sha256 of a strategy's module, trusted or not; "" for a native
// one, and where it cannot be read.
func (g *generation) digest(name string) string {
	table := g.cfg.Strategies[name]
	if _, ok := g.strategies.native[name]; ok || table.Module == "" {
		return ""
	}
	if f, err := g.file(name); err == nil {
		return f.digest
	}
	f, _ := g.read(name, table) // what ails it is told when it is loaded
	return f.digest
}

// suspect returns what a failure of a strategy may be due to.
func (g *generation) suspect(name string) suspect {
	table := g.cfg.Strategies[name]
	table.OnError = config.OnError{}
	text, _ := json.Marshal([]any{table, g.cfg.Plugins}) // of plain values it cannot fail
	sum := sha256.Sum256(text)
	return suspect{g.digest(name), hex.EncodeToString(sum[:])}
}

// read finds and reads a module, and checks its pin and signature on the very
// bytes that will run. What was read is returned with an error, too.
func (g *generation) read(name string, table config.Strategy) (*moduleFile, error) {
	path, own, err := g.find(table.Module)
	if err != nil {
		return &moduleFile{}, err
	}
	stamps := stampModule(path)
	wasm, err := readModule(path)
	if err != nil {
		return &moduleFile{}, problem(CodePlugin, fmt.Errorf("strategy %s: read module: %w", name, err), "")
	}
	sum := sha256.Sum256(wasm)
	f := &moduleFile{wasm: wasm, digest: hex.EncodeToString(sum[:]), stamps: stamps}
	if table.SHA256 != "" && table.SHA256 != f.digest {
		return f, problem(CodePlugin, fmt.Errorf("strategy %s: module %s has sha256 %s, the configuration pins %s", name, path, f.digest, table.SHA256),
			"restore the module, or pin the new one after inspecting it")
	}
	if f.signer, err = g.signer(name, path, wasm, own); err != nil {
		return f, err
	}
	if table.SHA256 == "" && f.signer == "" && !own && !table.AllowUnpinned {
		return f, problem(CodePlugin, fmt.Errorf("strategy %s: module %s is not pinned", name, path),
			fmt.Sprintf("add sha256 = %q to [strategies.%s], or allow_unpinned = true", f.digest, name))
	}
	return f, nil
}

// signer returns the trusted key that has signed a module; "" where the
// configuration asks for none. Where a strategy has keys of its own, or signatures
// are required of all but the executable's own modules, its module must be signed;
// else it may go without one, but not with a wrong one.
func (g *generation) signer(name, path string, wasm []byte, own bool) (string, error) {
	table := g.cfg.Strategies[name]
	keys := slices.Concat(table.Keys, g.cfg.Plugins.Keys)
	required := len(table.Keys) > 0 || g.cfg.Plugins.RequireSignature && !own
	if len(keys) == 0 && !required {
		return "", nil
	}
	signer, err := checkSignature(wasm, path, keys)
	if err == nil {
		return signer, nil
	}
	if !required && errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return "", fmt.Errorf("strategy %s: %w", name, err)
}

// find resolves a module's path: the configuration's folder, the folders of
// ROCKSNAP_PLUGIN_PATH, then the folders that come with the executable, which
// alone are trusted without a pin.
func (g *generation) find(module string) (path string, own bool, err error) {
	installed := pluginFolders()
	if filepath.IsAbs(module) {
		return module, slices.Contains(installed, filepath.Dir(module)), nil
	}
	folders := append([]string{g.cfg.Dir()}, filepath.SplitList(os.Getenv("ROCKSNAP_PLUGIN_PATH"))...)
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
func (g *generation) config(name string) []byte {
	if table, ok := g.cfg.Strategies[name]; ok {
		return table.Config
	}
	return []byte("{}") // a native strategy without a table
}

// state returns how many bytes a strategy may keep between its snapshots.
func (g *generation) state(name string) int {
	if table, ok := g.cfg.Strategies[name]; ok {
		return int(table.Limits.State)
	}
	return abi.MaxState
}

// flush says whether memtables are flushed before a checkpoint.
func (g *generation) flush() rocks.Flush { return rocks.Flush(g.cfg.Snapshot.Flush) }

// provenance says for the manifest what runs under a name.
func (g *generation) provenance(name string) catalog.Strategy {
	p := catalog.Strategy{Name: name, ABI: fmt.Sprintf("%d.%d", abi.Major, abi.Minor)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.loaded[name]; ok {
		p.Module, p.Signer = g.files[name].digest, g.files[name].signer
		p.Isolation = g.cfg.Strategies[name].Isolation.String()
	}
	return p
}

// module returns the file that runs under a name; nil for a native strategy.
func (g *generation) module(name string) *moduleFile {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, ok := g.loaded[name]; ok {
		return g.files[name]
	}
	return nil
}
