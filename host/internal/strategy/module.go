// Package strategy runs strategies that come as WebAssembly modules. It is the
// only room of the house that knows wazero.
//
// [Load] checks a module, limits and compiles it; [Module.New] makes a fresh
// [Instance], which is an [abi.Strategy] like any other. What the instance asks
// for goes to the [abi.Session] that each of its methods is given, so this
// package knows neither databases nor stores.
//
// The guest is not trusted. It can reach the functions of the ABI that it was
// granted, fifteen harmless functions of WASI, and its own memory.
package strategy

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/wasm"
)

const pageSize = 64 << 10

// Limits bound what one instance may use. A zero field stands for its default.
type Limits struct {
	Memory   int64         // bytes of linear memory, in whole pages of 64 KiB; default 64 MiB
	Stack    int64         // bytes of native stack of an instance in a process of its own; default 16 MiB. In the host's process the engine's own bound holds
	Table    int           // entries of a table; default 65,536
	Compile  time.Duration // for compiling the module; default 2 min
	Prepare  time.Duration // for prepare, while writers may be waiting; default 10 s
	Snapshot time.Duration // for snapshot, and for restore; default 24 h
	Control  time.Duration // for start, init and notify; default 30 s
	Grace    time.Duration // from a cancel or deadline to the kill; default 2 s
	Calls    int           // calls of the host per second, beyond which the guest is slowed down; default 200,000
	Handles  int           // scans and streams open at a time; default 64, which is the most
	LogBytes int           // bytes of log lines; default 256 KiB
}

func (l Limits) orDefaults() Limits {
	set(&l.Memory, 64<<20)
	set(&l.Stack, 16<<20)
	set(&l.Table, 1<<16)
	set(&l.Compile, 2*time.Minute)
	set(&l.Prepare, 10*time.Second)
	set(&l.Snapshot, 24*time.Hour)
	set(&l.Control, 30*time.Second)
	set(&l.Grace, 2*time.Second)
	set(&l.Calls, 200_000)
	set(&l.Handles, maxHandles)
	set(&l.LogBytes, 256<<10)
	return l
}

