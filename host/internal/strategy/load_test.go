package strategy

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/wasm"
)

func TestLoadRefuses(t *testing.T) {
	imports := func(module, name string, s wasm.FuncType) wat {
		return wat{imports: []wasm.Import{{Module: module, Name: name}}, types: []wasm.FuncType{s}, body: returnZero}
	}
	i32 := wasm.FuncType{Results: []wasm.ValueType{wasm.I32}}
	sound := wat{body: returnZero}.assemble()
	for want, wasm := range map[string][]byte{
		"not a WebAssembly module":      []byte("#!/bin/sh\nexit 0\n"),
		"build a core module":           []byte("\x00asm\x0d\x00\x01\x00rest"),
		"unknown WebAssembly version 2": []byte("\x00asm\x02\x00\x00\x00"),
		"module is cut short":           sound[:len(sound)-3],
		"import env.abort: unknown module; this host offers rocksnap_v1":                imports("env", "abort", i32).assemble(),
		"import rocksnap_v2.info: unknown module":                                       imports("rocksnap_v2", "info", i32).assemble(),
		"import rocksnap_v1.teleport: unknown function; this host speaks ABI 1.0":       imports(abi.ImportModule, "teleport", i32).assemble(),
		"import rocksnap_v1.info: wrong signature () -> (i32), want (i32 i32) -> (i32)": imports(abi.ImportModule, "info", i32).assemble(),
		"import wasi_snapshot_preview1.path_open: this part of WASI does not exist":     imports(wasiModule, "path_open", i32).assemble(),
		"export rocksnap_prepare is missing":                                            wat{body: returnZero, without: "rocksnap_prepare"}.assemble(),
		"export memory is missing":                                                      wat{body: returnZero, without: "memory"}.assemble(),
		"a command, not a reactor: build with -buildmode=c-shared": wat{body: returnZero, without: "rocksnap_init",
			extra: []wasm.Export{{Name: "_start"}}}.assemble(),
		"needs 65600 KiB of memory to start, limits.memory allows 65536 KiB":     wat{body: returnZero, pages: 1025}.assemble(),
		"has a table of 65537 entries, at most 65536 are allowed: limit reached": wat{body: returnZero, table: 1<<16 + 1}.assemble(),
		"instruction 0xd0 is not one of WebAssembly 2.0 without reference types": wat{body: growTable, table: 1}.assemble(),
		"compile: invalid function[1]":                                           wat{body: []byte{0x1a, 0x41, 0}}.assemble(), // drop, of nothing
	} {
		_, err := Load(t.Context(), "mine", wasm, Options{Grants: abi.Grants})
		require.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, `load strategy "mine": `)
	}
}

func TestTableIsAccepted(t *testing.T) {
	i := newInstanceOf(t, load(t, wat{body: returnZero, table: 1 << 16}.assemble(), Limits{}))
	assert.NoError(t, i.Init(t.Context(), &double{}))
}

func TestImportedMemoryIsRefused(t *testing.T) {
	m := wasm.Module{Imports: []wasm.Import{{Module: abi.ImportModule, Name: "memory", Kind: wasm.KindMemory}}}
	assert.EqualError(t, outline{&m}.check(&Options{}), "import rocksnap_v1.memory: only functions can be imported, this is a memory")
}

func TestWrongExportSignatureIsRefused(t *testing.T) {
	m, err := wasm.Parse(wat{body: returnZero}.assemble())
	require.NoError(t, err)
	m.Exports[1].Index = 4 // rocksnap_init gets the type of rocksnap_notify
	assert.EqualError(t, outline{m}.check(&Options{Limits: Limits{}.orDefaults()}), "export rocksnap_init: wrong signature (i32 i64) -> (i32), want () -> (i32)")
}

// TestGoGuestImportsOnlyWhatItUses is what makes grants mean something for
// strategies that are written in Go.
func TestGoGuestImportsOnlyWhatItUses(t *testing.T) {
	wasm, err := fullWasm()
	require.NoError(t, err)
	info, err := Inspect(wasm)
	require.NoError(t, err)
	assert.Equal(t, []abi.Grant{abi.GrantCheckpoint, abi.GrantUpload}, info.Capabilities)
	assert.Equal(t, abi.ImportModule, info.ABI)
	for _, name := range info.Imports {
		for _, unused := range []string{"reuse", "scan", "stream", "state", "export", "fetch", "pump", "base"} {
			assert.False(t, strings.HasPrefix(name, abi.ImportModule+"."+unused), "%s is linked", name)
		}
	}
	wasm, err = tourWasm()
	require.NoError(t, err)
	info, err = Inspect(wasm)
	require.NoError(t, err)
	assert.Equal(t, abi.Grants, info.Capabilities)
	for _, f := range abi.Imports {
		assert.Contains(t, info.Imports, abi.ImportModule+"."+f.Name)
	}
}

