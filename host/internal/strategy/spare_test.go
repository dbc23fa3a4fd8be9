package strategy

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// waitForSpare returns once an instance that is due is ready.
func waitForSpare(t *testing.T, m *Module) {
	t.Helper()
	require.Eventually(t, func() bool {
		m.spare.mu.Lock()
		defer m.spare.mu.Unlock()
		return m.spare.ready != nil
	}, 10*time.Second, time.Millisecond)
}

func TestWarm(t *testing.T) {
	budget := NewBudget(1 << 20)
	m := loadShared(t, budget, wat{body: returnZero})
	m.Warm(0)
	waitForSpare(t, m)
	assert.Zero(t, budget.Used(), "nobody has it yet")
	ready := m.spare.ready
	m.Warm(0)
	first := newInstanceOf(t, m)
	assert.Same(t, ready, first)
	assert.Equal(t, int64(pageSize), budget.Used())
	second := newInstanceOf(t, m)
	assert.NotSame(t, first, second, "each is handed out once")
	require.NoError(t, first.Init(t.Context(), &double{}))
}

// TestWarmBesideBudget: one that the budget has no room for is not handed out, and
// what it took is given back.
func TestWarmBesideBudget(t *testing.T) {
	budget := NewBudget(pageSize)
	m := loadShared(t, budget, wat{body: returnZero})
	first := newInstanceOf(t, m)
	m.Warm(0)
	waitForSpare(t, m)
	_, err := m.New(t.Context())
	require.ErrorIs(t, err, abi.EQUOTA)
	require.NoError(t, first.Close(t.Context()))
	assert.Zero(t, budget.Used())
	assert.Empty(t, m.instances)
}

// TestWarmEnds: a module closes what it started ahead, and starts nothing after that.
func TestWarmEnds(t *testing.T) {
	for _, after := range []time.Duration{0, time.Microsecond, time.Hour} {
		m := loadShared(t, nil, wat{body: returnZero})
		m.Warm(after)
		require.NoError(t, m.Close(t.Context()))
		m.Warm(0)
		assert.Empty(t, m.instances)
		assert.Nil(t, m.spare.due)
	}
}

// TestWarmLater: a snapshot that comes before the time does not wait for it.
func TestWarmLater(t *testing.T) {
	m := loadShared(t, nil, wat{body: returnZero})
	m.Warm(time.Hour)
	newInstanceOf(t, m)
	assert.Nil(t, m.spare.due)
}
