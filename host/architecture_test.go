package host_test

import (
	"crypto/sha256"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

const module = "github.com/rocksnap/rocksnap/"

// dependencies lists what a package of this module is built from, beside the
// standard library and itself. Packages of this module go without its name.
func dependencies(t *testing.T, pkg string, env ...string) []string {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", module+pkg)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.Output()
	require.NoError(t, err)
	var list []string
	for path := range strings.FieldsSeq(string(out)) {
		if path = strings.TrimPrefix(path, module); path != pkg {
			list = append(list, path)
		}
	}
	return list
}

// Every direction of dependency that the architecture decides: a package may
// depend on the standard library and what is listed here, also by way of others.
func TestDependencies(t *testing.T) {
	wasm := []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0"}
	reading := []string{"abi", "abi/canonical", "abi/keygroup", "github.com/klauspost", "github.com/zeebo"}
	tests := []struct {
		pkg string
		env []string
		may []string // prefixes
	}{
		{"abi", nil, nil},
		{"abi/guest", wasm, []string{"abi"}},
		{"abi/keygroup", nil, nil},
		{"config", nil, []string{"github.com/BurntSushi/toml"}},
		{"host/blob", nil, []string{"golang.org/x/time"}},
		{"host/blob/mem", nil, []string{"host/blob", "golang.org/x/time"}},
		{"host/blob/s3", nil, []string{"host/blob", "golang.org/x/time", "github.com/aws", "golang.org/x/sync", "github.com/google/uuid"}},
		{"host/blob/probe", nil, []string{"host/blob", "golang.org/x/time", "golang.org/x/sync", "github.com/google/uuid"}},
		{"host/internal/secret", nil, []string{"filippo.io", "github.com/zeebo/blake3", "github.com/klauspost/cpuid/v2", "golang.org/x/crypto", "golang.org/x/sys"}},
		{"host/blob/dir", nil, []string{"host/blob", "host/internal/durable", "golang.org/x/sys", "golang.org/x/time"}},
		{"host/internal/durable", nil, []string{"golang.org/x/sys"}},
		{"host/internal/expiry", nil, []string{"abi", "abi/canonical", "abi/keygroup", "github.com/klauspost", "github.com/zeebo"}},
		{"host/internal/rocks/version", nil, []string{"abi"}},
		{"host/sink", nil, append([]string{"host/internal/durable", "golang.org/x/sys"}, reading...)},
		{"host/sink/jsonl", nil, append([]string{"host/sink", "host/internal/durable", "golang.org/x/sys", "github.com/google/uuid"}, reading...)},
		{"host/internal/rocks/surgery", nil, []string{"abi", "host/internal/rocks/version", "host/internal/durable", "golang.org/x/sys"}},
		{"plugins/native-full", wasm, []string{"abi", "abi/guest"}},
		{"plugins/incremental", wasm, []string{"abi", "abi/guest"}},
		{"plugins/canonical", wasm, []string{"abi", "abi/guest"}},
	}
	for _, test := range tests {
		for _, path := range dependencies(t, test.pkg, test.env...) {
			allowed := slices.ContainsFunc(test.may, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") && !ours(p) })
			assert.True(t, allowed, "%s depends on %s", test.pkg, path)
		}
	}
}

// ours tells a package of this module, of which the prefix stands for itself
// alone.
func ours(path string) bool { return !strings.Contains(path, ".") }

// Catalog, rocks and strategy are rooms of their own that meet in host only.
func TestRoomsAreApart(t *testing.T) {
	rooms := []string{"host/internal/catalog", "host/internal/rocks", "host/internal/strategy"}
	for _, room := range rooms {
		list := dependencies(t, room)
		require.Contains(t, list, "abi", "%s speaks of the contract", room)
		for _, other := range rooms {
			assert.NotContains(t, list, other, room)
		}
		assert.NotContains(t, list, "host", room)
		assert.NotContains(t, list, "config", room)
	}
}

// hard names the packages that may import each hard dependency.
var hard = map[string][]string{
	"C":                             {"host/internal/rocks"},
	"github.com/linxGnu/grocksdb":   {"host/internal/rocks", "host"}, // host for the type that WithDB takes
	"github.com/tetratelabs/wazero": {"host/internal/strategy"},
	"github.com/BurntSushi/toml":    {"config"},
	"github.com/aws":                {"host/blob/s3"},
	"filippo.io/age":                {"host/internal/secret"},
	"github.com/cockroachdb":        {"host/sink/pebble"},
	"go.etcd.io/bbolt":              {"host/sink/bbolt"},
}

func TestHardDependenciesHaveOneRoom(t *testing.T) {
	seen := make(map[string]bool)
	for file, imports := range sources(t) {
		for _, path := range imports {
			for dependency, rooms := range hard {
				if path == dependency || strings.HasPrefix(path, dependency+"/") {
					seen[dependency] = true
					assert.Contains(t, rooms, filepath.Dir(file), "%s imports %s", file, path)
				}
			}
		}
	}
	assert.Len(t, seen, len(hard), "each of them is in use")
}

// sources yields the imports of every Go file that is not a test and is built
// for the host or for a module.
func sources(t *testing.T) map[string][]string {
	imports := make(map[string][]string)
	err := fs.WalkDir(os.DirFS(".."), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "examples" || strings.HasPrefix(d.Name(), ".") && path != "."):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join("..", path), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		imports[path] = nil
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			imports[path] = append(imports[path], name)
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, imports)
	return imports
}

// Package config repeats the grants so that it depends on nothing.
func TestGrantsAreTheSame(t *testing.T) {
	var grants []string
	for _, g := range abi.Grants {
		grants = append(grants, string(g))
	}
	assert.Equal(t, grants, config.Grants())
}

// A module is the same, byte for byte, wherever it is built, so that its sha256
// in a manifest or a configuration can be checked by anyone.
func TestModulesAreReproducible(t *testing.T) {
	copied := t.TempDir()
	for _, path := range []string{"go.mod", "go.sum", "abi", "plugins"} {
		copyTree(t, filepath.Join("..", path), filepath.Join(copied, path))
	}
	for _, name := range dbtest.Builtin {
		here, err := os.ReadFile(dbtest.Module(t, name))
		require.NoError(t, err)
		there := filepath.Join(t.TempDir(), "there.wasm")
		cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", there, "./plugins/"+name)
		cmd.Dir = copied
		cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		built, err := os.ReadFile(there)
		require.NoError(t, err)
		assert.Equal(t, sha256.Sum256(here), sha256.Sum256(built), name)
		assert.NotContains(t, string(built), copied, "the module names no folder of its builder")
	}
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	require.NoError(t, err)
	if info.IsDir() {
		require.NoError(t, os.CopyFS(to, os.DirFS(from)))
		return
	}
	text, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, text, 0o644))
}
