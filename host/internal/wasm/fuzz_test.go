package wasm

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
)

// few are limits within which the compiler answers at once.
var few = Limits{Size: 4 << 10, Functions: 64, Table: 1 << 10, Locals: 64, Blocks: 64}

// FuzzCheck wants any file to be read, or refused, to its end; and a module that
// passes to pass as well with a section that is not code.
func FuzzCheck(f *testing.F) {
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := Parse(wasm)
		if err != nil || Check(wasm, m, few) != nil {
			return
		}
		noted := Annotate(wasm, m, "note", []byte("a"))
		again, err := Parse(noted)
		require.NoError(t, err)
		require.Equal(t, []byte("a"), again.Custom("note"))
		require.NoError(t, Check(noted, again, Limits{}))
	})
}

// FuzzInstrument wants the engine to think of what passes the check the same
// before and after.
func FuzzInstrument(f *testing.F) {
	f.Fuzz(func(t *testing.T, wasm []byte) {
		m, err := Parse(wasm)
		if err != nil || Check(wasm, m, few) != nil {
			return
		}
		copied, err := Instrument(wasm)
		require.NoError(t, err)
		bare := []byte(magic) // names and other notes are not the matter here
		for _, s := range m.Sections {
			if s.ID != sectionCustom {
				bare = append(bare, wasm[s.Start:s.End]...)
			}
		}
		r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigCompiler().WithCoreFeatures(features).WithMemoryLimitPages(16))
		defer r.Close(t.Context())
		_, before := r.CompileModule(t.Context(), bare)
		_, after := r.CompileModule(t.Context(), copied)
		require.Equal(t, before == nil, after == nil, "%v, instrumented: %v", before, after)
		if before == nil {
			// What starts may fail, but not bring us down. It may run for ever, so it is not run.
			m, err := r.InstantiateWithConfig(t.Context(), noStart(bare), wazero.NewModuleConfig().WithStartFunctions())
			if err == nil {
				require.NoError(t, m.Close(t.Context()))
			}
		}
	})
}

// noStart leaves out the function that an engine runs by itself.
func noStart(wasm []byte) []byte {
	m, err := Parse(wasm)
	if err != nil {
		return wasm
	}
	out := []byte(magic)
	for _, s := range m.Sections {
		if s.ID != sectionStart {
			out = append(out, wasm[s.Start:s.End]...)
		}
	}
	return out
}

// TestFuzzCorpus wants fuzzing to start from modules that get past the check.
func TestFuzzCorpus(t *testing.T) {
	for _, name := range []string{"FuzzCheck", "FuzzInstrument"} {
		files, err := filepath.Glob(filepath.Join("testdata", "fuzz", name, "*"))
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(files), 10, name)
		for _, file := range files {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Contains(t, string(text), `\x00asm`, file)
		}
	}
}
