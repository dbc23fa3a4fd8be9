package host_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// threats are the rows of THREAT-MODEL.md, in its order. Each attacks the real
// host with hostile modules, and demands that the host is none the worse for it.
var threats = []struct {
	name string
	test func(t *testing.T)
}{
	{"endless loop", threatLoop},
	{"call tree without a loop", threatCallTree},
	{"deep recursion", threatRecursion},
	{"memory", threatMemory},
	{"tables", threatTables},
	{"compile bomb", threatCompileBomb},
	{"malformed module", threatMalformed},
	{"pointers", threatPointers},
	{"handles", threatHandles},
	{"flood of calls", threatFlood},
	{"flood of log lines", threatLog},
	{"paths", threatPaths},
	{"claims what it never stored", threatClaims},
	{"objects of others", threatForeignObjects},
	{"calls out of order", threatOrder},
	{"wrong scope", threatScope},
	{"skipped file", threatSkips},
	{"poisoned state", threatState},
	{"exfiltration", threatExfiltration},
	{"forged records", threatForgedRecords},
	{"stalls the writers", threatStalls},
	{"ignores a cancel", threatIgnoresCancel},
	{"used after a crash", threatAfterCrash},
	{"swapped module", threatSwappedModule},
	{"forged restore", threatRestore},
	{"memory of another module", threatNeighbour},
}

func TestThreats(t *testing.T) {
	unraced(t)
	require.Len(t, threats, 26)
	for _, threat := range threats {
		t.Run(threat.name, threat.test)
	}
}

// allGrants is the allow list of an operator who looks at nothing.
var allGrants = func() string {
	var list []string
	for _, g := range abi.Grants {
		list = append(list, strconv.Quote(string(g)))
	}
	return strings.Join(list, ", ")
}()

// lab is a real database with a host on it, where one module is hostile.
type lab struct {
	*host.Host
	t    *testing.T
	cfg  *config.Config
	log  *lines
	want string // content of the database

	// What was there before the attack.
	list       []string
	goroutines int
	resident   int
}

// intruder is a hostile module as a configuration holds it.
type intruder struct {
	file   string   // of the module
	lines  []string // of its table, beside module and allow
	config []string // of its own table
	also   []string // further tables
}

// newLab takes a snapshot with a good strategy, so that all that comes later is
// measured against a host at work.
func newLab(t *testing.T, in intruder) *lab {
	t.Helper()
	path := dbtest.New(t, rocks.Creation{Families: []string{"orders"}})
	dbtest.Fill(t, path, "default", 1, 300)
	dbtest.Fill(t, path, "orders", 2, 300)
	return newLabOn(t, path, in)
}

func newLabOn(t *testing.T, path string, in intruder) *lab {
	t.Helper()
	text := []string{"[strategies.hostile]", fmt.Sprintf("module = %q", in.file)}
	if !strings.Contains(strings.Join(in.lines, "\n"), "sha256 =") && !strings.Contains(strings.Join(in.lines, "\n"), "allow_unpinned") {
		text = append(text, "allow_unpinned = true")
	}
	if !strings.Contains(strings.Join(in.lines, "\n"), "allow =") {
		text = append(text, "allow = ["+allGrants+"]")
	}
	text = append(append(text, in.lines...), "[strategies.hostile.config]")
	text = append(append(text, in.config...), in.also...)
	l := &lab{t: t, cfg: dbtest.Config(t, path, text...), log: &lines{}, want: dbtest.Digest(t, path)}
	t.Setenv("TMPDIR", t.TempDir())
	l.reopen(dbtest.Cache())
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	_, err := l.Snapshot(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	l.list = listed(t, l.cfg)
	l.goroutines, l.resident = runtime.NumGoroutine(), resident(t)
	return l
}

// reopen opens the host, the first time or anew.
func (l *lab) reopen(cache string) {
	l.t.Helper()
	var err error
	logger := slog.New(slog.NewTextHandler(l.log, nil))
	l.Host, err = host.Open(l.t.Context(), l.cfg, host.Offline(), host.WithModuleCache(cache), host.WithLogger(logger))
	require.NoError(l.t, err)
}

// attack takes a snapshot with the hostile module.
func (l *lab) attack() (*host.Manifest, error) {
	return l.Snapshot(l.t.Context(), host.SnapshotOptions{Strategy: "hostile"})
}

// requireFails demands that the attack fails, as the plugin's fault, for one of
// the given reasons, and that the host is well afterwards.
func (l *lab) requireFails(reasons ...string) {
	l.t.Helper()
	_, err := l.attack()
	l.requireRefused(err, reasons...)
	l.requireHealthy()
}

func (l *lab) requireRefused(err error, reasons ...string) {
	l.t.Helper()
	require.Error(l.t, err)
	for _, reason := range reasons {
		require.ErrorContains(l.t, err, reason)
	}
	assert.Equal(l.t, host.CodePlugin, host.CodeOf(err), "it is the strategy that failed: %v", err)
}

// requireHealthy demands that nothing of an attack is visible or left, and that
// the next snapshot is taken as if there had been none.
func (l *lab) requireHealthy() {
	l.t.Helper()
	require.Equal(l.t, l.list, listed(l.t, l.cfg), "a failed snapshot is visible")
	l.requireGoesOn()
	requireClean(l.t, l.cfg.Database.Path)
	left, err := os.ReadDir(os.TempDir())
	require.NoError(l.t, err)
	require.Empty(l.t, left, "temporary files")
	soon(l.t, func() bool { return runtime.NumGoroutine() <= l.goroutines }, "goroutines: %d before the attack", l.goroutines)
	soon(l.t, func() bool { return within(resident(l.t)-l.resident, 64<<20) }, "resident memory: %d MiB before the attack, %d MiB now", l.resident>>20, resident(l.t)>>20)
}

// soon waits until a condition holds, in this very goroutine: one more would count.
func soon(t *testing.T, holds func() bool, what string, args ...any) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not back to what it was: "+what, args...)
		}
	}
}

