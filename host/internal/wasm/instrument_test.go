package wasm

import (
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
)

// TestInstrumentRealModules wants modules that offer and want the same, and that
// an engine takes.
func TestInstrumentRealModules(t *testing.T) {
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter().WithCoreFeatures(features))
	defer r.Close(t.Context())
	for name, wasm := range realModules(t) {
		copied := instrumented(t, wasm)
		require.Equal(t, copied, instrumented(t, wasm), "the same each time")
		require.Less(t, len(copied), len(wasm)*5/4)
		want, err := Parse(wasm)
		require.NoError(t, err)
		got, err := Parse(copied)
		require.NoError(t, err)
		require.NoError(t, Check(copied, got, Limits{}), name)
		require.Equal(t, want.Imports, got.Imports)
		require.Equal(t, want.Exports, got.Exports)
		require.Equal(t, want.Memories, got.Memories)
		require.Equal(t, want.Tables, got.Tables)
		require.Len(t, got.Bodies, len(want.Bodies)+1)
		compiled, err := r.CompileModule(t.Context(), copied)
		require.NoError(t, err, name)
		require.Contains(t, slices.Collect(maps.Keys(compiled.ExportedFunctions())), "rocksnap_snapshot")
	}
}

// sum is a module that calls itself and returns 1 + 2 + ... + n.
func sum(n int) guest {
	add := []byte{0x20, 0, opIf, byte(I32), 0x20, 0, 0x20, 0, 0x41, 1, 0x6b, opCall, 0, 0x6a, opElse, 0x41, 0, opEnd}
	number := []ValueType{I32}
	return guest{functions: []function{{params: number, results: number, code: add}, {results: number, code: append(constant(n), opCall, 0)}}}
}

// TestInstrumentTwice wants a module that was instrumented before to work, and
// fuel of one byte, for which every place pauses, to give the same.
func TestInstrumentTwice(t *testing.T) {
	wasm := sum(1000).assemble()
	often, err := instrument(wasm, 1)
	require.NoError(t, err)
	for _, copied := range [][]byte{wasm, instrumented(t, wasm), instrumented(t, instrumented(t, wasm)), often, instrumented(t, often)} {
		m, err := newRuntime(t).InstantiateWithConfig(t.Context(), copied, wazero.NewModuleConfig())
		require.NoError(t, err)
		results, err := m.ExportedFunction("run").Call(t.Context())
		require.NoError(t, err)
		require.Equal(t, []uint64{500500}, results)
	}
}

// TestInstrumentUnchecked wants what we add to be out of reach even of a module
// that was not checked.
func TestInstrumentUnchecked(t *testing.T) {
	for want, code := range map[string][]byte{
		"refers to global 0, the module has 0":   {0x41, 1, opGlobalSet, 0},
		"refers to function 1, the module has 1": {0x41, 1, opCall, 1},
		"refers to type 1, the module has 1":     {0x41, 0, 0x41, 0, opCallIndirect, 1, 0},
	} {
		_, err := Instrument(one(code).assemble())
		require.ErrorContains(t, err, want)
	}
	export := section(sectionExport, []byte{1, 'g', byte(KindGlobal), 0})
	wasm := slices.Concat([]byte(magic), export)
	_, err := Instrument(wasm)
	require.ErrorContains(t, err, "refers to global 0")
}

// TestInstrumentSections wants names to survive, and what holds offsets, or counts
// that an engine would believe, not to.
func TestInstrumentSections(t *testing.T) {
	names := func(content ...byte) []byte {
		return custom("name", slices.Concat([]byte{1, byte(len(content))}, content))
	}
	good, forged := names(1, 0, 1, 'f'), names(0xff, 0xff, 0xff, 0xff, 0x0f)
	for _, c := range []struct{ has, keeps []byte }{
		{good, good},
		{forged, nil},
		{slices.Concat(custom(".debug_line", []byte{1}), custom("sourceMappingURL", []byte{0}), custom("rocksnap.plugin", []byte("{}"))), nil},
		{custom("name", slices.Concat([]byte{0, 2, 1, 'm'}, []byte{1, 4, 1, 0, 1, 'f'}, []byte{2, 2, 0xff, 0x7f})), good},
	} {
		g := sum(1)
		bare := instrumented(t, g.assemble())
		g.sections = c.has
		require.Equal(t, append(bare, c.keeps...), instrumented(t, g.assemble()))
	}
}

// TestInstrumentLeavesLeaves wants short functions without calls as they were, and
// a module without code altogether.
func TestInstrumentLeavesLeaves(t *testing.T) {
	wasm := one([]byte{1}).assemble()
	m, err := Parse(wasm)
	require.NoError(t, err)
	copied := instrumented(t, wasm)
	got, err := Parse(copied)
	require.NoError(t, err)
	body := func(wasm []byte, b Body) []byte { return wasm[b.Start:b.End] }
	require.Equal(t, body(wasm, m.Bodies[0]), body(copied, got.Bodies[0]))
	require.Equal(t, []byte(magic), instrumented(t, []byte(magic)))
}