func TestInspectAndAnnotate(t *testing.T) {
	f, _ := lookup("reuse")
	plain := wat{imports: calling(f).imports, types: calling(f).types, body: returnZero, pages: 3}.assemble()
	first, err := Annotate(plain, json.RawMessage(`{"name": "old"}`))
	require.NoError(t, err)
	metadata := json.RawMessage(`{ "name": "mine", "version": "1.2.3", "license": "MIT", "source": "here",
		"config_schema": {"type": "object"} }`)
	second, err := Annotate(first, metadata)
	require.NoError(t, err)
	direct, err := Annotate(plain, metadata)
	require.NoError(t, err)
	assert.True(t, bytes.Equal(direct, second), "replacing leaves nothing behind")

	info, err := Inspect(second)
	require.NoError(t, err)
	assert.Equal(t, Info{
		SHA256: digest(second), Size: len(second), ABI: "rocksnap_v1", Name: "mine", Version: "1.2.3", License: "MIT", Source: "here",
		Imports:      []string{"rocksnap_v1.reuse"},
		Exports:      []string{"rocksnap_abi", "rocksnap_init", "rocksnap_prepare", "rocksnap_snapshot", "rocksnap_notify", "rocksnap_restore", "memory"},
		Capabilities: []abi.Grant{abi.GrantReuse}, MemoryPages: 3, Functions: 6, ConfigSchema: json.RawMessage(`{"type":"object"}`),
	}, info)
	newInstanceOf(t, load(t, second, Limits{}))

	_, err = Annotate(plain, json.RawMessage(`[1]`))
	assert.ErrorContains(t, err, "not a JSON object")
	_, err = Annotate(plain, json.RawMessage(`{"nmae": "x"}`))
	require.ErrorContains(t, err, "nmae")
	_, err = Annotate(plain, json.RawMessage(`{"name": 5}`))
	require.ErrorContains(t, err, "name")
	_, err = Annotate(plain, json.RawMessage(`{`))
	assert.ErrorContains(t, err, "read metadata")
	_, err = Annotate([]byte("x"), metadata)
	assert.ErrorContains(t, err, "not a WebAssembly module")
}

func TestCompilingStopsOnCancel(t *testing.T) {
	wasm, err := tourWasm()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = Load(ctx, "x", wasm, Options{Grants: abi.Grants})
	assert.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain text, naïve ✓": "plain text, naïve ✓",
		"two\nlines":          `two\u000alines`,
		"\x1b[2Jgone":         `\u001b[2Jgone`,
		"bad \xff byte":       "bad \uFFFD byte",
		"\u202egnp.exe":       `\u202egnp.exe`,
	} {
		assert.Equal(t, want, printable([]byte(in), false))
	}
	assert.Equal(t, "two\nlines", printable([]byte("two\nlines"), true))
}

func TestRingKeepsTheEnd(t *testing.T) {
	var r ring
	for range 100 {
		r.Write(bytes.Repeat([]byte("x"), 1000))
	}
	r.Write([]byte("the end"))
	assert.Len(t, r.kept, ringSize)
	assert.True(t, strings.HasSuffix(r.String(), "xthe end"))
	r.Write(bytes.Repeat([]byte("y"), 3*ringSize))
	assert.Equal(t, strings.Repeat("y", ringSize), r.String())
}

func FuzzInspect(f *testing.F) {
	plain := calling(&abi.Imports[0]).assemble()
	annotated, err := Annotate(plain, json.RawMessage(`{"name":"seed","config_schema":{}}`))
	require.NoError(f, err)
	f.Add(plain)
	f.Add(annotated)
	f.Add(annotated[:len(annotated)-5])
	f.Add([]byte("\x00asm\x0d\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, file []byte) {
		before, err := Inspect(file)
		if err != nil {
			return
		}
		annotated, err := Annotate(file, json.RawMessage(`{"name":"fuzz"}`))
		require.NoError(t, err)
		after, err := Inspect(annotated)
		require.NoError(t, err)
		assert.Equal(t, "fuzz", after.Name)
		assert.Equal(t, before.Imports, after.Imports)
		assert.Equal(t, before.Exports, after.Exports)
		again, err := Annotate(annotated, json.RawMessage(`{"name":"fuzz"}`))
		require.NoError(t, err)
		assert.Equal(t, annotated, again)
		if m, err := wasm.Parse(file); err == nil {
			_ = outline{m}.check(&Options{Limits: Limits{}.orDefaults()}) // must not panic
		}
	})
}