// requireGoesOn takes a snapshot with a good strategy and restores it. What failed
// sessions have left is no more than what prune sweeps.
func (l *lab) requireGoesOn() {
	l.t.Helper()
	m, err := l.Snapshot(l.t.Context(), host.SnapshotOptions{})
	require.NoError(l.t, err)
	require.Equal(l.t, l.want, dbtest.Digest(l.t, restore(l.t, l.cfg, m.ID)))
	l.list = append(l.list, m.ID)
	require.ElementsMatch(l.t, l.list, listed(l.t, l.cfg))
	_, err = l.Verify(l.t.Context(), host.VerifyOptions{Level: host.LevelCatalog})
	require.NoError(l.t, err)
}

// resident returns the bytes of memory that the process holds, once what it can
// give back is given back.
func resident(t *testing.T) int {
	t.Helper()
	debug.FreeOSMemory()
	held := residentNow()
	require.NotZero(t, held)
	return held
}

// within tells memory that has not grown beyond a bound. The race detector keeps
// memory of its own for what a program uses: under it nothing is judged, which is
// why 'make test' runs the threats without it, too.
func within(grown, bound int) bool { return raced() || grown < bound }

func residentNow() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.Atoi(strings.Fields(string(text))[1])
	return pages * os.Getpagesize()
}

// lines is a log that several goroutines write.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// misdeeds is the hostile module in Go, whose configuration names the deed.
func misdeeds(t *testing.T) string {
	return dbtest.Build(t, "github.com/rocksnap/rocksnap/host/testdata/threats/deeds")
}

// misdeed is the hostile Go module at one of its deeds.
func misdeed(t *testing.T, name string, lines ...string) intruder {
	return intruder{file: misdeeds(t), lines: lines, config: []string{fmt.Sprintf("deed = %q", name)}}
}

// hostileWAT makes a module of text, with those of the required exports that the text
// leaves out: they return success.
func hostileWAT(t *testing.T, text string) string {
	t.Helper()
	for _, part := range []struct{ name, text string }{
		{"memory", `(memory (export "memory") 1)`},
		{"rocksnap_abi", `(func (export "rocksnap_abi") (result i32) (i32.const 65536))`},
		{"rocksnap_init", `(func (export "rocksnap_init") (result i32) (i32.const 0))`},
		{"rocksnap_prepare", `(func (export "rocksnap_prepare") (result i32) (i32.const 0))`},
		{"rocksnap_snapshot", `(func (export "rocksnap_snapshot") (result i32) (i32.const 0))`},
	} {
		if !strings.Contains(text, `(export "`+part.name+`")`) {
			text += "\n" + part.text
		}
	}
	return assembled(t, "(module\n"+text+")\n")
}

func assembled(t *testing.T, text string) string {
	t.Helper()
	in, out := filepath.Join(t.TempDir(), "hostile.wat"), filepath.Join(t.TempDir(), "hostile.wasm")
	require.NoError(t, os.WriteFile(in, []byte(text), 0o600))
	authorTool(t, "wat2wasm", "-o", out, in)
	return out
}

// hostileC builds a module from testdata/threats.
func hostileC(t *testing.T, name string, flags ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "hostile.wasm")
	args := []string{"--target=wasm32", "-O1", "-nostdlib", "-Wl,--no-entry", "-I", "../abi", "-o", out}
	authorTool(t, "clang", append(append(args, flags...), filepath.Join("testdata", "threats", name))...)
	return out
}

// authorTool runs a tool of authors. Where it is missing the test is skipped, unless
// the environment says that all of them are there.
func authorTool(t *testing.T, name string, args ...string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("ROCKSNAP_TEST_AUTHORS") == "1" {
			t.Fatalf("%s is not installed", name)
		}
		t.Skipf("%s is not installed", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	require.NoError(t, err, string(out))
}
