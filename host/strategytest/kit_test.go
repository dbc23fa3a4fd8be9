package strategytest_test

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

// broken are strategies that take good snapshots as long as nothing goes wrong,
// each with the law that it breaks.
var broken = map[string]struct {
	law      string
	strategy mutation
}{
	"ignores an error": {"a_call_that_fails_fails_the_snapshot", mutation{checkpoint, func(ctx context.Context, s abi.Session) error {
		_ = s.MetaPut("key", nil)
		return uploadAll(ctx, s)
	}}},
	"uploads again what it could reuse": {"stores_what_it_says", mutation{checkpoint, uploadAll}},
}

const brokenEnv = "STRATEGYTEST_BROKEN"

// TestBrokenStrategy runs the kit on the broken strategy that the environment
// names, in a process that is meant to fail.
func TestBrokenStrategy(t *testing.T) {
	b, ok := broken[os.Getenv(brokenEnv)]
	if !ok {
		t.Skip("runs as a child of TestKitCatches")
	}
	strategytest.Run(t, strategytest.Subject{
		Name:   "broken",
		Open:   func() abi.Strategy { return b.strategy },
		Reuses: true,
	})
}

// A kit that lets everything pass would prove nothing.
func TestKitCatches(t *testing.T) {
	for name, b := range broken {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestBrokenStrategy$/^native$/^"+b.law+"$", "-test.timeout=60s")
			cmd.Env = append(os.Environ(), brokenEnv+"="+name)
			out, err := cmd.CombinedOutput()
			require.Error(t, err, string(out))
			assert.Contains(t, string(out), "--- FAIL: TestBrokenStrategy/native/"+b.law)
		})
	}
}
