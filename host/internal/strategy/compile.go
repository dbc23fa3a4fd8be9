package strategy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/child"
)

// A compiler is a program of 100,000 lines that reads what a stranger wrote, and
// one function of a module cannot be interrupted while it is compiled. So it works
// in a child, which puts the machine code into a folder; this process loads it
// from there.

const (
	compileTask    = "compile"
	compileWorkers = 2         // with a single one the compiler does not look at its context
	compileMemory  = 1 << 30   // bytes
	compileOutput  = 256 << 20 // bytes of machine code
	compileFiles   = 64        // open at a time

	// Exit statuses of the child.
	compileRefused = 3 // the compiler says what is wrong with the module
	compileFolder  = 4 // the folder cannot be written
)

func init() { child.Register(compileTask, func() int { return compileInChild(os.Stdin, os.Stdout) }) }

// order is what the child is asked to do: a line of JSON, followed by the code.
type order struct {
	Folder string        // where the machine code goes
	Memory int64         // bytes that the module's memory may grow to
	Time   time.Duration // for compiling
	Heap   int64         // bytes that the child may use
	Size   int           // bytes of code that follow
}

// runtimeConfig is the same wherever a module is compiled or run: machine code is
// found again only by a runtime that would have made the same.
func runtimeConfig(memory int64) wazero.RuntimeConfig {
	return wazero.NewRuntimeConfig().
		WithCoreFeatures(features).
		WithCloseOnContextDone(true).
		WithMemoryLimitPages(uint32(min(memory/pageSize, 1<<16))).
		WithDebugInfoEnabled(false)
}

// compileInChild is the child's side. It ends when its parent does.
func compileInChild(in io.Reader, out io.Writer) int {
	var o order
	code, err := o.receive(in)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() {
		io.Copy(io.Discard, in)
		os.Exit(1)
	}()
	err = compileInto(context.Background(), code, o.Folder, o.Memory)
	switch {
	case errors.Is(err, errFolder):
		return compileFolder
	case err != nil:
		fmt.Fprint(out, err)
		return compileRefused
	}
	return 0
}

// receive bounds the process before it reads the code, and never for longer than
// it was asked to.
func (o *order) receive(in io.Reader) ([]byte, error) {
	line, err := readLine(in)
	if err != nil {
		return nil, fmt.Errorf("read order: %w", err)
	}
	if err := json.Unmarshal(line, o); err != nil {
		return nil, fmt.Errorf("read order: %w", err)
	}
	runtime.GOMAXPROCS(compileWorkers)
	debug.SetGCPercent(50)     // garbage counts too
	debug.SetTraceback("none") // one line says it
	limits := child.Limits{Memory: o.Heap, CPU: compileWorkers*o.Time + time.Second, FileSize: compileOutput, Files: compileFiles}
	if err := child.Confine(limits); err != nil {
		return nil, err
	}
	code := make([]byte, o.Size)
	if _, err := io.ReadFull(in, code); err != nil {
		return nil, fmt.Errorf("read code: %w", err)
	}
	return code, nil
}

// readLine takes no byte beyond the line.
func readLine(in io.Reader) (line []byte, err error) {
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if _, err := io.ReadFull(in, b); err != nil || b[0] == '\n' {
			return line, err
		}
	}
}

// errFolder says that machine code could not be written down, which is not the
// module's fault.
var errFolder = errors.New("machine code cannot be written")

// compileInto puts the machine code of a module into a folder.
func compileInto(ctx context.Context, code []byte, folder string, memory int64) error {
	cache, err := wazero.NewCompilationCacheWithDir(folder)
	if err != nil {
		return fmt.Errorf("%w: %w", errFolder, err)
	}
	defer cache.Close(ctx)
	r := wazero.NewRuntimeWithConfig(ctx, runtimeConfig(memory).WithCompilationCache(cache))
	defer r.Close(ctx)
	_, err = r.CompileModule(experimental.WithCompilationWorkers(ctx, compileWorkers), code)
	var file *fs.PathError
	if errors.As(err, &file) {
		return fmt.Errorf("%w: %w", errFolder, err)
	}
	return err
}

