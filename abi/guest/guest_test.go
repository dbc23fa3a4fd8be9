package guest

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// wireTypes tells how the compiler passes a Go type.
var wireTypes = map[string]abi.Type{
	"unsafe.Pointer": abi.I32, "uint32": abi.I32, "int32": abi.I32, "uint64": abi.I64,
}

// declared is a function as a source file declares it.
type declared struct {
	params []abi.Type
	result abi.Type
}

// declarations reads the functions of a file by the name that a directive gives
// them, or by their own where there is no directive to look for.
func declarations(t *testing.T, file, directive string) map[string]declared {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	require.NoError(t, err)
	found := make(map[string]declared)
	for _, d := range parsed.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := f.Name.Name
		if directive != "" {
			name = directiveOf(f, directive)
			require.NotEmpty(t, name, "%s has no %s", f.Name.Name, directive)
		}
		found[name] = declared{params: wire(t, f.Type.Params), result: append(wire(t, f.Type.Results), abi.None)[0]}
	}
	return found
}

func directiveOf(f *ast.FuncDecl, directive string) string {
	for _, line := range f.Doc.List {
		if name, ok := strings.CutPrefix(line.Text, directive+" "); ok {
			return name
		}
	}
	return ""
}

func wire(t *testing.T, fields *ast.FieldList) (types []abi.Type) {
	if fields == nil {
		return nil
	}
	for _, f := range fields.List {
		name := fmt.Sprint(f.Type)
		if s, ok := f.Type.(*ast.SelectorExpr); ok {
			name = fmt.Sprintf("%s.%s", s.X, s.Sel)
		}
		require.Contains(t, wireTypes, name)
		for range max(1, len(f.Names)) {
			types = append(types, wireTypes[name])
		}
	}
	return types
}

func table(f *abi.Func) declared {
	d := declared{result: f.Result}
	for _, p := range f.Params {
		d.params = append(d.params, p.Type)
	}
	return d
}

func TestImportsAreThoseOfTheTable(t *testing.T) {
	want := make(map[string]declared)
	for i := range abi.Imports {
		want[abi.Imports[i].Name] = table(&abi.Imports[i])
	}
	assert.Equal(t, want, declarations(t, "imports_wasip1.go", "//go:wasmimport "+abi.ImportModule))
	assert.Equal(t, declarations(t, "imports_wasip1.go", ""), declarations(t, "imports_stub.go", ""), "the stubs")
}

func TestExportsAreThoseOfTheTable(t *testing.T) {
	want := make(map[string]declared)
	for i := range abi.Exports {
		want[abi.Exports[i].Name] = table(&abi.Exports[i].Func)
	}
	assert.Equal(t, want, declarations(t, "exports_wasip1.go", "//go:wasmexport"))
}

func TestDependsOnTheContractAlone(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	out, err := cmd.Output()
	require.NoError(t, err)
	const module = "github.com/rocksnap/rocksnap/"
	assert.Equal(t, []string{module + "abi", module + "abi/guest"}, strings.Fields(string(out)))
}

// configured is a session that has a configuration and nothing else.
type configured struct {
	abi.Session
	text string
	err  error
}

func (c configured) Config() ([]byte, error) { return []byte(c.text), c.err }

func TestConfig(t *testing.T) {
	type options struct {
		Every int    `json:"every"`
		Codec string `json:"codec"`
		Small uint8  `json:"small"`
		Deep  struct {
			Ratio float32  `json:"ratio"`
			On    bool     `json:"on"`
			List  []string `json:"list"`
		} `json:"deep"`
	}
	for _, tt := range []struct {
		text, problem string
		want          options
	}{
		{text: ``, want: options{Codec: "zstd"}},
		{text: `{}`, want: options{Codec: "zstd"}},
		{text: `{"every": 3}`, want: options{Every: 3, Codec: "zstd"}},
		{text: `{"codec": "none"}`, want: options{Codec: "none"}},
		{text: `{"evry": 3}`, problem: `config: unknown key "evry": invalid argument`},
		{text: `{"z": 1, "a": 2}`, problem: `config: unknown key "a": invalid argument`},
		{text: `{"every": "x"}`, problem: `config: every must be a number, not a string: invalid argument`},
		{text: `{"every": 1.5}`, problem: `config: every must be a whole number in range, not 1.5: invalid argument`},
		{text: `{"small": 300}`, problem: `config: small must be a whole number in range, not 300: invalid argument`},
		{text: `{"codec": 3}`, problem: `config: codec must be a string, not a number: invalid argument`},
		{text: `{"deep": {"ratio": 1e99}}`, problem: `config: deep.ratio must be a number in range, not 1e99: invalid argument`},
		{text: `{"deep": {"on": [1]}}`, problem: `config: deep.on must be true or false, not a list: invalid argument`},
		{text: `{"deep": {"list": {}}}`, problem: `config: deep.list must be a list, not a table: invalid argument`},
		{text: `{"deep": true}`, problem: `config: deep must be a table, not true or false: invalid argument`},
		{text: `"x"`, problem: `config: the table must be a table, not a string: invalid argument`},
		{text: `[`, problem: `config: `},
	} {
		got := options{Codec: "zstd"}
		err := Config(configured{text: tt.text}, &got)
		if tt.problem != "" {
			assert.ErrorIs(t, err, abi.EINVAL, tt.text)
			assert.ErrorContains(t, err, tt.problem)
			continue
		}
		require.NoError(t, err, tt.text)
		assert.Equal(t, tt.want, got)
	}
	assert.ErrorIs(t, Config(configured{err: abi.EIO}, &options{}), abi.EIO)
}

type nothing struct{}

func (nothing) Init(context.Context, abi.Session) error { return nil }

func (nothing) Prepare(_ context.Context, s abi.Session) error {
	_, err := s.Checkpoint()
	return err
}

func (nothing) Snapshot(context.Context, abi.Session) error { return io.ErrUnexpectedEOF }

func TestRegister(t *testing.T) {
	t.Cleanup(func() { strategy = nil })
	assert.Panics(t, func() { Register(nil) })
	Register(nothing{})
	assert.PanicsWithValue(t, "guest: Register called twice: a module has one strategy", func() { Register(nothing{}) })

	assert.Zero(t, run(strategy.Init))
	assert.Equal(t, -int32(abi.ENOSYS), run(strategy.Prepare), "there is no host here")
	assert.Equal(t, -int32(abi.EIO), run(strategy.Snapshot), "an error without a number")
	assert.Equal(t, -int32(abi.ENOSYS), notify(1, 2))
	assert.Equal(t, -int32(abi.ENOSYS), restore())
	assert.Equal(t, -int32(abi.EIO), result(abi.Errno(0)), "an error is never a success")
}

func TestBufferGrowsWithWhatIsRead(t *testing.T) {
	value := strings.Repeat("a", 2*firstBuffer)
	var calls int
	got, err := read("x", func(buf unsafe.Pointer, limit uint32) int32 {
		if calls++; calls < 4 {
			value += strings.Repeat("b", 100) // grows between the probe and the read
		}
		if len(value) > int(limit) {
			return int32(len(value))
		}
		return int32(copy(unsafe.Slice((*byte)(buf), limit), value))
	})
	require.NoError(t, err)
	assert.Equal(t, value, string(got))
	assert.Equal(t, 4, calls)
}
