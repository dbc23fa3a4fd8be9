package blobtest_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/blobtest"
	"github.com/rocksnap/rocksnap/host/blob/mem"
)

// envBroken makes the test binary run the laws on one of the broken stores.
const envBroken = "ROCKSNAP_TEST_BROKEN"

// TestBroken runs in a child for each broken store, where it has to fail.
func TestBroken(t *testing.T) {
	for _, b := range broken {
		if os.Getenv(envBroken) == b.name {
			blobtest.Run(t, func(*testing.T) blob.Store { return b.wrap(mem.New()) })
			return
		}
	}
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			requireCaught(t, b.name, b.law)
		})
	}
}

func requireCaught(t *testing.T, name, law string) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, "-test.timeout=60s", "-test.run", "^TestBroken$/^"+strings.ReplaceAll(law, " ", "_")+"$")
	cmd.Env = append(os.Environ(), envBroken+"="+name)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit, "%s", out)
	require.Contains(t, string(out), "--- FAIL: TestBroken/"+strings.ReplaceAll(law, " ", "_"))
}
