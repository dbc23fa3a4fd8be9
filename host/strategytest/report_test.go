package strategytest_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

// quickly checks the quick laws, and returns what each came to.
func quickly(t *testing.T, s strategytest.Subject) (*strategytest.Report, map[string]strategytest.Result) {
	t.Helper()
	t.Setenv("TMPDIR", t.TempDir())
	heard := 0
	r, err := strategytest.Check(t.Context(), s, strategytest.Options{Quick: true, Report: func(strategytest.Result) { heard++ }})
	require.NoError(t, err)
	assert.Len(t, r.Laws, heard)
	results := make(map[string]strategytest.Result)
	for _, l := range r.Laws {
		results[l.Law] = l
	}
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	assert.Empty(t, left, "temporary folders are gone")
	return r, results
}

func TestCheckOfAGoodModule(t *testing.T) {
	s, err := strategytest.FromModule(subject(t).Module, `mutation = "none"`)
	require.NoError(t, err)
	r, results := quickly(t, s)
	assert.True(t, r.Passed, r.Markdown())
	assert.Equal(t, "native", r.Kind)
	assert.False(t, r.Reuses)
	assert.Len(t, r.SHA256, 64)
	assert.Equal(t, strategytest.Skip, results["memory stays flat"].Outcome)
	assert.Equal(t, strategytest.Pass, results["does the same when a run is replayed"].Outcome)
	assert.Contains(t, r.Markdown(), "PASSED: 10 laws hold, 0 broken, 3 skipped.")
	assert.Contains(t, r.Markdown(), r.SHA256)
}

// What fails its first snapshot is asked for no other.
func TestCheckOfAModuleThatTakesNoSnapshot(t *testing.T) {
	s, err := strategytest.FromModule(subject(t).Module, `mutation = "drops CURRENT"`)
	require.NoError(t, err)
	r, results := quickly(t, s)
	assert.False(t, r.Passed)
	assert.Contains(t, results["takes snapshots"].Detail, "neither uploaded nor reused: CURRENT")
	assert.Equal(t, "it takes no snapshot", results["stores what it says"].Detail)
	assert.Contains(t, r.Verdict(), "FAILED: 0 laws hold, 1 broken, 12 skipped")
}

// What a module wrote before it fell over tells its author where: it is in the
// report in full, and in the table in one line.
func TestCheckKeepsWhatAPanicSaid(t *testing.T) {
	m := broken["ignores an error"].strategy
	m.prepare = func(context.Context, abi.Session) error { return errors.New("exited\n\tmain.go:10") }
	r, results := quickly(t, strategytest.Subject{Name: "broken", Open: func() abi.Strategy { return m }})
	start := results["takes snapshots"]
	assert.NotContains(t, start.Detail, "main.go")
	assert.Contains(t, start.Text, "exited\n\tmain.go:10")
	assert.Contains(t, r.Markdown(), "    \tmain.go:10")
	assert.Empty(t, results["stores what it says"].Text)
}

// A strategy need not expect what the ABI says cannot be: info never fails.
func TestCheckFailsOnlyWhatCanFail(t *testing.T) {
	m := mutation{checkpoint, func(ctx context.Context, s abi.Session) error {
		_, _ = s.Info()
		return uploadAll(ctx, s)
	}}
	r, results := quickly(t, strategytest.Subject{Name: "trusting", Open: func() abi.Strategy { return m }})
	assert.True(t, r.Passed, results["a call that fails fails the snapshot"].Detail)
}

// Exactly the law that a strategy breaks is reported as broken.
func TestCheckNamesTheBrokenLaw(t *testing.T) {
	m := broken["ignores an error"].strategy
	r, results := quickly(t, strategytest.Subject{Name: "broken", Open: func() abi.Strategy { return m }})
	assert.False(t, r.Passed)
	for law, result := range results {
		if law == "a call that fails fails the snapshot" {
			assert.Equal(t, strategytest.Fail, result.Outcome)
			assert.Contains(t, result.Detail, "meta_put in snapshot failed, and the snapshot was taken all the same")
		} else {
			assert.NotEqual(t, strategytest.Fail, result.Outcome, "%s: %s", law, result.Detail)
		}
	}
}

// A strategy that depends on more than its session is found out.
func TestCheckFindsWhatIsNotRepeatable(t *testing.T) {
	runs := 0
	m := &mutation{checkpoint, func(ctx context.Context, s abi.Session) error {
		runs++
		if err := s.MetaPut("run", []byte{byte(runs)}); err != nil {
			return err
		}
		return uploadAll(ctx, s)
	}}
	r, results := quickly(t, strategytest.Subject{Name: "moody", Open: func() abi.Strategy { return m }})
	assert.False(t, r.Passed)
	assert.Contains(t, results["does the same when a run is replayed"].Detail, "meta_put(3, 4 bytes) with other bytes than recorded, from byte 3 on")
}

func TestCheckCanBeInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s, err := strategytest.FromModule(subject(t).Module, "")
	require.NoError(t, err)
	_, err = strategytest.Check(ctx, s, strategytest.Options{})
	require.ErrorIs(t, err, context.Canceled)
}

// The laws about content are not about a strategy that changes it, by name.
func TestCustomSkipsTheLawsAboutContent(t *testing.T) {
	s, err := strategytest.FromModule(strategytest.Build(t, "../../examples/strategies/redact"), `prefix = "key"`)
	require.NoError(t, err)
	r, results := quickly(t, s)
	assert.True(t, r.Passed, r.Markdown())
	assert.Equal(t, "custom", r.Kind)
	assert.Equal(t, "its snapshots differ from the database on purpose", results["overlapping snapshots are both right"].Detail)
}

func TestFromModuleRefusesWhatIsNone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.wasm")
	require.NoError(t, os.WriteFile(file, []byte("no module"), 0o600))
	_, err := strategytest.FromModule(file, "")
	require.ErrorContains(t, err, "inspect "+file)
}

func TestMeasure(t *testing.T) {
	s, err := strategytest.FromModule(subject(t).Module, "")
	require.NoError(t, err)
	b, err := strategytest.Measure(t.Context(), s, strategytest.BenchOptions{Runs: 3})
	require.NoError(t, err)
	for name, times := range map[string]strategytest.Times{"cold": b.Cold, "warm": b.Warm, "instantiate": b.Instantiate, "prepare": b.Prepare, "snapshot": b.Snapshot} {
		assert.Positive(t, times.Min, name)
		assert.LessOrEqual(t, times.Min, times.Median, name)
		assert.LessOrEqual(t, times.Median, times.Max, name)
	}
	assert.Less(t, b.Warm.Median, b.Cold.Median, "compiled code is kept")
	assert.Positive(t, b.Files)
	assert.Positive(t, b.CallsPerFile)
	assert.Zero(t, b.Ratio, "no module lies beside the test")
}
