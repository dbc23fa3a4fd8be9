package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// compilers are what a new strategy is built with, beside make.
var compilers = map[string][]string{
	"go":   {"go"},
	"rust": {"/usr/bin/rustc"},
	"c":    {"clang", "wasm-ld"},
	"as":   {assemblyScript + "/.bin/asc"},
	"wat":  {"wat2wasm"},
}

const assemblyScript = "../../../bin/tools/assemblyscript/node_modules"

// author is somebody at a shell, in the folder of a strategy.
type author struct {
	t      *testing.T
	folder string
}

// run runs a command and returns what it printed.
func (a author) run(name string, args ...string) string {
	a.t.Helper()
	out, err := a.try(name, args...)
	require.NoError(a.t, err, "%s %s\n%s", name, strings.Join(args, " "), out)
	return out
}

func (a author) try(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir = a.folder
	cmd.Env = append(os.Environ(), "ROCKSNAP_CACHE_DIR="+dbtest.Cache(), "GOPROXY=off", "GORACE=atexit_sleep_ms=10",
		"XDG_STATE_HOME="+filepath.Join(filepath.Dir(a.folder), "state"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// newStrategy makes a strategy and goes into its folder. A missing compiler is a
// failure where all are said to be there.
func newStrategy(t *testing.T, lang string) author {
	t.Helper()
	for _, tool := range compilers[lang] {
		if _, err := exec.LookPath(tool); err != nil {
			require.Empty(t, os.Getenv("ROCKSNAP_TEST_AUTHORS"), "%s: run 'make authors'", tool)
			t.Skipf("%s is not installed: see 'make authors'", tool)
		}
	}
	folder := t.TempDir()
	author{t, folder}.run("rocksnap", "plugin", "new", "--lang", lang, "mine")
	if lang == "as" { // what 'npm install' would bring
		modules, err := filepath.Abs(assemblyScript)
		require.NoError(t, err)
		require.NoError(t, os.Symlink(modules, filepath.Join(folder, "mine", "node_modules")))
	}
	return author{t, filepath.Join(folder, "mine")}
}

// A new strategy builds, takes snapshots that restore, and checks its options, in
// every language and with no change to any file.
func TestNewStrategyWorks(t *testing.T) {
	require.Len(t, compilers, len(languages))
	for lang := range compilers {
		t.Run(lang, func(t *testing.T) {
			a := newStrategy(t, lang)
			a.run("make")
			var info struct {
				Name         string
				Capabilities []string
				ConfigSchema json.RawMessage `json:"config_schema"`
			}
			require.NoError(t, json.Unmarshal([]byte(a.run("rocksnap", "plugin", "inspect", "mine.wasm", "--json")), &info))
			assert.Equal(t, "mine", info.Name)
			assert.Equal(t, []string{"checkpoint", "upload"}, info.Capabilities)
			assert.Contains(t, string(info.ConfigSchema), "verbose")

			a.run("rocksnap", "db", "fill", "--records", "2000", "--db", "data/db")
			a.run("rocksnap", "init")
			a.run("rocksnap", "snapshot")
			assert.NotContains(t, a.run("rocksnap", "snapshot", "--verbose"), "CURRENT")
			a.configure("verbose = true")
			assert.Contains(t, a.run("rocksnap", "snapshot", "--verbose"), "CURRENT", "it logs the names of files")
			a.run("rocksnap", "restore", "latest", "--target", "restored")
			assert.Equal(t, a.run("rocksnap", "digest", "--db", "data/db"), a.run("rocksnap", "digest", "--db", "restored"))

			a.withoutSchema()
			for config, message := range map[string]string{"verbose = 3": "verbose must be true or false", "verbos = true": "config: "} {
				a.configure(config)
				out, err := a.try("rocksnap", "snapshot")
				require.Error(t, err, config)
				assert.Contains(t, out, message)
			}
		})
	}
}

// configure replaces the only option of the configuration.
func (a author) configure(line string) {
	a.t.Helper()
	file := filepath.Join(a.folder, "rocksnap.toml")
	text, err := os.ReadFile(file)
	require.NoError(a.t, err)
	before, _, found := strings.Cut(string(text), "[strategies.mine.config]\n")
	require.True(a.t, found)
	require.NoError(a.t, os.WriteFile(file, []byte(before+"[strategies.mine.config]\n"+line+"\n"), 0o600))
}

// withoutSchema takes the schema out of the module, so that the strategy is asked.
func (a author) withoutSchema() {
	a.t.Helper()
	require.NoError(a.t, os.WriteFile(filepath.Join(a.folder, "plugin.json"), []byte(`{"name": "mine"}`), 0o600))
	a.run("make")
}

// No name that is taken gets in the way of the build: neither of a file that the
// build leaves, nor of a package of Go's own.
func TestNewStrategyHasAnyName(t *testing.T) {
	for name, lang := range map[string]string{"raw": "wat", "fmt": "go", "all": "go"} {
		folder := t.TempDir()
		author{t, folder}.run("rocksnap", "plugin", "new", "--lang", lang, name)
		a := author{t, filepath.Join(folder, name)}
		a.run("make")
		a.run("rocksnap", "plugin", "check", name+".wasm")
	}
}

// The Makefile's other targets do what the README says.
func TestNewStrategyIsTested(t *testing.T) {
	a := newStrategy(t, "wat")
	assert.Contains(t, a.run("make", "test"), "mine")
	a.run("rocksnap", "db", "fill", "--records", "100", "--db", "data/db")
	a.run("make", "run", "DB=data/db")
	out, err := a.try("make", "run")
	require.Error(t, err)
	assert.Contains(t, out, "which database?")
	a.run("make", "clean")
	assert.NoFileExists(t, filepath.Join(a.folder, "mine.wasm"))
}

// What is pinned in several places is the same in all.
func TestNewStrategyIsUpToDate(t *testing.T) {
	module, err := os.ReadFile("../../../go.mod")
	require.NoError(t, err)
	assert.Contains(t, string(module), "\ngo "+goVersion+".")
	pins := make([]string, 2)
	for i, file := range []string{"templates/as/package.json.tmpl", "../../../examples/strategies/inventory/package.json"} {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		_, pins[i], _ = strings.Cut(string(text), "assemblyscript")
	}
	assert.NotEmpty(t, pins[0])
	assert.Equal(t, pins[0], pins[1])
}
