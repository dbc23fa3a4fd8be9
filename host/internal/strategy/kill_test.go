package strategy

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/pausetest"
)

// endless is a module with a tree of 2^34 calls and no loop, which takes minutes.
func endless() wat { return wat{body: returnZero, tree: 35} }

// TestCallTreeDies runs the tree wherever a guest can run. It must end at its
// deadline, and must not hold up the garbage collector, which stops the whole host,
// meanwhile. Other work on the machine only ever adds to the times, so the best of
// some runs counts.
func TestCallTreeDies(t *testing.T) {
	everywhere := endless()
	everywhere.body = everywhere.callTree()
	starting := endless()
	starting.begin, starting.start = append(starting.callTree(), 0x1a), true // drop
	initializing := starting
	initializing.start = false
	const limit = 200 * time.Millisecond
	limits := Limits{Control: limit, Prepare: limit, Snapshot: limit, Grace: 1}
	for name, run := range map[string]func(t *testing.T) error{
		"start section": func(t *testing.T) error { return startOf(t, load(t, starting.assemble(), limits)) },
		"_initialize":   func(t *testing.T) error { return startOf(t, load(t, initializing.assemble(), limits)) },
		"init":          func(t *testing.T) error { return phaseOf(t, load(t, everywhere.assemble(), limits), abi.PhaseInit) },
		"prepare":       func(t *testing.T) error { return phaseOf(t, load(t, everywhere.assemble(), limits), abi.PhasePrepare) },
		"snapshot":      func(t *testing.T) error { return phaseOf(t, load(t, everywhere.assemble(), limits), abi.PhaseSnapshot) },
		"notify":        func(t *testing.T) error { return phaseOf(t, load(t, everywhere.assemble(), limits), abi.PhaseNotify) },
		"restore":       func(t *testing.T) error { return phaseOf(t, load(t, everywhere.assemble(), limits), abi.PhaseRestore) },
	} {
		t.Run(name, func(t *testing.T) {
			took, pause := time.Hour, time.Hour
			for range 5 {
				stop := pausetest.Collect()
				start := time.Now()
				err := run(t)
				took, pause = min(took, time.Since(start)), min(pause, stop())
				require.ErrorIs(t, err, context.DeadlineExceeded)
				if took < 300*time.Millisecond && pause < 50*time.Millisecond {
					return
				}
			}
			assert.Less(t, took, 300*time.Millisecond)
			assert.Less(t, pause, 50*time.Millisecond)
		})
	}
}

func startOf(t *testing.T, m *Module) error {
	_, err := m.New(t.Context())
	return err
}

func phaseOf(t *testing.T, m *Module, p abi.Phase) error {
	return enter(t.Context(), newInstanceOf(t, m), p, &double{})
}

// TestEndlessRecursionIsBounded calls itself until the stack is full.
func TestEndlessRecursionIsBounded(t *testing.T) {
	deep := wat{body: []byte{0x10, 1}} // rocksnap_init calls itself; memory is exported last
	i := newInstanceOf(t, load(t, deep.assemble(), Limits{}))
	before := resident(t, "VmRSS")
	err := i.Init(t.Context(), &double{})
	require.ErrorIs(t, err, ErrCrashed)
	assert.ErrorContains(t, err, "stack overflow")
	assert.Less(t, resident(t, "VmRSS")-before, 512<<20)
	assert.ErrorIs(t, i.Prepare(t.Context(), &double{}), ErrGone)
}

// panickyScan is a session's scan that fails the host when it is closed for the
// guest.
type panickyScan struct{ doubleScan }

func (panickyScan) Close() error { panic("closed twice") }

type panickySession struct{ *double }

func (s panickySession) Wait([]abi.Completion) (int, error) { panic("lost a request") }
func (s panickySession) ScanOpen(_, _, _ uint32) (abi.Scan, error) {
	return &panickyScan{doubleScan{s.double}}, nil
}

// TestHostPanicsAnywhere is about places where a panic would end the host: another
// goroutine, and the time after the guest has returned.
func TestHostPanicsAnywhere(t *testing.T) {
	for name, want := range map[string]string{
		"wait":      "the host panicked in wait: lost a request",
		"scan_open": "the host panicked in the end of the call: closed twice",
	} {
		f, _ := lookup(name)
		b := NewBudget(1 << 20)
		w := calling(f, 0, 64, 32)
		w.body = append(w.body, 0x1a, 0x41, 0) // whatever it returned
		m, err := Load(t.Context(), "x", w.assemble(), Options{Grants: abi.Grants, Budget: b})
		require.NoError(t, err)
		defer m.Close(t.Context())
		i := newInstanceOf(t, m)
		err = i.Snapshot(t.Context(), panickySession{&double{}})
		require.ErrorIs(t, err, abi.EINTERNAL, name)
		assert.NotErrorIs(t, err, ErrCrashed, name)
		assert.ErrorContains(t, err, want)
		assert.ErrorContains(t, err, "kill_test.go", "the stack")
		assert.ErrorIs(t, i.Init(t.Context(), &double{}), ErrGone, name)
		assert.Zero(t, b.Used(), name)
	}
}

// TestEveryEndIsForGood takes an instance down in every way a guest has, and looks
// for what is left of it.
func TestEveryEndIsForGood(t *testing.T) {
	log, _ := lookup("log")
	tree := endless()
	tree.body = tree.callTree()
	for name, w := range map[string]wat{
		"trap":          {body: trap},
		"division":      {body: []byte{0x41, 1, 0x41, 0, 0x6d}},
		"out of bounds": {body: []byte{0x41, 0x7f, 0x28, 2, 0}}, // i32.load at -1
		"bad pointer":   calling(log, 0, 1<<30, 8),
		"deadline":      {body: loopForEver},
		"call tree":     tree,
		"recursion":     {body: []byte{0x10, 1}},
	} {
		b := NewBudget(1 << 20)
		m, err := Load(t.Context(), "x", w.assemble(), Options{Budget: b, Limits: Limits{Control: 50 * time.Millisecond, Grace: 1}})
		require.NoError(t, err, name)
		i := newInstanceOf(t, m)
		if name == "recursion" {
			i.module.limits.Control = time.Minute
		}
		err = i.Init(t.Context(), &double{})
		require.Error(t, err, name)
		assert.Zero(t, b.Used(), name)
		assert.Empty(t, m.instances, name)
		d := &double{}
		for _, p := range phases {
			if err := enter(t.Context(), i, p, d); p != abi.PhaseNotify {
				assert.ErrorIs(t, err, ErrGone, name)
			}
		}
		assert.Empty(t, d.trace, name)
		again := newInstanceOf(t, m)
		assert.NotNil(t, again.guest, "%s: the module itself is as good as before", name)
		require.NoError(t, m.Close(t.Context()))
		assert.Zero(t, b.Used(), name)
	}
}
