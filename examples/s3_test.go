package examples_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// s3 runs the example with a server of its own, on a port that is free.
func (l layout) s3(t *testing.T) {
	tools, err := filepath.Abs("../bin/tools")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(tools, "versitygw"), "run 'make tools'")
	require.NoError(t, os.Symlink(tools, filepath.Join(l.root, "bin", "tools")))
	folder := l.copy(t, "s3")

	cmd := exec.Command(filepath.Join(folder, "run.sh"))
	cmd.Env = append(os.Environ(), "PORT="+freePort(t))
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	assert.Contains(t, string(out), "created repository s3://my-bucket/snapshots")
	assert.Contains(t, string(out), "verified 1 snapshot,")
	live, back := l.digest(t, folder, "data/orders"), l.digest(t, folder, "data/restored")
	assert.Equal(t, uint64(1000), live.Records)
	assert.Equal(t, live, back)
	requireShown(t, folder)
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}

// requireShown demands that a README shows every command of the script beside it.
func requireShown(t *testing.T, folder string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(folder, "run.sh"))
	require.NoError(t, err)
	readme, err := os.ReadFile(filepath.Join(folder, "README.md"))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "rocksnap ") {
			assert.Contains(t, string(readme), line)
		}
	}
}
