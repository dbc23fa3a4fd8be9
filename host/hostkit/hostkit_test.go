package hostkit_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/hostkit"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

func TestMain(m *testing.M) {
	host.RunChild()
	os.Exit(m.Run())
}

// guests are the languages, each with how to build its guest.
var guests = []struct {
	language string
	build    func(t testing.TB) string
}{
	{"Go", func(t testing.TB) string { return dbtest.Build(t, hostkit.GoGuest) }},
	{"C", func(t testing.TB) string {
		return build(t, "guest.c", hostkit.C(), "clang", "--target=wasm32", "-O1", "-nostdlib", "-Wl,--no-entry", "-Wall", "-Werror", "-I", "../../abi")
	}},
	{"WAT", func(t testing.TB) string { return build(t, "guest.wat", hostkit.WAT(), "wat2wasm") }},
}

// build has a tool make a module of a source. Where the tool is missing the test
// is skipped, unless the environment says that all of them are there.
func build(t testing.TB, name, source, tool string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("ROCKSNAP_TEST_AUTHORS") == "1" {
			t.Fatalf("%s is not installed", tool)
		}
		t.Skipf("%s is not installed", tool)
	}
	in := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(in, []byte(source), 0o600))
	out, err := exec.Command(tool, append(args, "-o", in+".wasm", in)...).CombinedOutput()
	require.NoError(t, err, string(out))
	return in + ".wasm"
}

// TestHost runs the whole table against the real host, in every language. All of
// them are held to the same results.
func TestHost(t *testing.T) {
	for _, guest := range guests {
		t.Run(guest.language, func(t *testing.T) {
			s := newStage(t, guest.build(t))
			for _, c := range hostkit.Cases() {
				results, trapped, err := s.run(c)
				assert.NoError(t, c.Check(results, trapped), "the run ended with: %v", err)
			}
		})
	}
}

// stage is a host on the database that the cases want.
type stage struct {
	*host.Host
	t       testing.TB
	cfg     *config.Config
	program []byte
	results map[int]int32
}

func newStage(t testing.TB, module string) *stage {
	t.Helper()
	path := dbtest.New(t, rocks.Creation{Families: []string{"orders"}})
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		block := canonical.AppendRecord(nil, []byte("a"), make([]byte, 100))
		block = canonical.AppendRecord(block, []byte("bb"), []byte("value"))
		require.NoError(t, db.PutBlock("default", block))
		require.NoError(t, db.PutBlock("orders", dbtest.Block(1, 100)))
		require.NoError(t, db.Flush())
	})
	cfg := dbtest.Config(t, path, "[strategies.kit]", `module = "`+module+`"`, "allow_unpinned = true",
		`allow = ["checkpoint", "upload", "reuse", "state", "meta", "export", "scan", "stream", "restore"]`)
	s := &stage{t: t, cfg: cfg}
	s.Host = s.open(host.WithSessionWrapper(func(session abi.Session) abi.Session { return watched{session, s} }))
	return s
}

func (s *stage) open(options ...host.Option) *host.Host {
	s.t.Helper()
	h, err := host.Open(s.t.Context(), s.cfg, append(options, host.Offline(), host.WithModuleCache(dbtest.Cache()))...)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, h.Close()) })
	return h
}

// watched hands the program to the guest, and takes its results.
type watched struct {
	abi.Session
	stage *stage
}

func (w watched) Config() ([]byte, error) { return w.stage.program, nil }

func (w watched) Progress(done, total uint64) { w.stage.results[int(done)] = int32(total) }

func (s *stage) run(c hostkit.Case) (results map[int]int32, trapped bool, err error) {
	s.program, s.results = c.Config(), make(map[int]int32)
	if c.Restores() {
		err = s.restore()
	} else {
		_, err = s.Snapshot(s.t.Context(), host.SnapshotOptions{Strategy: "kit"})
	}
	return s.results, err != nil && strings.Contains(err.Error(), "was given offset"), err
}

// restore restores a snapshot that a native strategy has taken under the guest's
// name.
func (s *stage) restore() error {
	require.NoError(s.t, s.Host.Close())
	native := s.open(host.WithStrategy("kit", func() abi.Strategy { return everything{} }))
	m, err := native.Snapshot(s.t.Context(), host.SnapshotOptions{Strategy: "kit"})
	require.NoError(s.t, err)
	require.NoError(s.t, native.Close())
	s.Host = s.open(host.WithSessionWrapper(func(session abi.Session) abi.Session { return watched{session, s} }))
	_, err = s.Restore(s.t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: filepath.Join(s.t.TempDir(), "restored")})
	return err
}

// everything is a strategy that uploads all there is.
type everything struct{}

func (everything) Init(context.Context, abi.Session) error { return nil }

