package wasm

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// script is a file of WebAssembly's own tests, as wast2json writes them.
type script struct {
	Commands []command `json:"commands"`
}

type command struct {
	Type     string `json:"type"`
	Line     int    `json:"line"`
	Name     string `json:"name"`
	Filename string `json:"filename"`
	As       string `json:"as"`
	Format   string `json:"module_type"`
	Action   action `json:"action"`
}

type action struct {
	Type   string  `json:"type"`
	Module string  `json:"module"`
	Field  string  `json:"field"`
	Args   []value `json:"args"`
}

type value struct {
	Type  string `json:"type"`
	Lane  string `json:"lane_type"`
	Value any    `json:"value"`
}

// TestSpecification runs WebAssembly's own tests twice, as they are and
// instrumented, and wants the same from both: results, traps and refusals.
func TestSpecification(t *testing.T) {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/tetratelabs/wazero").Output()
	require.NoError(t, err)
	root := filepath.Join(strings.TrimSpace(string(dir)), "internal/integration_test/spectest")
	if _, err := os.Stat(root); err != nil {
		t.Skipf("the tests of WebAssembly's specification come with wazero's source, which is not here: %v", err)
	}
	shared, err := os.ReadFile(filepath.Join(root, "testdata", "spectest.wasm"))
	require.NoError(t, err)
	var sum tally
	for _, version := range []string{"v1", "v2"} {
		scripts, err := filepath.Glob(filepath.Join(root, version, "testdata", "*.json"))
		require.NoError(t, err)
		require.NotEmpty(t, scripts)
		for _, path := range scripts {
			t.Run(version+"/"+strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) { sum.run(t, path, shared) })
		}
	}
	t.Logf("%+v", sum)
	require.Greater(t, sum.Modules, 2000, "modules that ran both ways")
	require.Greater(t, sum.Calls, 60000, "calls that gave the same both ways")
	require.Greater(t, sum.Refused, 4000, "modules that were refused both ways")
	require.Less(t, sum.Stricter, 30, "modules that only we refuse")
}

// tally counts what was compared.
type tally struct {
	Modules, Calls, Refused int
	Stricter                int // modules that we refuse and the engine takes
	Skipped                 int // calls of modules that were refused
}

// world is the modules of a script, one way.
type world struct {
	runtime wazero.Runtime
	modules map[string]api.Module
	last    api.Module
}

func newWorld(t *testing.T, shared []byte) *world {
	w := &world{runtime: newRuntime(t), modules: map[string]api.Module{}}
	_, err := w.runtime.InstantiateWithConfig(t.Context(), shared, wazero.NewModuleConfig())
	require.NoError(t, err)
	return w
}

func (sum *tally) run(t *testing.T, path string, shared []byte) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var s script
	require.NoError(t, json.Unmarshal(text, &s))
	plain, ours := newWorld(t, shared), newWorld(t, shared)
	for n, c := range s.Commands {
		line := fmt.Sprintf("line %d, %s", c.Line, c.Type)
		switch {
		case c.Filename != "" && c.Format != "text":
			wasm, err := os.ReadFile(filepath.Join(filepath.Dir(path), c.Filename))
			require.NoError(t, err)
			var as string
			if n+1 < len(s.Commands) && s.Commands[n+1].Type == "register" {
				as = s.Commands[n+1].As
			}
			sum.load(t, line, c.Name, as, wasm, plain, ours)
		case c.Action.Type == "invoke":
			sum.call(t, line, c.Action, plain, ours)
		}
	}
}

func (sum *tally) load(t *testing.T, line, name, as string, wasm []byte, plain, ours *world) {
	m, refusal := Parse(wasm)
	if refusal == nil {
		refusal = Check(wasm, m, Limits{Table: 1 << 28, Labels: 1 << 15, Locals: 1100})
	}
	if refusal != nil {
		plain.last, ours.last = nil, nil
		if _, err := plain.runtime.CompileModule(t.Context(), wasm); err != nil {
			sum.Refused++
			return
		}
		t.Logf("%s: only we refuse this: %v", line, refusal)
		sum.Stricter++
		return
	}
	copied, err := instrument(wasm, 50) // little, so that it is used up at every other place
	require.NoError(t, err, line)
	want, got := plain.load(t, name, as, wasm), ours.load(t, name, as, copied)
	require.Equal(t, want == nil, got == nil, "%s: %v, instrumented: %v", line, want, got)
	if want != nil {
		sum.Refused++
		return
	}
	sum.Modules++
}

func (w *world) load(t *testing.T, name, as string, wasm []byte) error {
	m, err := w.runtime.InstantiateWithConfig(t.Context(), wasm, wazero.NewModuleConfig().WithName(as).WithStartFunctions())
	if err != nil {
		return err
	}
	w.last = m
	if name != "" {
		w.modules[name] = m
	}
	return nil
}

func (sum *tally) call(t *testing.T, line string, a action, plain, ours *world) {
	want, wantErr, known := plain.call(t, a)
	if !known {
		sum.Skipped++
		return
	}
	got, gotErr, known := ours.call(t, a)
	require.True(t, known, line)
	require.Equal(t, firstLine(wantErr), firstLine(gotErr), line)
	require.Equal(t, want, got, line)
	sum.Calls++
}

func (w *world) call(t *testing.T, a action) (results []uint64, err error, known bool) {
	m := w.last
	if a.Module != "" {
		m = w.modules[a.Module]
	}
	if m == nil || m.ExportedFunction(a.Field) == nil {
		return nil, nil, false
	}
	var args []uint64
	for _, v := range a.Args {
		args = append(args, v.words(t)...)
	}
	results, err = m.ExportedFunction(a.Field).Call(t.Context(), args...)
	return results, err, true
}

// words are the value as wazero takes it; a vector is two.
func (v value) words(t *testing.T) []uint64 {
	if v.Type != "v128" {
		n, err := strconv.ParseUint(v.Value.(string), 10, 64)
		if v.Type == "externref" {
			return []uint64{n + 1} // null is 0
		}
		require.NoError(t, err)
		return []uint64{n}
	}
	lanes := v.Value.([]any)
	width := 128 / len(lanes)
	var words [2]uint64
	for i, lane := range lanes {
		n, err := strconv.ParseUint(lane.(string), 10, 64)
		require.NoError(t, err)
		words[i*width/64] |= n << (i * width % 64)
	}
	return words[:]
}

func firstLine(err error) string {
	if err == nil {
		return ""
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
