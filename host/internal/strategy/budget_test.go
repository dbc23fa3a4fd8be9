package strategy

import (
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// growing returns a module whose exports grow its memory, and return what
// memory.grow does: the former size in pages, or -1.
func growing(pages int32) wat { return wat{body: append(returning(pages), 0x40, 0)} }

func loadShared(t *testing.T, b *Budget, w wat) *Module {
	t.Helper()
	m, err := Load(t.Context(), "x", w.assemble(), Options{Budget: b, Limits: Limits{Memory: 10 * pageSize}})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close(t.Context())) })
	return m
}

func TestBudgetIsShared(t *testing.T) {
	b := NewBudget(6 * pageSize)
	first, second := newInstanceOf(t, loadShared(t, b, growing(3))), newInstanceOf(t, loadShared(t, b, growing(2)))
	assert.EqualValues(t, 2*pageSize, b.Used())
	d := &double{}
	require.NoError(t, first.Init(t.Context(), d), "4 and 1")
	assert.ErrorIs(t, second.Init(t.Context(), d), abi.Errno(1), "would be 4 and 3: the guest hears -1")
	assert.EqualValues(t, 5*pageSize, b.Used())

	_, err := loadShared(t, b, wat{body: returnZero, pages: 2}).New(t.Context())
	require.ErrorIs(t, err, abi.EQUOTA)
	assert.EqualError(t, err, `strategy "x": start: needs 128 KiB of memory to start, and 320 of the 384 KiB that [plugins] memory allows to all instances are in use: limit reached`)

	require.NoError(t, first.Close(t.Context()))
	assert.EqualValues(t, pageSize, b.Used())
	require.NoError(t, second.Init(t.Context(), d), "there is room now")
	require.NoError(t, second.Close(t.Context()))
	assert.Zero(t, b.Used())
}

func TestOwnLimitComesFirst(t *testing.T) {
	b := NewBudget(1 << 30)
	i := newInstanceOf(t, loadShared(t, b, growing(10)))
	assert.ErrorIs(t, i.Init(t.Context(), &double{}), abi.Errno(1))
	assert.EqualValues(t, pageSize, b.Used())
}

// TestBudgetIsNamedInACrash is about a guest that dies of the memory that others
// have.
func TestBudgetIsNamedInACrash(t *testing.T) {
	b := NewBudget(pageSize)
	i := newInstanceOf(t, loadShared(t, b, wat{body: append(growing(1).body, 0x1a, 0x00)})) // drop, unreachable
	err := i.Init(t.Context(), &double{})
	require.ErrorIs(t, err, ErrCrashed)
	assert.ErrorContains(t, err, "(the memory that [plugins] memory allows to all instances was in use)")
	assert.Zero(t, b.Used(), "given back at once")
}

// TestGrownMemoryIsZeroAndStays writes before and after the memory grows.
func TestGrownMemoryIsZeroAndStays(t *testing.T) {
	i := newInstanceOf(t, loadShared(t, nil, growing(1)))
	require.True(t, i.memory.Write(pageSize-1, []byte{7}))
	require.NoError(t, i.Init(t.Context(), &double{}))
	view, ok := i.memory.Read(pageSize-1, pageSize+1)
	require.True(t, ok)
	assert.Equal(t, append([]byte{7}, make([]byte, pageSize)...), view)
	_, ok = i.memory.Read(pageSize, pageSize+1)
	assert.False(t, ok)
}

// TestNothingIsLeftOfAThousandInstances counts what the process holds.
func TestNothingIsLeftOfAThousandInstances(t *testing.T) {
	b := NewBudget(1 << 20)
	m := loadShared(t, b, growing(4))
	one := func() {
		i, err := m.New(t.Context())
		require.NoError(t, err)
		require.NoError(t, i.Init(t.Context(), &double{}))
		i.memory.Write(0, make([]byte, 5*pageSize))
		require.NoError(t, i.Close(t.Context()))
	}
	for range 50 {
		one()
	}
	runtime.GC()
	mappings := func() int {
		text, err := os.ReadFile("/proc/self/maps")
		require.NoError(t, err)
		return strings.Count(string(text), "\n")
	}
	goroutines, maps, memory := runtime.NumGoroutine(), mappings(), resident(t, "VmRSS")
	for range 1000 {
		one()
	}
	runtime.GC()
	assert.Zero(t, b.Used())
	assert.Empty(t, m.instances)
	for wait := 0; runtime.NumGoroutine() > goroutines && wait < 1000; wait++ {
		time.Sleep(time.Millisecond) // one may be on its way out
	}
	assert.LessOrEqual(t, runtime.NumGoroutine(), goroutines)
	assert.Less(t, mappings(), maps+20)
	assert.Less(t, resident(t, "VmRSS"), memory+32<<20, "a thousand of them have used 320 MiB")
}

func TestClosingAModuleClosesItsInstances(t *testing.T) {
	b := NewBudget(1 << 20)
	m := loadShared(t, b, growing(1))
	i := newInstanceOf(t, m)
	require.NoError(t, m.Close(t.Context()))
	assert.Zero(t, b.Used())
	assert.ErrorContains(t, i.Init(t.Context(), &double{}), "instance was given up after: instance is closed")
}