// restore makes a module ready to run with what the cache holds of it.
func (c *cache) restore(ctx context.Context, m *Module, key string, o *Options) bool {
	if c == nil {
		return false
	}
	folder, err := c.find(key)
	if err == nil {
		var code []byte
		if code, err = os.ReadFile(filepath.Join(folder, codeName)); err == nil {
			err = m.build(ctx, code, folder)
		}
		if err != nil && ctx.Err() == nil {
			c.discard(folder)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && ctx.Err() == nil {
		o.report(fmt.Errorf("%w, compiling anew", err))
	}
	return err == nil
}

// compile makes the module ready to run, and puts its machine code into the cache.
// Where that cannot be used, it is made for this once.
func (m *Module) compile(ctx context.Context, code []byte, c *cache, key string, o *Options) error {
	if c == nil {
		return m.compileOnce(ctx, code)
	}
	folder, err := c.fill(ctx, code, key, m.limits)
	if errors.Is(err, errFolder) {
		o.report(err)
		return m.compileOnce(ctx, code)
	}
	if err != nil {
		return err
	}
	return m.build(ctx, code, folder)
}

// fill has a module compiled into the cache.
func (c *cache) fill(ctx context.Context, code []byte, key string, l Limits) (folder string, err error) {
	if folder, err = c.fresh(); err != nil {
		return "", fmt.Errorf("%w: %w", errFolder, err)
	}
	if err := machineCode(ctx, code, folder, l); err != nil {
		c.discard(folder)
		return "", err
	}
	if err := os.WriteFile(filepath.Join(folder, codeName), code, 0o600); err != nil {
		c.discard(folder)
		return "", fmt.Errorf("%w: %w", errFolder, err)
	}
	if folder, err = c.keep(folder, key); err != nil {
		return "", fmt.Errorf("%w: %w", errFolder, err)
	}
	return folder, nil
}

// compileOnce does without a cache.
func (m *Module) compileOnce(ctx context.Context, code []byte) error {
	folder, err := os.MkdirTemp("", "rocksnap-code-")
	if err == nil {
		defer os.RemoveAll(folder)
		err = machineCode(ctx, code, folder, m.limits)
	}
	var file *fs.PathError
	if errors.As(err, &file) || errors.Is(err, errFolder) {
		return m.build(ctx, code, "") // in this process, for want of any place
	}
	if err != nil {
		return err
	}
	return m.build(ctx, code, folder)
}

// machineCode compiles a module into a folder, in a child where that can be.
func machineCode(ctx context.Context, code []byte, folder string, l Limits) error {
	late := &abi.Error{Errno: abi.ETIMEDOUT, Text: fmt.Sprintf("compiling took longer than %s", l.Compile)}
	ctx, cancel := context.WithTimeoutCause(ctx, l.Compile, late)
	defer cancel()
	err := compileApart(ctx, code, order{Folder: folder, Memory: l.Memory, Time: l.Compile, Heap: compileMemory})
	if errors.Is(err, child.ErrUnavailable) {
		err = compileInto(ctx, code, folder, l.Memory)
	}
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// compileApart has a child compile a module into a folder. It fails with
// [child.ErrUnavailable] in a program that cannot have any.
func compileApart(ctx context.Context, code []byte, o order) error {
	cmd, err := child.Command(ctx, compileTask)
	if err != nil {
		return err
	}
	var refusal, trouble head
	cmd.Stdout, cmd.Stderr = &refusal, &trouble
	cmd.WaitDelay = time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("start the compiler: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start the compiler: %w", err)
	}
	o.Size = len(code)
	line, err := json.Marshal(o)
	if err == nil {
		in.Write(append(line, '\n')) // a child that does not read says why when it ends
		in.Write(code)
	}
	if err := cmd.Wait(); err != nil {
		return o.failure(ctx, err, refusal.String(), trouble.String())
	}
	return nil
}

// outOfMemory is what Go, C and the race detector say.
var outOfMemory = regexp.MustCompile("out of memory|cannot allocate memory|failed to allocate")

// failure says why a child did not do what it was asked to.
func (o *order) failure(ctx context.Context, err error, refusal, trouble string) error {
	var exit *exec.ExitError
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if !errors.As(err, &exit) {
		return fmt.Errorf("run the compiler: %w", err)
	}
	status, _ := exit.Sys().(syscall.WaitStatus)
	switch {
	case exit.ExitCode() == compileRefused:
		return errors.New(refusal)
	case exit.ExitCode() == compileFolder:
		return errFolder
	case outOfMemory.MatchString(trouble):
		return fmt.Errorf("compiling took more than %d MiB of memory: %w", o.Heap>>20, abi.EQUOTA)
	case status.Signaled():
		return fmt.Errorf("the compiler was ended by signal %q: %w", status.Signal(), abi.EQUOTA)
	}
	first, _, _ := strings.Cut(trouble, "\n")
	return fmt.Errorf("the compiler failed (%s): %s: %w", exit, first, abi.EINTERNAL)
}
