package strategy

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/child"
	"github.com/rocksnap/rocksnap/host/internal/wasm"
)

// scratch holds what the tests share: built guests and their compiled code.
var scratch string

func TestMain(m *testing.M) {
	child.Main()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "strategy-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		scratch = dir
		return m.Run()
	}())
}

const (
	tourPackage = "github.com/rocksnap/rocksnap/host/internal/strategy/testdata/tour/module"
	fullPackage = "github.com/rocksnap/rocksnap/plugins/native-full"
)

var (
	tourWasm = sync.OnceValues(func() ([]byte, error) { return buildGuest(tourPackage) })
	fullWasm = sync.OnceValues(func() ([]byte, error) { return buildGuest(fullPackage) })
)

// buildGuest builds a module as its author would.
func buildGuest(pkg string) ([]byte, error) {
	out := filepath.Join(scratch, filepath.Base(pkg)+".wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return os.ReadFile(out)
}

// load loads a module with everything granted, and compiled code shared with
// other tests.
func load(t testing.TB, wasm []byte, limits Limits) *Module {
	t.Helper()
	m, err := Load(t.Context(), "tour", wasm, Options{Limits: limits, Grants: abi.Grants, CacheDir: filepath.Join(scratch, "cache")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close(t.Context())) })
	return m
}

func loadTour(t testing.TB, limits Limits) *Module {
	t.Helper()
	wasm, err := tourWasm()
	require.NoError(t, err)
	return load(t, wasm, limits)
}

func newInstanceOf(t testing.TB, m *Module) *Instance {
	t.Helper()
	i, err := m.New(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, i.Close(t.Context())) })
	return i
}

// wat is a module put together by hand: every export runs the same few
// instructions. Zero values stand for those of a module that loads.
type wat struct {
	imports []wasm.Import   // functions, with typeIndex unused
	types   []wasm.FuncType // of the imports
	body    []byte          // instructions that leave an i32
	pages   uint32          // of memory; 0 is one page
	table   uint32          // entries of a table of functions; 0 for no table
	without string          // an export that is left out
	extra   []wasm.Export
	version uint32
	tree    int    // depth of a tree of calls without loops; see callTree
	begin   []byte // instructions of a further function, without a result
	start   bool   // whether that is the start function, rather than _initialize
}

// calling returns a module whose exports call one function of the ABI, with the
// same value for each parameter unless args says otherwise.
func calling(f *abi.Func, args ...uint32) wat {
	var body []byte
	for n, p := range f.Params {
		var value uint32
		if n < len(args) {
			value = args[n]
		}
		body = append(body, map[abi.Type]byte{abi.I32: 0x41, abi.I64: 0x42}[p.Type])
		body = appendSigned(body, value)
	}
	body = append(body, 0x10, 0) // call 0
	if f.Result == abi.None {
		body = append(body, 0x41, 0)
	}
	return wat{imports: []wasm.Import{{Module: abi.ImportModule, Name: f.Name}}, types: []wasm.FuncType{typeOf(f)}, body: body}
}

// reporting returns a module whose exports report progress, and then do what those
// of the other module do. The double's trip is called in between.
func reporting(then wat) wat {
	report, _ := lookup("progress")
	w := calling(report)
	body := slices.Clone(then.body)
	if n := bytes.LastIndexByte(body, 0x10); n >= 0 {
		body[n+1] = 1 // call 1
	}
	w.imports, w.types = append(w.imports, then.imports...), append(w.types, then.types...)
	w.body = append(w.body[:len(w.body)-2], body...)
	return w
}

// returning returns the instructions that return a constant.
func returning(value int32) []byte { return appendSigned([]byte{0x41}, uint32(value)) }

// appendSigned encodes an i32 constant.
func appendSigned(out []byte, value uint32) []byte {
	v := int64(int32(value))
	for {
		b := byte(v & 0x7f)
		v >>= 7
		if v == 0 && b&0x40 == 0 || v == -1 && b&0x40 != 0 {
			return append(out, b)
		}
		out = append(out, b|0x80)
	}
}

