// Package strategies_test holds the examples that are not written in Go to the
// laws of strategies, and each to what it promises beyond them.
package strategies_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

func TestMain(m *testing.M) {
	host.RunChild()
	os.Exit(m.Run())
}

// tools are what an example is built with.
var tools = map[string][]string{
	"incremental-c": {"clang", "wasm-ld"},
	"refresh":       {"rustc"},
	"inventory":     {"../../bin/tools/assemblyscript/node_modules/.bin/asc"},
	"minimal":       {"wat2wasm"},
}

// module builds an example, with its metadata, and returns the module's path. A
// missing tool is a failure where all are said to be there.
func module(t *testing.T, name string) string {
	t.Helper()
	for _, tool := range tools[name] {
		if _, err := exec.LookPath(tool); err != nil {
			require.Empty(t, os.Getenv("ROCKSNAP_TEST_AUTHORS"), "%s: run 'make authors'", tool)
			t.Skipf("%s is not installed: see 'make authors'", tool)
		}
	}
	raw := filepath.Join(t.TempDir(), "raw.wasm")
	out, err := exec.Command("./build", name, raw).CombinedOutput()
	require.NoError(t, err, "%s", out)
	metadata, err := os.ReadFile(filepath.Join(name, "plugin.json"))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), name+".wasm")
	require.NoError(t, host.AnnotateModule(raw, path, metadata))
	return path
}

var (
	full        = []abi.Grant{abi.GrantCheckpoint, abi.GrantUpload}
	incremental = append(full, abi.GrantReuse, abi.GrantState)
)

// incrementalC stands in for the strategy that it is a translation of: it has its
// name, so that the two read each other's state.
func incrementalC(t *testing.T, config string) strategytest.Subject {
	return strategytest.Subject{
		Name: "incremental", Module: module(t, "incremental-c"), Allow: incremental, Config: config, Reuses: true,
		Trace: "../../plugins/incremental/testdata/trace.txt",
	}
}

func refresh(t *testing.T, config string) strategytest.Subject {
	return strategytest.Subject{Name: "refresh", Module: module(t, "refresh"), Allow: incremental, Config: config, Reuses: true}
}

func inventory(t *testing.T, config string) strategytest.Subject {
	return strategytest.Subject{
		Name: "inventory", Module: module(t, "inventory"), Allow: append(full, abi.GrantMeta), Config: config,
	}
}

func minimal(t *testing.T) strategytest.Subject {
	return strategytest.Subject{Name: "minimal", Module: module(t, "minimal"), Allow: full}
}

// The trace of incremental-c is compared with that of plugins/incremental.
func TestLawsOfIncrementalC(t *testing.T) { strategytest.Run(t, incrementalC(t, "")) }

func TestLawsOfRefresh(t *testing.T) { strategytest.Run(t, refresh(t, "max_age = 1000")) }

func TestLawsOfInventory(t *testing.T) { strategytest.Run(t, inventory(t, "")) }

func TestLawsOfMinimal(t *testing.T) { strategytest.Run(t, minimal(t)) }