func (everything) Prepare(_ context.Context, s abi.Session) error {
	_, err := s.Checkpoint()
	return err
}

func (everything) Snapshot(ctx context.Context, s abi.Session) error {
	return abi.UploadAll(ctx, s, abi.ScopePrivate)
}

// TestUngranted takes one capability away. The guests import every function, so
// that they are not even loaded.
func TestUngranted(t *testing.T) {
	s := newStage(t, guests[0].build(t))
	require.NoError(t, s.Host.Close())
	for i, g := range abi.Grants {
		table := s.cfg.Strategies["kit"]
		table.Allow = nil
		for n, other := range abi.Grants {
			if n != i {
				table.Allow = append(table.Allow, string(other))
			}
		}
		s.cfg.Strategies["kit"] = table
		s.cfg.Snapshot.Strategy = "kit"
		_, err := host.Open(t.Context(), s.cfg, host.Offline(), host.WithModuleCache(dbtest.Cache()))
		require.ErrorIs(t, err, abi.EPERM)
		assert.ErrorContains(t, err, `"`+string(g)+`"`)
		table.Allow = append(table.Allow, string(g))
		s.cfg.Strategies["kit"] = table
	}
	s.Host = s.open()
}

// TestCases holds the table to the ABI: every function is called well and badly,
// and no case is too long for the guests.
func TestCases(t *testing.T) {
	good, bad, names := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	for _, c := range hostkit.Cases() {
		assert.False(t, names[c.Name], c.Name)
		names[c.Name] = true
		assert.LessOrEqual(t, len(c.Steps), hostkit.MaxSteps, c.Name)
		assert.LessOrEqual(t, len(c.Config()), hostkit.ArenaBytes, c.Name)
		for _, s := range c.Steps {
			if s.Want.Trap || s.Want.Low < 0 {
				bad[s.Call] = true
			} else {
				good[s.Call] = true
			}
		}
	}
	for _, f := range abi.Imports {
		if f.Name != "fetch" && f.Name != "base_use" { // they need a restore and a base: the laws of strategies have those
			assert.True(t, good[f.Name], "%s is called well", f.Name)
		}
		if len(f.Params) > 0 && f.Name != "progress" {
			assert.True(t, bad[f.Name], "%s is called badly", f.Name)
		}
	}
}

// TestCheck sees to it that a host which answers wrongly is found out.
func TestCheck(t *testing.T) {
	c := hostkit.Case{Name: "case", Steps: []hostkit.Step{
		{Call: "wait", Want: hostkit.Gives(0)}, {Call: "view", Want: hostkit.Fails(abi.ECONFLICT)},
	}}
	assert.NoError(t, c.Check(map[int]int32{0: 0, 1: -13}, false))
	assert.EqualError(t, c.Check(map[int]int32{0: 0, 1: 2}, false), "case: step 1, view returned 2, want -ECONFLICT")
	assert.EqualError(t, c.Check(map[int]int32{0: 0}, true), "case: step 1, view was not reached or trapped")
	assert.EqualError(t, c.Check(map[int]int32{0: 0, 1: -13}, true), "case: trapped after its last step")
	c.Steps[1].Want = hostkit.Traps
	assert.NoError(t, c.Check(map[int]int32{0: 0}, true))
	assert.EqualError(t, c.Check(map[int]int32{0: 0}, false), "case: step 1, view: no trap")
	assert.EqualError(t, c.Check(map[int]int32{0: 0, 1: 0}, true), "case: step 1, view returned 0, want a trap")
}

// TestSpecification takes snapshots with the examples of ABI.md, as they stand
// there.
func TestSpecification(t *testing.T) {
	page, err := os.ReadFile("../../abi/ABI.md")
	require.NoError(t, err)
	for _, example := range []struct {
		language string
		tool     []string
	}{
		{"c", []string{"clang", "--target=wasm32", "-O2", "-nostdlib", "-Wl,--no-entry", "-I", "../../abi"}},
		{"wat", []string{"wat2wasm"}},
	} {
		t.Run(example.language, func(t *testing.T) {
			code := regexp.MustCompile("(?s)\n```" + example.language + "\n(.*?)```\n").FindSubmatch(page)
			require.NotNil(t, code)
			s := newStage(t, build(t, "example."+example.language, string(code[1]), example.tool[0], example.tool[1:]...))
			s.program = []byte("{}")
			m, err := s.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "kit"})
			require.NoError(t, err)
			target := filepath.Join(t.TempDir(), "restored")
			_, err = s.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
			require.NoError(t, err)
			content, err := s.Digest(t.Context())
			require.NoError(t, err)
			assert.Equal(t, content.Digest, dbtest.Digest(t, target))
		})
	}
}
