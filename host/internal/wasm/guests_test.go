package wasm

import (
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// features are those with which package strategy runs modules.
const features = api.CoreFeaturesV2 &^ api.CoreFeatureReferenceTypes

// real are modules that Go's compiler makes.
var real = sync.OnceValues(func() (modules map[string][]byte, err error) {
	modules = make(map[string][]byte)
	dir, err := os.MkdirTemp("", "wasm-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, pkg := range []string{"plugins/native-full", "plugins/incremental", "plugins/canonical", "examples/strategies/redact"} {
		out := filepath.Join(dir, "guest.wasm")
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-o", out, "github.com/rocksnap/rocksnap/"+pkg)
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		cmd.Stderr = os.Stderr
		if err = cmd.Run(); err != nil {
			return nil, err
		}
		if modules[filepath.Base(pkg)], err = os.ReadFile(out); err != nil {
			return nil, err
		}
	}
	return modules, nil
})

func realModules(t testing.TB) map[string][]byte {
	t.Helper()
	modules, err := real()
	require.NoError(t, err)
	return modules
}

// guest is a module put together by hand. All of its functions have a type of
// their own, and the last one is exported as "run".
type guest struct {
	functions []function
	pages     uint32
	table     uint32 // entries
	sections  []byte // behind the others
}

type function struct {
	params, results []ValueType
	locals          uint32 // of type i32
	code            []byte // without its end
}

func (g guest) assemble() []byte {
	var types, funcs, code [][]byte
	for n, f := range g.functions {
		types = append(types, slices.Concat([]byte{0x60}, typesOf(f.params), typesOf(f.results)))
		funcs = append(funcs, uleb(n))
		declared := []byte{0}
		if f.locals > 0 {
			declared = slices.Concat([]byte{1}, uleb(int(f.locals)), []byte{byte(I32)})
		}
		body := slices.Concat(declared, f.code, []byte{opEnd})
		code = append(code, append(uleb(len(body)), body...))
	}
	run := slices.Concat(uleb(3), []byte("run"), []byte{0}, uleb(len(g.functions)-1))
	out := slices.Concat([]byte(magic), section(sectionType, types...), section(sectionFunction, funcs...))
	if g.table > 0 {
		out = append(out, section(sectionTable, append([]byte{byte(funcref), 0}, uleb(int(g.table))...))...)
	}
	if g.pages > 0 {
		out = append(out, section(sectionMemory, append([]byte{0}, uleb(int(g.pages))...))...)
	}
	return slices.Concat(out, section(sectionExport, run), section(sectionCode, code...), g.sections)
}

func section(id byte, items ...[]byte) []byte {
	content := append(uleb(len(items)), slices.Concat(items...)...)
	return slices.Concat([]byte{id}, uleb(len(content)), content)
}

func custom(name string, content []byte) []byte {
	content = slices.Concat(uleb(len(name)), []byte(name), content)
	return slices.Concat([]byte{sectionCustom}, uleb(len(content)), content)
}

func typesOf(list []ValueType) []byte {
	out := uleb(len(list))
	for _, t := range list {
		out = append(out, byte(t))
	}
	return out
}

func uleb(n int) []byte { return binary.AppendUvarint(nil, uint64(n)) }

func constant(n int) []byte { return appendSigned([]byte{0x41}, n) }

// instrumented checks a module and instruments it.
func instrumented(t testing.TB, wasm []byte) []byte {
	t.Helper()
	m, err := Parse(wasm)
	require.NoError(t, err)
	require.NoError(t, Check(wasm, m, Limits{}))
	out, err := Instrument(wasm)
	require.NoError(t, err)
	return out
}

// newRuntime makes an engine that stops at a deadline, where it looks.
func newRuntime(t testing.TB) wazero.Runtime {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features).
		WithCloseOnContextDone(true).WithDebugInfoEnabled(false).WithMemoryLimitPages(1<<10))
	t.Cleanup(func() { require.NoError(t, r.Close(t.Context())) })
	return r
}