// assemble writes the module down.
func (w wat) assemble() []byte {
	types := append(slices.Clone(w.types), wasm.FuncType{Results: []wasm.ValueType{wasm.I32}}, wasm.FuncType{Params: []wasm.ValueType{wasm.I32, wasm.I64}, Results: []wasm.ValueType{wasm.I32}}, wasm.FuncType{})
	nullary, notify := uint64(len(w.types)), uint64(len(w.types)+1)
	version := w.version
	if version == 0 {
		version = abi.Version
	}
	var sigs, imports, funcs, exports, code [][]byte
	for _, s := range types {
		sigs = append(sigs, slices.Concat([]byte{0x60}, types1(s.Params), types1(s.Results)))
	}
	for n, i := range w.imports {
		imports = append(imports, slices.Concat(text(i.Module), text(i.Name), []byte{byte(i.Kind)}, uleb(uint64(n))))
	}
	for n, h := range abi.Exports {
		index, body := nullary, w.body
		switch h.Name {
		case "rocksnap_abi":
			body = returning(int32(version))
		case "rocksnap_notify":
			index = notify
		}
		funcs = append(funcs, uleb(index))
		code = append(code, functionOf(body))
		if h.Name != w.without {
			exports = append(exports, slices.Concat(text(h.Name), []byte{byte(wasm.KindFunction)}, uleb(uint64(n+len(w.imports)))))
		}
	}
	first := len(w.imports) + len(abi.Exports)
	for depth := range w.tree {
		body := returnZero
		if depth > 0 {
			next := append([]byte{0x10}, uleb(uint64(first+depth-1))...) // call
			body = slices.Concat(next, []byte{0x1a}, next)               // drop
		}
		funcs, code = append(funcs, uleb(nullary)), append(code, functionOf(body))
	}
	var start []byte
	if w.begin != nil {
		index := uleb(uint64(first + w.tree))
		funcs, code = append(funcs, uleb(nullary+2)), append(code, functionOf(w.begin))
		if w.start {
			start = slices.Concat([]byte{8}, uleb(uint64(len(index))), index)
		} else {
			exports = append(exports, slices.Concat(text("_initialize"), []byte{byte(wasm.KindFunction)}, index))
		}
	}
	if w.without != "memory" {
		exports = append(exports, append(text("memory"), byte(wasm.KindMemory), 0))
	}
	for _, e := range w.extra {
		exports = append(exports, slices.Concat(text(e.Name), []byte{byte(e.Kind)}, uleb(uint64(e.Index))))
	}
	var tables [][]byte
	if w.table > 0 {
		tables = append(tables, append([]byte{0x70, 0}, uleb(uint64(w.table))...))
	}
	memory := [][]byte{append([]byte{0}, uleb(uint64(max(w.pages, 1)))...)}
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), sectionOf(1, sigs), sectionOf(2, imports), sectionOf(3, funcs),
		sectionOf(4, tables), sectionOf(5, memory), sectionOf(7, exports), start, sectionOf(10, code))
}

// functionOf is a function without locals, as the code section has it.
func functionOf(body []byte) []byte {
	body = slices.Concat([]byte{0}, body, []byte{0x0b})
	return append(uleb(uint64(len(body))), body...)
}

// callTree returns instructions that call the root of the module's tree. Each
// function calls the next twice: there is no loop, and hardly an end.
func (w wat) callTree() []byte {
	return append([]byte{0x10}, uleb(uint64(len(w.imports)+len(abi.Exports)+w.tree-1))...)
}

func uleb(v uint64) []byte { return binary.AppendUvarint(nil, v) }

func text(s string) []byte { return append(uleb(uint64(len(s))), s...) }

func types1(list []wasm.ValueType) []byte {
	out := uleb(uint64(len(list)))
	for _, t := range list {
		out = append(out, byte(t))
	}
	return out
}

func sectionOf(id byte, items [][]byte) []byte {
	body := append(uleb(uint64(len(items))), slices.Concat(items...)...)
	return slices.Concat([]byte{id}, uleb(uint64(len(body))), body)
}

// Bodies of instructions.
var (
	returnZero  = []byte{0x41, 0}                            // i32.const 0
	loopForEver = []byte{0x03, 0x40, 0x0c, 0, 0x0b, 0x41, 0} // loop br 0 end
	trap        = []byte{0x00}                               // unreachable

	// ref.null func, i32.const 1, table.grow 0
	growTable = []byte{0xd0, 0x70, 0x41, 1, 0xfc, 0x0f, 0}
)
