package abi_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// sources are the files that an author needs, as they are on disk.
func sources(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.go", "guest/*.go", "rocksnap_v1.*"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, found, pattern)
		names = append(names, found...)
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		return strings.HasSuffix(name, "_test.go") || name == "generate.go" || name == "source.go"
	})
	slices.Sort(names)
	return names
}

func TestSourceIsWhatIsOnDisk(t *testing.T) {
	var inside []string
	require.NoError(t, fs.WalkDir(abi.Source, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		inside = append(inside, name)
		want, err := os.ReadFile(name)
		require.NoError(t, err)
		got, err := abi.Source.ReadFile(name)
		assert.Equal(t, string(want), string(got), name)
		return err
	}))
	slices.Sort(inside)
	assert.Equal(t, sources(t), inside)
}

// Modules would be larger by all of it.
func TestNoModuleCarriesTheSource(t *testing.T) {
	cmd := exec.Command("go", "list", "-f", "{{.GoFiles}} {{.EmbedFiles}}", ".")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	out, err := cmd.Output()
	require.NoError(t, err)
	assert.Contains(t, string(out), "abi.go")
	assert.NotContains(t, string(out), "source.go")
	assert.True(t, strings.HasSuffix(string(out), " []\n"), string(out))
}
