package remote

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// calls is how often the guest of [BenchmarkCalls] calls the host in one phase.
const calls = 10_000

// calling reports progress until the counter in its memory is a multiple of calls.
var calling = tiny{call: "progress", body: []byte{
	0x03, 0x40, // loop
	0x42, 0, 0x42, 0, 0x10, 0, // progress(0, 0)
	0x41, 0, 0x41, 0, 0x28, 2, 0, 0x41, 1, 0x6a, 0x36, 2, 0, // memory[0]++
	0x41, 0, 0x28, 2, 0, 0x41, 0x90, 0xce, 0, 0x70, // memory[0] % calls
	0x0d, 0, 0x0b, 0x41, 0,
}}

// BenchmarkStart compares a fresh instance of a module that is loaded already, one
// of a module that is loaded from the cache, and a process, which does the latter.
func BenchmarkStart(b *testing.B) {
	for name, file := range map[string][]byte{"tiny": tiny{}.assemble(), "go": build(b, "plugins/native-full")} {
		b.Run(name+"/here", func(b *testing.B) {
			m, err := strategy.Load(b.Context(), "x", file, options(strategy.Limits{}))
			require.NoError(b, err)
			defer m.Close(b.Context())
			for b.Loop() {
				i, err := m.New(b.Context())
				require.NoError(b, err)
				i.Close(b.Context())
			}
		})
		b.Run(name+"/loaded here", func(b *testing.B) {
			for b.Loop() {
				m, err := strategy.Load(b.Context(), "x", file, options(strategy.Limits{}))
				require.NoError(b, err)
				_, err = m.New(b.Context())
				require.NoError(b, err)
				m.Close(b.Context())
			}
		})
		b.Run(name+"/there", func(b *testing.B) {
			for b.Loop() {
				i, err := New(b.Context(), "x", file, options(strategy.Limits{}))
				require.NoError(b, err)
				i.Close(b.Context())
			}
		})
	}
}

// BenchmarkCalls tells the cost of a phase with 10,000 calls of the host.
func BenchmarkCalls(b *testing.B) {
	limits := strategy.Limits{Calls: 1 << 30}
	near, far := here(b, calling.assemble(), limits), there(b, calling.assemble(), limits)
	for name, i := range map[string]abi.Strategy{"here": near, "there": far} {
		b.Run(name, func(b *testing.B) {
			d := &double{quiet: true}
			count := 0
			d.onProgress = func() { count++ }
			for b.Loop() {
				count = 0
				require.NoError(b, i.Init(b.Context(), d))
				require.GreaterOrEqual(b, count, calls)
			}
		})
	}
}

func BenchmarkTenThousandFiles(b *testing.B) {
	file := build(b, "plugins/native-full")
	near, far := here(b, file, strategy.Limits{}), there(b, file, strategy.Limits{})
	for name, i := range map[string]abi.Strategy{"here": near, "there": far} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				d := &double{quiet: true, files: 10_000, config: "{}"}
				require.NoError(b, i.Init(b.Context(), d))
				require.NoError(b, i.Prepare(b.Context(), d))
				require.NoError(b, i.Snapshot(b.Context(), d))
			}
		})
	}
}
