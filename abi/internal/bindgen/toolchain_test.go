package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// The bindings are given to the compilers that they are for. What a compiler
// makes of them must have the types of the table.

// need skips a test on a machine without a tool.
func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
}

func run(t *testing.T, tool string, args ...string) {
	t.Helper()
	out, err := exec.Command(tool, args...).CombinedOutput()
	require.NoError(t, err, "%s %s\n%s", tool, strings.Join(args, " "), out)
}

// clang builds a module and returns what it imports and exports.
func clang(t *testing.T, source string) *module {
	t.Helper()
	need(t, "clang", "wasm-ld")
	dir := t.TempDir()
	in, out := filepath.Join(dir, "guest.c"), filepath.Join(dir, "guest.wasm")
	require.NoError(t, os.WriteFile(in, []byte(source), 0o644))
	run(t, "clang", "--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry",
		"-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", abiDir, "-o", out, in)
	return readModule(t, out)
}

func wantImports() map[string]string {
	want := make(map[string]string)
	for _, f := range abi.Imports {
		want[abi.ImportModule+"."+f.Name] = signatureText(f)
	}
	return want
}

func wantExports() map[string]string {
	want := map[string]string{"memory": "memory"}
	for _, h := range abi.Exports {
		want[h.Name] = signatureText(h.Func)
	}
	return want
}

func signatureText(f abi.Func) string {
	var params, results []abi.Type
	for _, p := range f.Params {
		params = append(params, p.Type)
	}
	if f.Result != abi.None {
		results = append(results, f.Result)
	}
	return typeText(params, results)
}

func TestTextFormat(t *testing.T) {
	need(t, "wat2wasm")
	out := filepath.Join(t.TempDir(), "skeleton.wasm")
	run(t, "wat2wasm", "-o", out, filepath.Join(abiDir, "rocksnap_v1.wat"))
	m := readModule(t, out)
	assert.Equal(t, wantImports(), m.imports)
	assert.Equal(t, wantExports(), m.exports)
}

func TestHeader(t *testing.T) {
	var c strings.Builder
	c.WriteString(`#include "rocksnap_v1.h"
int32_t rocksnap_abi(void) { return ROCKSNAP_VERSION; }
int32_t rocksnap_init(void) { return -ROCKSNAP_EINVAL; }
int32_t rocksnap_prepare(void) { return 0; }
int32_t rocksnap_snapshot(void) { return 0; }
int32_t rocksnap_notify(uint32_t event, uint64_t slot) { return event == ROCKSNAP_EVENT_COMPLETE && slot > 0; }
int32_t rocksnap_restore(void) { return -ROCKSNAP_ENOSYS; }
typedef void function(void);
static function *const all[] = {
`)
	for _, f := range abi.Imports {
		fmt.Fprintf(&c, "  (function *)rocksnap_%s,\n", f.Name)
	}
	c.WriteString("};\n__attribute__((export_name(\"any\"))) function *any(int i) { return all[i]; }\n")
	m := clang(t, c.String())
	assert.Equal(t, wantImports(), m.imports)
	delete(m.exports, "any")
	assert.Equal(t, wantExports(), m.exports)
}

// A module imports no more than it uses, and exports no more than it defines.
func TestHeaderImportsNothingByItself(t *testing.T) {
	m := clang(t, "#include \"rocksnap_v1.h\"\nint32_t rocksnap_abi(void) { return ROCKSNAP_VERSION; }\n")
	assert.Empty(t, m.imports)
	assert.Equal(t, map[string]string{"memory": "memory", "rocksnap_abi": "() -> (i32)"}, m.exports)
}

func TestHeaderInOtherCompilers(t *testing.T) {
	need(t, "clang")
	header := filepath.Join(abiDir, "rocksnap_v1.h")
	for _, args := range [][]string{
		{"-x", "c++", "-std=c++17", "--target=wasm32"},
		{"-x", "c", "-std=c11"}, // the machine's own: the layout is the same everywhere
	} {
		run(t, "clang", append(args, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fsyntax-only", header)...)
	}
}

func TestRust(t *testing.T) {
	need(t, "rustc")
	for _, edition := range []string{"2018", "2021"} {
		run(t, "rustc", "--edition", edition, "--crate-type=lib", "--emit=metadata", "-D", "warnings",
			"-o", filepath.Join(t.TempDir(), "bindings.rmeta"), filepath.Join(abiDir, "rocksnap_v1.rs"))
	}
}

// The compiler of AssemblyScript is no part of this test, so the text is compared
// with the table: every function, its types and every offset. The example
// inventory compiles it.
func TestAssemblyScript(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(abiDir, "rocksnap_v1.ts"))
	require.NoError(t, err)
	declared := regexp.MustCompile(`@external\("(\w+)", "(\w+)"\)\nexport declare function rocksnap_\w+\((.*)\): (\w+);`)
	types := regexp.MustCompile(`: (\w+)`)
	have := make(map[string]string)
	for _, d := range declared.FindAllStringSubmatch(string(text), -1) {
		var params, results []abi.Type
		for _, p := range types.FindAllStringSubmatch(d[3], -1) {
			params = append(params, scriptTypes[p[1]])
		}
		if d[4] != "void" {
			results = []abi.Type{scriptTypes[d[4]]}
		}
		have[d[1]+"."+d[2]] = typeText(params, results)
	}
	assert.Equal(t, wantImports(), have)
	for _, r := range load(t).Records {
		_, body, _ := strings.Cut(string(text), "export namespace "+r.Name+" {\n")
		body, _, _ = strings.Cut(body, "\n}\n")
		assert.Contains(t, body, fmt.Sprintf("RECORD_SIZE: u32 = %d;", r.Size))
		for _, f := range r.Fields {
			assert.Contains(t, body, fmt.Sprintf(" %s: usize = %d; // %s:", strings.ToUpper(f.Name), f.Offset, short(f.Type)), r.Name)
		}
	}
}

var scriptTypes = map[string]abi.Type{"usize": abi.I32, "u32": abi.I32, "i32": abi.I32, "u64": abi.I64}

// The example of the specification is built as the page says.
func TestExample(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(abiDir, specification))
	require.NoError(t, err)
	code := regexp.MustCompile("(?s)```c\n(.*?)```\n").FindAllSubmatch(page, -1)
	require.Len(t, code, 1)
	m := clang(t, string(code[0][1]))

	named := regexp.MustCompile("It imports ((?:`\\w+`(?:, | and )?)+)").FindSubmatch(page)
	require.NotNil(t, named)
	var want []string
	for _, name := range regexp.MustCompile(`\w+`).FindAllString(strings.ReplaceAll(string(named[1]), " and ", " "), -1) {
		want = append(want, abi.ImportModule+"."+name)
	}
	var grants []string
	for name, got := range m.imports {
		assert.Equal(t, wantImports()[name], got, name)
		assert.Contains(t, want, name)
		grants = append(grants, grantOf(name)...)
	}
	assert.Len(t, m.imports, len(want))
	for _, h := range abi.Exports {
		if h.Required {
			assert.Equal(t, signatureText(h.Func), m.exports[h.Name])
		}
	}
	slices.Sort(grants)
	allow := fmt.Sprintf("allow = [%s]", strings.Join(slices.Compact(grants), ", "))
	assert.Contains(t, string(page), allow)
}

// grantOf returns the capability of an import, quoted as in a configuration.
func grantOf(name string) []string {
	for _, f := range abi.Imports {
		if abi.ImportModule+"."+f.Name == name && f.Grant != "" {
			return []string{fmt.Sprintf("%q", f.Grant)}
		}
	}
	return nil
}
