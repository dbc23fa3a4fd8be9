package remote

import (
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
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// scratch holds what the tests share: built guests and their compiled code.
var scratch string

func TestMain(m *testing.M) {
	if os.Getenv("REMOTE_TEST_NO_CHILDREN") == "" {
		child.Main()
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "remote-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		scratch = dir
		return m.Run()
	}())
}

const prefix = "github.com/rocksnap/rocksnap/"

var built sync.Map // package to func() ([]byte, error)

// build builds a module of Go as its author would, once.
func build(t testing.TB, pkg string) []byte {
	t.Helper()
	once, _ := built.LoadOrStore(pkg, sync.OnceValues(func() ([]byte, error) {
		out := filepath.Join(scratch, filepath.Base(pkg)+".wasm")
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-o", out, prefix+pkg)
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", pkg, err, text)
		}
		return os.ReadFile(out)
	}))
	file, err := once.(func() ([]byte, error))()
	require.NoError(t, err)
	return file
}

func tour(t testing.TB) []byte { return build(t, "host/internal/strategy/testdata/tour/module") }

func options(l strategy.Limits) strategy.Options {
	return strategy.Options{Limits: l, Grants: abi.Grants, CacheDir: filepath.Join(scratch, "cache")}
}

// here starts an instance in this process.
func here(t testing.TB, file []byte, l strategy.Limits) *strategy.Instance {
	t.Helper()
	m, err := strategy.Load(t.Context(), "x", file, options(l))
	require.NoError(t, err)
	t.Cleanup(func() { m.Close(t.Context()) })
	i, err := m.New(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { i.Close(t.Context()) })
	return i
}

// there starts an instance in a process of its own.
func there(t testing.TB, file []byte, l strategy.Limits) *Instance {
	t.Helper()
	i, err := New(t.Context(), "x", file, options(l))
	require.NoError(t, err)
	t.Cleanup(func() { i.Close(t.Context()) })
	return i
}

// tiny is a module put together by hand: each of its exports calls the function
// named, with small numbers, and then runs the instructions of the body.
type tiny struct {
	call    string // of the ABI; "" for none
	args    []byte // below 64; 0 where missing
	body    []byte // nil returns 0
	version uint32
}

// Bodies of instructions.
var (
	loopForEver = []byte{0x03, 0x40, 0x0c, 0, 0x0b, 0x41, 0} // loop br 0 end
	trap        = []byte{0x00}                               // unreachable
)

func (m tiny) assemble() []byte {
	types := [][]byte{{0x60, 0, 1, 0x7f}, {0x60, 2, 0x7f, 0x7e, 1, 0x7f}}
	var imports [][]byte
	body := m.body
	if body == nil {
		body = []byte{0x41, 0}
	}
	if m.call != "" {
		f := abi.Imports[index[m.call]]
		signature, call := []byte{0x60, byte(len(f.Params))}, []byte(nil)
		for n, p := range f.Params {
			signature = append(signature, byte(p.Type))
			call = append(call, map[abi.Type]byte{abi.I32: 0x41, abi.I64: 0x42}[p.Type], slices.Concat(m.args, make([]byte, 8))[n])
		}
		call = append(call, 0x10, 0)
		if f.Result == abi.None {
			signature = append(signature, 0)
		} else {
			signature = append(signature, 1, byte(f.Result))
			if m.body != nil {
				call = append(call, 0x1a) // drop
			} else {
				body = nil // return what it returned
			}
		}
		types, body = append(types, signature), append(call, body...)
		imports = [][]byte{slices.Concat(name(abi.ImportModule), name(m.call), []byte{0, 2})}
	}
	var funcs, exports, code [][]byte
	for n, h := range abi.Exports {
		kind, text := byte(0), body
		switch h.Name {
		case "rocksnap_abi":
			version := m.version
			if version == 0 {
				version = abi.Version
			}
			text = append([]byte{0x41}, leb(version)...)
		case "rocksnap_notify":
			kind = 1
		}
		text = slices.Concat([]byte{0}, text, []byte{0x0b})
		funcs, code = append(funcs, []byte{kind}), append(code, append(leb(uint32(len(text))), text...))
		exports = append(exports, append(name(h.Name), 0, byte(n+len(imports))))
	}
	exports = append(exports, append(name("memory"), 2, 0))
	return slices.Concat([]byte("\x00asm\x01\x00\x00\x00"), section(1, types), section(2, imports), section(3, funcs),
		section(5, [][]byte{{0, 1}}), section(7, exports), section(10, code))
}

func leb(v uint32) []byte { return binary.AppendUvarint(nil, uint64(v)) }

func name(s string) []byte { return append(leb(uint32(len(s))), s...) }

func section(id byte, items [][]byte) []byte {
	body := append(leb(uint32(len(items))), slices.Concat(items...)...)
	return slices.Concat([]byte{id}, leb(uint32(len(body))), body)
}
