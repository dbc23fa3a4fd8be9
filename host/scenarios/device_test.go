package scenarios

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// otherDevice makes a folder on another file system than the given one is on.
func otherDevice(t *testing.T, than string) string {
	t.Helper()
	for _, place := range []string{"/dev/shm", "/var/tmp", "."} {
		folder, err := os.MkdirTemp(place, "rocksnap-test")
		if err != nil {
			continue
		}
		t.Cleanup(func() { require.NoError(t, os.RemoveAll(folder)) })
		if device(t, folder) != device(t, than) {
			return folder
		}
	}
	t.Skip("there is one file system only")
	return ""
}

func device(t *testing.T, path string) uint64 {
	t.Helper()
	var stat syscall.Stat_t
	require.NoError(t, syscall.Stat(path, &stat))
	return stat.Dev
}