func set[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// of returns the time that a phase may take.
func (l Limits) of(p abi.Phase) time.Duration {
	switch p {
	case abi.PhasePrepare:
		return l.Prepare
	case abi.PhaseSnapshot, abi.PhaseRestore:
		return l.Snapshot
	}
	return l.Control
}

// Options are an operator's choices for one strategy.
type Options struct {
	Limits   Limits
	Grants   []abi.Grant // capabilities that the module may use; none by default
	CacheDir string      // where compiled code is kept; "" compiles anew each time
	Process  bool        // whether instances run in processes of their own
	Budget   *Budget     // memory that all modules share; nil for no bound
	LogLevel abi.Level   // log lines below it are dropped unheard; every line counts by default
	Report   func(error) // hears what is wrong with the cache, which fails nothing; may be nil
}

func (o *Options) report(err error) {
	if o.Report != nil && o.CacheDir != "" {
		o.Report(fmt.Errorf("compiled code: %w", err))
	}
}

// Module is a checked and compiled strategy. It may be used by several
// goroutines at once; each of its instances by one.
type Module struct {
	name     string
	sha256   string // of the file, not of the code that was made of it
	limits   Limits
	grants   []abi.Grant
	level    abi.Level
	budget   *Budget
	initial  int64 // bytes of memory that an instance starts with
	runtime  wazero.Runtime
	compiled wazero.CompiledModule
	cache    wazero.CompilationCache // nil without one

	spare     spare
	mu        sync.Mutex // guards instances
	instances map[*Instance]bool
}

// Load checks a module and compiles it. The name is the strategy's, for errors.
// Everything that can be known without running the module is checked first: its
// form, imports, exports, signatures and memory, and that o grants what it
// imports ([abi.EPERM] when not). Compiling takes seconds for a large module
// whose code is not in the cache, and stops when ctx ends.
func Load(ctx context.Context, name string, file []byte, o Options) (*Module, error) {
	o.Limits = o.Limits.orDefaults()
	m := &Module{name: name, sha256: digest(file), limits: o.Limits, grants: slices.Clone(o.Grants),
		level: o.LogLevel, budget: o.Budget, instances: make(map[*Instance]bool)}
	if err := m.load(ctx, file, &o); err != nil {
		return nil, fmt.Errorf("load strategy %q: %w", name, err)
	}
	return m, nil
}

// load makes the module ready to run. Its code comes from the cache, or is put there
// first: it was checked then.
func (m *Module) load(ctx context.Context, file []byte, o *Options) error {
	parsed, err := wasm.Parse(file)
	if err != nil {
		return err
	}
	if err := (outline{parsed}).check(o); err != nil {
		return err
	}
	m.initial = int64(parsed.Memories[0]) * pageSize
	c, err := openCache(o.CacheDir)
	if err != nil {
		o.report(err)
	}
	if c.restore(ctx, m, keyOf(file), o) {
		return nil
	}
	code, err := instrument(file, parsed, o)
	if err != nil {
		return err
	}
	if err := m.compile(ctx, code, c, keyOf(file), o); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	return nil
}

// instrument checks the code of a module and returns what is compiled in its place.
func instrument(file []byte, parsed *wasm.Module, o *Options) ([]byte, error) {
	if err := wasm.Check(file, parsed, wasm.Limits{Table: o.Limits.Table}); err != nil {
		return nil, err
	}
	return wasm.Instrument(file)
}

// features are those of WebAssembly 2.0, except for the one by which a table grows:
// a table lies outside the linear memory, and wazero does not limit it.
const features = api.CoreFeaturesV2 &^ api.CoreFeatureReferenceTypes

// build makes a runtime of the module's own, so that no module can import what
// is another's, and loads the machine code from a folder; without one it compiles.
func (m *Module) build(ctx context.Context, code []byte, folder string) (err error) {
	config := runtimeConfig(m.limits.Memory)
	if folder != "" {
		if m.cache, err = wazero.NewCompilationCacheWithDir(folder); err != nil {
			return err
		}
		config = config.WithCompilationCache(m.cache)
	}
	m.runtime = wazero.NewRuntimeWithConfig(ctx, config)
	if err = m.link(ctx, code); err != nil {
		m.closeRuntime(context.WithoutCancel(ctx)) // the error that counts is err
		m.runtime, m.cache = nil, nil
	}
	return err
}

func (m *Module) link(ctx context.Context, code []byte) error {
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, m.runtime); err != nil {
		return fmt.Errorf("offer WASI: %w", err)
	}
	if err := offer(ctx, m.runtime); err != nil {
		return fmt.Errorf("offer %s: %w", abi.ImportModule, err)
	}
	var err error
	m.compiled, err = m.runtime.CompileModule(experimental.WithCompilationWorkers(ctx, compileWorkers), code)
	return err
}

// SHA256 returns the digest of the module's file, in hex.
func (m *Module) SHA256() string { return m.sha256 }

// New returns a fresh instance that was started, now or ahead; see [Module.Warm]. It
// fails when the module was built for another major version of the ABI.
func (m *Module) New(ctx context.Context) (*Instance, error) {
	if i := m.take(); i != nil {
		return i, nil
	}
	i := newInstance(m)
	if err := i.start(ctx, m.budget); err != nil {
		i.Close(ctx)
		return nil, err
	}
	return i, nil
}

// Close closes the instances that are still open, and frees the compiled code. It
// waits for calls that are under way.
func (m *Module) Close(ctx context.Context) error {
	m.spare.close()
	m.mu.Lock()
	open := slices.Collect(maps.Keys(m.instances))
	m.mu.Unlock()
	var err error
	for _, i := range open {
		err = cmp.Or(err, i.Close(ctx))
	}
	if err = cmp.Or(err, m.closeRuntime(ctx)); err != nil {
		return fmt.Errorf("close strategy %q: %w", m.name, err)
	}
	return nil
}

func (m *Module) closeRuntime(ctx context.Context) error {
	err := m.runtime.Close(ctx)
	if m.cache != nil {
		err = cmp.Or(err, m.cache.Close(ctx)) // not before the runtime, which runs its code
	}
	return err
}

// remember and forget keep account of the instances that are open.
func (m *Module) remember(i *Instance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.instances[i] = true
}

func (m *Module) forget(i *Instance) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.instances, i)
}

// instantiate leaves clocks and random numbers at wazero's defaults, which are
// made up: a run depends on nothing but the session.
func (m *Module) instantiate(ctx context.Context, memory *linear, output *ring) (api.Module, error) {
	return m.runtime.InstantiateModule(experimental.WithMemoryAllocator(ctx, memory), m.compiled, wazero.NewModuleConfig().
		WithName(""). // anonymous, so that there can be many
		WithStartFunctions("_initialize").
		WithStdout(output).
		WithStderr(output))
}
