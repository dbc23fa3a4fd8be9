// Package examples_test runs the examples as a user does, with the real program
// and the real modules.
package examples_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/rocksnap/rocksnap"

// layout is a folder in which programs, modules and examples lie as they do in
// the project after 'make build'.
type layout struct{ root string }

func TestExamples(t *testing.T) {
	l := layout{t.TempDir()}
	l.build(t)
	t.Run("quickstart", l.quickstart)
	t.Run("s3", l.s3)
	t.Run("embed", l.embed)
	t.Run("demo", l.demo)
	t.Run("demo leaves other folders alone", l.demoForeign)
	t.Run("demo tells what failed", l.demoFails)
}

func (l layout) build(t *testing.T) {
	watchSources(t)
	bin := filepath.Join(l.root, "bin")
	compile(t, nil, "-o", bin+"/", module+"/host/cmd/rocksnap", module+"/examples/demo", module+"/examples/embed")
	for _, name := range []string{"native-full", "incremental", "canonical"} {
		wasm := []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0"}
		compile(t, wasm, "-buildmode=c-shared", "-o", filepath.Join(bin, "plugins", name+".wasm"), module+"/plugins/"+name)
	}
}

func compile(t *testing.T, env []string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", append([]string{"build", "-trimpath", "-buildvcs=false"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
}

// watchSources reads the folders whose packages compile builds. Without it the
// go command, which sees only what the test itself opens, would repeat an old
// result after a change there.
func watchSources(t *testing.T) {
	t.Helper()
	for _, top := range []string{"abi", "config", "host", "plugins", "examples"} {
		require.NoError(t, filepath.WalkDir(filepath.Join("..", top), func(_ string, _ fs.DirEntry, err error) error { return err }))
	}
}

// copy lays out an example, without what running it may have left there.
func (l layout) copy(t *testing.T, example string) string {
	t.Helper()
	folder := filepath.Join(l.root, "examples", example)
	require.NoError(t, os.CopyFS(folder, os.DirFS(example)))
	require.NoError(t, os.RemoveAll(filepath.Join(folder, "data")))
	return folder
}

// start runs a program in the top folder and returns all that it prints.
func (l layout) start(program string, args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(l.root, "bin", program), args...)
	cmd.Dir = l.root
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (l layout) quickstart(t *testing.T) {
	folder := l.copy(t, "quickstart")
	script := filepath.Join(folder, "run.sh")
	for range 2 { // the second run starts afresh
		out, err := exec.Command(script).CombinedOutput()
		require.NoError(t, err, string(out))
		assert.Contains(t, string(out), "reason=quickstart")
	}
	live, back := l.digest(t, folder, "data/orders"), l.digest(t, folder, "data/restored")
	assert.Equal(t, uint64(5), live.Records)
	assert.Equal(t, live, back)
	requireShown(t, folder)
}

type content struct {
	Digest  string `json:"digest"`
	Records uint64 `json:"records"`
}

func (l layout) digest(t *testing.T, folder, db string) content {
	t.Helper()
	cmd := exec.Command(filepath.Join(l.root, "bin", "rocksnap"), "digest", "--db", db, "--json")
	cmd.Dir = folder
	out, err := cmd.Output()
	require.NoError(t, err)
	var c content
	require.NoError(t, json.Unmarshal(out, &c))
	return c
}

func (l layout) embed(t *testing.T) {
	l.copy(t, "embed")
	for range 2 { // the second run starts afresh
		out, err := l.start("embed")
		require.NoError(t, err, out)
		assert.Equal(t, `the program has written 30000 orders
the second snapshot reuses files of the first: true
snapshot 1 restores to the first 10000 orders
snapshot 2 restores to the first 20000 orders
`, out)
	}
}

// smallSource is laid out as Go's source tree is.
func smallSource(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"net", "crypto"} {
		require.NoError(t, os.CopyFS(filepath.Join(folder, name), os.DirFS("demo")))
	}
	return folder
}

func (l layout) demo(t *testing.T) {
	source := smallSource(t)
	for range 2 { // the second run makes the folder anew
		out, err := l.start("demo", "-source", source)
		require.NoError(t, err, out)
		_, table, found := strings.Cut(out, "digest equal")
		require.True(t, found, out)
		assert.Equal(t, 4, strings.Count(table, " yes"), out)
		assert.NotContains(t, table, "NO")
	}
}

func (l layout) demoForeign(t *testing.T) {
	precious := filepath.Join(t.TempDir(), "thesis.txt")
	require.NoError(t, os.WriteFile(precious, nil, 0o600))
	out, err := l.start("demo", "-work", filepath.Dir(precious))
	require.Error(t, err)
	assert.Contains(t, out, "was not made by this demo")
	assert.FileExists(t, precious)
}

func (l layout) demoFails(t *testing.T) {
	out, err := l.start("demo", "-source", "/absent/folder", "-work", filepath.Join(t.TempDir(), "demo"))
	require.Error(t, err)
	assert.Contains(t, out, "rocksnap db:")
	assert.Contains(t, out, "/absent/folder")
}