// Every example is in the table of a test, or is written in Go and has its own.
func TestEveryExampleIsTested(t *testing.T) {
	found, err := filepath.Glob("*/main.*")
	require.NoError(t, err)
	require.Greater(t, len(found), len(tools))
	for _, main := range found {
		name := filepath.Dir(main)
		assert.FileExists(t, filepath.Join(name, "plugin.json"))
		assert.FileExists(t, filepath.Join(name, "README.md"))
		switch {
		case filepath.Ext(main) == ".go":
			assert.FileExists(t, filepath.Join(name, "main_test.go"))
		case filepath.Base(main) != "main_test.go":
			assert.Contains(t, tools, name)
		}
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	for _, tt := range []struct {
		build   func(*testing.T, string) strategytest.Subject
		refused map[string]string // message by configuration
	}{
		{incrementalC, map[string]string{
			"full_every = -1":       "full_every must be a whole number, 0 or more",
			`full_every = "weekly"`: "full_every must be a whole number, 0 or more",
			"full_every = 1.5":      "full_every must be a whole number, 0 or more",
			"full_evry = 3":         "the only key is full_every",
		}},
		{refresh, map[string]string{
			"max_age = 0":                  "max_age must be a whole number, 1 or more",
			"max_age = [1, 2]":             "max_age must be a whole number, 1 or more",
			`age = {max_age = 1, b = "}"}`: "the only key is max_age",
		}},
		{inventory, map[string]string{
			`key = ""`:     "key must be a string",
			`key = "a\"b"`: "key must be a string",
			`kye = "a"`:    `unknown key "kye"`,
		}},
	} {
		subject := tt.build(t, "")
		for config, message := range tt.refused {
			subject.Config = config
			site := strategytest.NewSite(t, unchecked(t, subject), strategytest.Database{})
			site.Fill("default", 1, 20)
			_, err := site.TrySnapshot()
			require.ErrorContains(t, err, message, config)
			require.ErrorIs(t, err, abi.EINVAL)
		}
	}
}

// unchecked is a subject without a schema, so that the strategy has to check its
// configuration itself, as it must under any host.
func unchecked(t *testing.T, s strategytest.Subject) strategytest.Subject {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.Base(s.Module))
	require.NoError(t, host.AnnotateModule(s.Module, path, []byte(`{}`)))
	s.Module = path
	return s
}

// kept is what the manifests of two sites with equal content must have in common.
// They differ in ids, times, names and digests of objects and in what names the
// database: identities, which hold its session, and RocksDB's text files.
type kept struct {
	Name, Family  string
	Kind          abi.Kind
	Scope         abi.Scope
	Reused        bool
	Level         int
	Number        uint64
	Smallest, End uint64 // sequence numbers
}

func contents(m *host.Manifest) []kept {
	var files []kept
	for _, f := range m.Contents {
		files = append(files, kept{f.Name, f.Family, f.Kind, f.Scope, f.Reused, f.Level, f.Number, f.SmallestSeq, f.LargestSeq})
	}
	return files
}

// history takes snapshots of a database that grows and is compacted, and returns
// their manifests.
func history(t *testing.T, s strategytest.Subject) (manifests []*host.Manifest) {
	site := strategytest.NewSite(t, s, strategytest.Database{Families: []string{"orders"}})
	for seed := range uint64(5) {
		site.Fill("default", seed, 200)
		site.Fill("orders", 10+seed, 200)
		site.Flush()
		if seed == 2 { // before RocksDB does it by itself, whenever it likes
			site.Compact()
		}
		m := site.Snapshot()
		require.Equal(t, site.Digest(), site.RestoredDigest(m.ID))
		manifests = append(manifests, m)
	}
	return manifests
}

// The same strategy in Go and in C takes the same snapshots.
func TestManifestsOfIncrementalC(t *testing.T) {
	const config = "full_every = 4"
	translated := incrementalC(t, config)
	original := translated
	original.Module = strategytest.Build(t, "../../plugins/incremental")
	want, got := history(t, original), history(t, translated)
	var reused int64
	for i := range want {
		assert.Equal(t, contents(want[i]), contents(got[i]), "snapshot %d", i)
		assert.Equal(t, want[i].State, got[i].State)
		assert.Equal(t, want[i].Strategy.Name, got[i].Strategy.Name)
		assert.Equal(t, want[i].Base == "", got[i].Base == "")
		assert.Equal(t, want[i].Kind, got[i].Kind)
		reused += got[i].BytesReused
	}
	assert.Positive(t, reused, "something was reused")
	assert.NotEqual(t, want[0].Strategy.Module, got[0].Strategy.Module, "they are two modules")
}

// A restored snapshot of the one is the base of the other.
func TestStateOfIncrementalIsUnderstood(t *testing.T) {
	translated := incrementalC(t, "full_every = 2")
	site := strategytest.NewSite(t, translated, strategytest.Database{})
	var full string
	for seed := range uint64(5) {
		site.Fill("default", seed, 20)
		site.Flush()
		m := site.Snapshot()
		full += fmt.Sprint(m.Base == "", string(m.State["snapshots_since_full"]), " ")
	}
	assert.Equal(t, "true0 false1 true0 false1 true0 ", full)
}

