package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRun lays out the program's folder and the module as 'make build' does, in
// a folder of its own.
func TestRun(t *testing.T) {
	root := t.TempDir()
	file := filepath.Join(root, "examples", "embed", "rocksnap.toml")
	text, err := os.ReadFile("rocksnap.toml")
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, text, 0o600))
	buildModule(t, filepath.Join(root, "bin", "plugins", "incremental.wasm"))

	want := `the program has written 30000 orders
the second snapshot reuses files of the first: true
snapshot 1 restores to the first 10000 orders
snapshot 2 restores to the first 20000 orders
`
	for range 2 { // the second run starts afresh
		var out strings.Builder
		require.NoError(t, run(t.Context(), file, &out))
		require.Equal(t, want, out.String())
	}
}

func buildModule(t *testing.T, path string) {
	t.Helper()
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-o", path, "github.com/rocksnap/rocksnap/plugins/incremental")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}
