package strategy

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/wasm"
)

// bomb is a small module that takes a compiler half a minute and gigabytes: a
// function with thousands of locals in hundreds of nested loops.
func bomb(locals, loops int) []byte {
	body := slices.Concat(uleb(1), uleb(uint64(locals)), []byte{byte(wasm.I32)})
	body = append(body, bytes.Repeat([]byte{0x03, 0x40}, loops)...) // loop
	for local := range locals {
		index := uleb(uint64(local))
		body = append(append(body, 0x20), index...) // local += 1
		body = append(append(body, 0x41, 1, 0x6a, 0x21), index...)
	}
	body = append(body, bytes.Repeat([]byte{0x41, 0, 0x0d, 0, 0x0b}, loops)...) // br_if 0, end
	body = append(body, 0x41, 0, 0x0b)
	return withBody(wat{body: returnZero}.assemble(), body)
}

// withBody puts another body, locals and all, into a module's first function.
func withBody(file, body []byte) []byte {
	m, err := wasm.Parse(file)
	if err != nil {
		panic(err)
	}
	code := slices.IndexFunc(m.Sections, func(s wasm.Section) bool { return s.ID == 10 })
	bodies := [][]byte{append(uleb(uint64(len(body))), body...)}
	for range len(m.Functions) - 1 {
		bodies = append(bodies, functionOf(returnZero))
	}
	return append(slices.Clip(file[:m.Sections[code].Start]), sectionOf(10, bodies)...)
}

// resident returns the bytes of memory that this process has, by a name that the
// kernel gives.
func resident(t *testing.T, name string) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), name+":")
	require.True(t, ok)
	kib, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	return kib << 10
}

func orderFor(t *testing.T) order {
	return order{Folder: t.TempDir(), Memory: 64 << 20, Time: time.Minute, Heap: compileMemory}
}

func TestCompileBombIsRefusedUnread(t *testing.T) {
	start := time.Now()
	_, err := Load(t.Context(), "x", bomb(3000, 400), Options{})
	require.ErrorContains(t, err, "locals")
	assert.Less(t, time.Since(start), time.Second)
}

// TestCompileBombDiesAlone hands the compiler what the checks before it refuse.
func TestCompileBombDiesAlone(t *testing.T) {
	code := bomb(3000, 400)
	runtime.GC()
	before := resident(t, "VmRSS")
	t.Run("of its deadline", func(t *testing.T) {
		start := time.Now()
		err := machineCode(t.Context(), code, t.TempDir(), Limits{Compile: 300 * time.Millisecond}.orDefaults())
		require.ErrorIs(t, err, abi.ETIMEDOUT)
		assert.EqualError(t, err, "compiling took longer than 300ms")
		assert.Less(t, time.Since(start), 5*time.Second)
	})
	t.Run("of its memory", func(t *testing.T) {
		o := orderFor(t)
		o.Heap = 96 << 20
		err := compileApart(t.Context(), bomb(20_000, 100), o)
		require.ErrorIs(t, err, abi.EQUOTA)
		assert.ErrorContains(t, err, "compiling took more than 96 MiB of memory")
	})
	t.Run("of its processor time", func(t *testing.T) {
		o := orderFor(t)
		o.Time = time.Millisecond
		err := compileApart(t.Context(), code, o)
		require.ErrorIs(t, err, abi.EQUOTA)
		assert.ErrorContains(t, err, `ended by signal "killed"`)
	})
	t.Run("when nobody wants it any more", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		assert.ErrorIs(t, compileApart(ctx, code, orderFor(t)), context.DeadlineExceeded)
	})
	assert.Less(t, resident(t, "VmRSS")-before, 64<<20, "the host pays nothing")
	newInstanceOf(t, load(t, wat{body: returnZero}.assemble(), Limits{}))
}

// TestSameCodeApart compiles here and in a child: what one wrote, the other finds.
func TestSameCodeApart(t *testing.T) {
	file, err := tourWasm()
	require.NoError(t, err)
	code, err := wasm.Instrument(file)
	require.NoError(t, err)
	here, there := t.TempDir(), orderFor(t)
	require.NoError(t, compileInto(t.Context(), code, here, 64<<20))
	require.NoError(t, compileApart(t.Context(), code, there))
	ours, theirs := entries(t, here), entries(t, there.Folder)
	require.Len(t, ours, 1)
	require.Len(t, theirs, 1)
	assert.Equal(t, strings.TrimPrefix(ours[0], here), strings.TrimPrefix(theirs[0], there.Folder))
	one, err := os.ReadFile(ours[0])
	require.NoError(t, err)
	other, err := os.ReadFile(theirs[0])
	require.NoError(t, err)
	assert.True(t, bytes.Equal(one, other))
}

func TestFolderThatCannotBeWritten(t *testing.T) {
	code, err := wasm.Instrument(wat{body: returnZero}.assemble())
	require.NoError(t, err)
	o := orderFor(t)
	o.Folder = filepath.Join(o.Folder, "file")
	require.NoError(t, os.WriteFile(o.Folder, nil, 0o600))
	assert.ErrorIs(t, compileApart(t.Context(), code, o), errFolder)
	assert.ErrorIs(t, compileInto(t.Context(), code, o.Folder, o.Memory), errFolder)
}

func TestOrderThatIsNone(t *testing.T) {
	for in, want := range map[string]string{"": "read order: EOF", "x\n": "read order: invalid character", `{"Size": 1`: "read order: EOF"} {
		var o order
		_, err := o.receive(strings.NewReader(in))
		assert.ErrorContains(t, err, want, in)
	}
}