// No object gets older than max_age snapshots, and no snapshot but the first
// stores everything.
func TestRefreshKeepsObjectsYoung(t *testing.T) {
	const maxAge = 4
	site := strategytest.NewSite(t, refresh(t, fmt.Sprint("max_age = ", maxAge)), strategytest.Database{BlobFiles: true})
	for seed := range uint64(8) {
		site.Fill("default", seed, 50)
		site.Flush()
	}
	stored := make(map[string]int) // the snapshot that stored an object
	var old int
	for n := range 3 * maxAge {
		site.Put("default", fmt.Sprint("snapshot ", n), "value")
		m := site.Snapshot()
		for _, f := range m.Contents {
			if _, known := stored[f.Object]; !known {
				require.False(t, f.Reused, f.Name)
				stored[f.Object] = n
			}
			require.Less(t, n-stored[f.Object], maxAge, "%s in snapshot %d", f.Name, n)
			old = max(old, n-stored[f.Object])
		}
		if n > 0 {
			require.Positive(t, m.BytesReused, "snapshot %d", n)
		}
		require.Equal(t, site.Digest(), site.RestoredDigest(m.ID))
	}
	assert.Equal(t, maxAge-1, old, "objects are reused as long as they may be")
}

// The count goes on where a restore left it.
func TestRefreshAfterRestore(t *testing.T) {
	site := strategytest.NewSite(t, refresh(t, ""), strategytest.Database{})
	site.Fill("default", 1, 50)
	site.Flush()
	site.Snapshot()
	restored := site.Restored(site.Snapshot().ID)
	m := restored.Snapshot()
	assert.Equal(t, "3", string(m.State["turn"]))
	assert.Equal(t, restored.Digest(), restored.RestoredDigest(m.ID))
}

// sum is a row of the inventory.
type sum struct {
	Family *uint32 `json:"family"`
	Level  int     `json:"level"`
	Count  int     `json:"count"`
	Bytes  int64   `json:"bytes"`
}

func TestInventoryIsTrue(t *testing.T) {
	site := strategytest.NewSite(t, inventory(t, `key = "what is inside"`), strategytest.Database{
		Families: []string{"orders", "users"}, BlobFiles: true,
	})
	for seed := range uint64(3) {
		site.Fill("default", seed, 100)
		site.Fill("orders", seed, 100)
		site.Flush()
	}
	site.Compact()
	site.Fill("orders", 9, 100)
	site.Flush()
	m := site.Snapshot()
	var doc struct {
		Tables        []sum
		Blobs, Others sum
	}
	require.NoError(t, json.Unmarshal(m.Meta["what is inside"], &doc))

	families := make(map[string]uint32)
	for _, f := range m.Families {
		families[f.Name] = f.ID
	}
	want := make(map[[2]int]sum)
	var blobs, others sum
	for _, f := range m.Contents {
		place := &others
		switch f.Kind {
		case abi.KindTable:
			key := [2]int{int(families[f.Family]), f.Level}
			s := want[key]
			want[key] = sum{Count: s.Count + 1, Bytes: s.Bytes + f.Size}
			continue
		case abi.KindBlob:
			place = &blobs
		}
		place.Count++
		place.Bytes += f.Size
	}
	got := make(map[[2]int]sum)
	for _, row := range doc.Tables {
		got[[2]int{int(*row.Family), row.Level}] = sum{Count: row.Count, Bytes: row.Bytes}
	}
	assert.Equal(t, want, got)
	assert.Len(t, doc.Tables, len(got), "one row for each level")
	assert.Greater(t, len(got), 2)
	assert.Equal(t, blobs, doc.Blobs)
	assert.Equal(t, others, doc.Others)
	assert.Positive(t, doc.Blobs.Count)
}
