package strategy

import (
	"fmt"
	"sync/atomic"

	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/abi"
)

// Budget bounds the linear memory of all instances that share it, whatever
// module they come from. A nil Budget has no bound.
type Budget struct {
	limit int64
	used  atomic.Int64
}

// NewBudget returns a budget of bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Used returns the bytes that instances hold at the moment.
func (b *Budget) Used() int64 {
	if b == nil {
		return 0
	}
	return b.used.Load()
}

func (b *Budget) take(n int64) bool {
	if b == nil {
		return true
	}
	if b.used.Add(n) <= b.limit {
		return true
	}
	b.used.Add(-n)
	return false
}

func (b *Budget) give(n int64) {
	if b != nil {
		b.used.Add(-n)
	}
}

// linear is the memory of one instance. All that it may grow to is reserved at
// once, so that it never moves; what is in use is counted. It is outside of Go's
// heap and goes back to the system the moment the instance is closed.
type linear struct {
	budget  *Budget
	region  []byte
	size    int64 // bytes that the guest has
	refused bool  // the budget, not the module's own limit, kept it from growing
}

// reserve returns memory of an initial size that can grow to limit bytes.
func reserve(b *Budget, initial, limit int64) (*linear, error) {
	region, err := unix.Mmap(-1, 0, int(max(limit, pageSize)), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("reserve %d KiB of memory: %w", limit>>10, err)
	}
	l := &linear{budget: b, region: region}
	if l.grow(initial) {
		return l, nil
	}
	l.release()
	if !l.refused {
		return nil, fmt.Errorf("the system has no %d KiB of memory left: %w", initial>>10, abi.EQUOTA)
	}
	return nil, fmt.Errorf("needs %d KiB of memory to start, and %d of the %d KiB that [plugins] memory allows to all instances are in use: %w",
		initial>>10, b.Used()>>10, b.limit>>10, abi.EQUOTA)
}

// join counts memory that nobody has counted so far, unless there is no room for it.
// No guest may run in it.
func (l *linear) join(b *Budget) bool {
	if !b.take(l.size) {
		return false
	}
	l.budget = b
	return true
}

func (l *linear) grow(size int64) bool {
	if size <= l.size {
		return true
	}
	if size > int64(len(l.region)) {
		return false
	}
	if !l.budget.take(size - l.size) {
		l.refused = true
		return false
	}
	if unix.Mprotect(l.region[:size], unix.PROT_READ|unix.PROT_WRITE) != nil {
		l.budget.give(size - l.size)
		return false
	}
	l.size = size
	return true
}

// Allocate implements [experimental.MemoryAllocator]. A module has one memory.
func (l *linear) Allocate(_, _ uint64) experimental.LinearMemory { return l }

// Reallocate implements [experimental.LinearMemory]. The guest gets -1 for nil.
func (l *linear) Reallocate(size uint64) []byte {
	if !l.grow(int64(size)) {
		return nil
	}
	return l.region[:size]
}

// Free implements [experimental.LinearMemory]. wazero may call it while the guest
// still runs, so it is left to release.
func (l *linear) Free() {}

// release gives everything back. Nothing may look at the memory any more.
func (l *linear) release() {
	if l == nil || l.region == nil {
		return
	}
	unix.Munmap(l.region) // of a mapping that is ours it cannot fail
	l.budget.give(l.size)
	l.region, l.size = nil, 0
}
