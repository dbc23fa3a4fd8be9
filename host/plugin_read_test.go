package host

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whatever the path of a module leads to, reading it ends, and soon: there is no
// waiting for a pipe, and no end of memory for a device or a file with a hole.
func TestWhatIsNoModuleIsNotRead(t *testing.T) {
	folder := t.TempDir()
	pipe, hole := filepath.Join(folder, "pipe"), filepath.Join(folder, "hole")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	require.NoError(t, os.WriteFile(hole, nil, 0o600))
	require.NoError(t, os.Truncate(hole, 1<<40))
	for path, message := range map[string]string{pipe: "no regular file", "/dev/zero": "no regular file", folder: "no regular file", hole: "larger than any module"} {
		_, err := InspectModule(path)
		require.ErrorContains(t, err, message)
		_, err = VerifyModule(path, nil)
		require.ErrorContains(t, err, message)
		require.ErrorContains(t, AnnotateModule(path, filepath.Join(folder, "out"), []byte("{}")), message)
	}
}
