// Package dbtest makes real databases, configurations and modules for tests.
package dbtest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Builtin lists the strategies that come with rocksnap.
var Builtin = []string{"native-full", "incremental", "canonical"}

// New makes a database with nothing in it and returns its folder.
func New(t testing.TB, c rocks.Creation) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	Edit(t, path, c, func(*rocks.DB) {})
	return path
}

// Edit opens a database for writing, creating it when it is missing, and closes
// it after edit.
func Edit(t testing.TB, path string, c rocks.Creation, edit func(db *rocks.DB)) {
	t.Helper()
	db, err := rocks.Open(path, rocks.Options{CreateIfMissing: true, Creation: c})
	require.NoError(t, err)
	edit(db)
	require.NoError(t, db.Close())
}

// Fill writes count records whose keys and values follow from the seed into a
// column family, and flushes them into a table. Different seeds write
// overlapping keys, so that later fills also overwrite.
func Fill(t testing.TB, path, family string, seed uint64, count int) {
	t.Helper()
	Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		require.NoError(t, db.PutBlock(family, Block(seed, count)))
		require.NoError(t, db.Flush())
	})
}

// Block returns count packed records that follow from the seed.
func Block(seed uint64, count int) []byte {
	random := rand.New(rand.NewPCG(seed, seed))
	var block []byte
	for range count {
		key := fmt.Appendf(nil, "key-%07d", random.IntN(4*count))
		value := make([]byte, 20+random.IntN(200))
		for i := range value {
			value[i] = byte('a' + random.IntN(16))
		}
		block = canonical.AppendRecord(block, key, value)
	}
	return block
}

// Digest returns the content digest of a database that is closed.
func Digest(t testing.TB, path string) string {
	t.Helper()
	content, err := host.DigestDatabase(t.Context(), path, 2, nil)
	require.NoError(t, err)
	return content.Digest
}

// Config writes a configuration for a database, with the built-in strategies as
// real modules and any further lines, makes the repository beside it, and loads
// it.
func Config(t testing.TB, path string, lines ...string) *config.Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rocksnap.toml")
	text := fmt.Sprintf("version = 1\n[database]\npath = %q\n[repository]\nurl = \"file:repo\"\n[snapshot]\nstrategy = \"native-full\"\n", path)
	for _, name := range Builtin {
		text += fmt.Sprintf("[strategies.%s]\nmodule = %q\nallow_unpinned = true\n", name, Module(t, name))
		text += fmt.Sprintf("allow = [%s]\n", grants[name])
	}
	require.NoError(t, os.WriteFile(file, []byte(text+strings.Join(lines, "\n")), 0o600))
	cfg, err := config.Load(file)
	require.NoError(t, err)
	_, err = host.Init(t.Context(), cfg, host.InitOptions{SkipProbe: true})
	require.NoError(t, err)
	return cfg
}

var grants = map[string]string{
	"native-full": `"checkpoint", "upload"`,
	"incremental": `"checkpoint", "upload", "reuse", "state"`,
	"canonical":   `"export"`,
}

// built remembers modules for the life of the test process.
var built struct {
	sync.Mutex
	paths map[string]string
}

// Module builds plugins/<name> with plain Go, once per test process, and returns
// the module's path.
func Module(t testing.TB, name string) string {
	t.Helper()
	return Build(t, "github.com/rocksnap/rocksnap/plugins/"+name)
}

// Build builds a package of this module as a strategy, once per test process.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	built.Lock()
	defer built.Unlock()
	if path, ok := built.paths[pkg]; ok {
		return path
	}
	dir, err := os.MkdirTemp("", "rocksnap-modules-")
	require.NoError(t, err)
	path := filepath.Join(dir, filepath.Base(pkg)+".wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	if built.paths == nil {
		built.paths = make(map[string]string)
	}
	built.paths[pkg] = path
	return path
}

// Cache is a folder for compiled modules that all test processes of a user share:
// under the race detector the first compilation of a module takes many seconds.
var Cache = sync.OnceValue(func() string {
	dir, err := os.UserCacheDir()
	if err == nil {
		dir = filepath.Join(dir, "rocksnap", "test-modules")
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		dir, err = os.MkdirTemp("", "rocksnap-cache-")
	}
	if err != nil {
		panic(err)
	}
	return dir
})
