package wasm

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
)

// BenchmarkCall measures a call between functions of a module, in a tree of them.
func BenchmarkCall(b *testing.B) {
	const depth = 20
	wasm := tree(depth).assemble()
	for _, variant := range []struct {
		name string
		wasm []byte
	}{{"plain", wasm}, {"instrumented", instrumented(b, wasm)}} {
		b.Run(variant.name, func(b *testing.B) {
			m, err := newRuntime(b).InstantiateWithConfig(b.Context(), variant.wasm, wazero.NewModuleConfig())
			require.NoError(b, err)
			for b.Loop() {
				require.NoError(b, run(b.Context(), m))
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(1<<(depth+1)), "ns/call")
		})
	}
}

// BenchmarkInstrument measures the way of a large module to the compiler.
func BenchmarkInstrument(b *testing.B) {
	wasm := realModules(b)["incremental"]
	b.SetBytes(int64(len(wasm)))
	for b.Loop() {
		instrumented(b, wasm)
	}
}
