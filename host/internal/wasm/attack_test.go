package wasm

import (
	"bytes"
	"context"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/rocksnap/rocksnap/host/internal/pausetest"
)

// deadline is after what time the attacks below are to be over.
const deadline = 200 * time.Millisecond

// tree calls itself twice, as many levels deep as it is told: 2^n calls and no loop.
func tree(depth int) guest {
	again := []byte{0x20, 0, 0x41, 1, 0x6b, opCall, 0} // local.get 0, i32.const 1, i32.sub, call 0
	code := slices.Concat([]byte{0x20, 0, opIf, 0x40}, again, again, []byte{opEnd})
	return guest{functions: []function{{params: []ValueType{I32}, code: code}, {code: append(constant(depth), opCall, 0)}}}
}

// slowly is a function of divisions, with a divisor that no compiler knows.
func slowly(before, after []byte, n int) function {
	divide := bytes.Repeat([]byte{0x20, 0, 0x41, 1, 0x72, 0x20, 0, 0x41, 3, 0x72, 0x6d, 0x1a}, n) // (p|1)/(p|3), drop
	return function{params: []ValueType{I32}, code: slices.Concat(before, divide, after)}
}

// returning recurses first and works afterwards: all of the time goes by in code
// behind calls, while no function is entered.
func returning(depth, work int) guest {
	again := []byte{0x20, 0, opIf, 0x40, 0x20, 0, 0x41, 1, 0x6b, opCall, 0, opEnd}
	return guest{functions: []function{slowly(again, nil, work), {code: append(constant(depth), opCall, 0)}}}
}

// wide calls functions without a loop or a call, one after the other, from
// functions that do the same with it.
func wide(leafWork int) guest {
	calls := func(callee byte) function {
		return function{params: []ValueType{I32}, code: bytes.Repeat([]byte{0x20, 0, opCall, callee}, 20_000)}
	}
	return guest{functions: []function{slowly(nil, nil, leafWork), calls(0), calls(1), {code: append(constant(1), opCall, 2)}}}
}

// filling sets 64 MiB of memory, thousands of times, without a loop or a call.
func filling() guest {
	fill := slices.Concat(constant(0), constant(7), constant(1<<26), []byte{prefixMisc, 11, 0})
	return guest{pages: 1 << 10, functions: []function{{code: bytes.Repeat(fill, 2_000)}}}
}

// copying does the same by memory.copy.
func copying() guest {
	fill := slices.Concat(constant(0), constant(1), constant(1<<26-1), []byte{prefixMisc, 10, 0, 0})
	return guest{pages: 1 << 10, functions: []function{{code: bytes.Repeat(fill, 2_000)}}}
}

// shuffling copies a table onto itself.
func shuffling() guest {
	shuffle := slices.Concat(constant(0), constant(1), constant(1<<16-1), []byte{prefixMisc, 14, 0, 0})
	return guest{table: 1 << 16, functions: []function{{code: bytes.Repeat(shuffle, 15_000)}}}
}

// TestAttacks runs modules that have no loop for an engine to look at its
// deadline. Instrumented, they are killed soon after it, and the garbage collector
// of the host, which has to stop their code as well, does not wait for them.
func TestAttacks(t *testing.T) {
	attacks := map[string]guest{
		"tree of calls":            tree(40),
		"work behind a recursion":  returning(200_000, 15_000),
		"calls of short functions": wide(4),
		"calls of long functions":  wide(10_000),
		"memory.fill":              filling(),
		"memory.copy":              copying(),
		"table.copy":               shuffling(),
	}
	for name, g := range attacks {
		t.Run(name, func(t *testing.T) {
			wasm := instrumented(t, g.assemble())
			for try := 0; ; try++ {
				took, pause := attack(t, wasm)
				t.Logf("killed after %v, longest pause %v", took, pause)
				if took < deadline+100*time.Millisecond && pause < 50*time.Millisecond {
					break
				}
				require.Less(t, try, 10, "killed in time at least once, on a machine that others use")
			}
		})
	}
}

// attack runs a module until it is killed, and returns how long that and the
// longest pause of the garbage collector took.
func attack(t *testing.T, wasm []byte) (took, pause time.Duration) {
	r := newRuntime(t)
	defer r.Close(t.Context())
	m, err := r.InstantiateWithConfig(t.Context(), wasm, wazero.NewModuleConfig())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	longest, start := pausetest.Collect(), time.Now()
	err = run(ctx, m)
	took = time.Since(start)
	pause = longest()
	require.ErrorIs(t, err, context.DeadlineExceeded)
	return took, pause
}

func run(ctx context.Context, m api.Module) error {
	_, err := m.ExportedFunction("run").Call(ctx)
	return err
}

// TestAttackPlain shows what the attacks do to a module that is not instrumented:
// the engine does not notice that the time is up, and the whole program stands still
// from the first garbage collection on.
func TestAttackPlain(t *testing.T) {
	const depth = 28
	m, err := newRuntime(t).InstantiateWithConfig(t.Context(), tree(depth).assemble(), wazero.NewModuleConfig())
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	longest, start := pausetest.Collect(), time.Now()
	run(ctx, m) // to its end, whatever it says
	require.Greater(t, time.Since(start), 100*time.Millisecond)
	require.Greater(t, longest(), 50*time.Millisecond)
}

// TestDeepRecursion wants the native stack of a recursion without end, which is
// not part of a guest's memory, to be bounded by the engine and to be given back.
func TestDeepRecursion(t *testing.T) {
	code := []byte{opCall, 0, opCall, 0}
	wasm := instrumented(t, guest{functions: []function{{code: code}}}.assemble())
	heap := func() uint64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return s.HeapAlloc
	}
	before := heap()
	var start, end runtime.MemStats
	runtime.ReadMemStats(&start)
	r := newRuntime(t)
	m, err := r.InstantiateWithConfig(t.Context(), wasm, wazero.NewModuleConfig())
	require.NoError(t, err)
	require.ErrorContains(t, run(t.Context(), m), "stack overflow")
	runtime.ReadMemStats(&end)
	t.Logf("stacks of %d MiB in all", (end.TotalAlloc-start.TotalAlloc)>>20)
	require.Less(t, end.TotalAlloc-start.TotalAlloc, uint64(512<<20))
	require.NoError(t, r.Close(t.Context()))
	require.Less(t, heap(), before+16<<20)
}
