package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// without is a rocksnap that was built without cgo, and so without RocksDB.
type without struct {
	program, config string
}

func buildWithout(t *testing.T, config string) without {
	t.Helper()
	program := filepath.Join(t.TempDir(), "rocksnap")
	cmd := exec.Command("go", "build", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return without{program, config}
}

// run runs the program and decodes the document that it prints.
func (w without) run(t *testing.T, args ...string) (document map[string]any, status int) {
	t.Helper()
	cmd := exec.Command(w.program, append(args, "--json", "--quiet", "--config", w.config)...)
	var out, problem bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problem
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir())
	_ = cmd.Run() // the status says it all
	status = cmd.ProcessState.ExitCode()
	text := out.Bytes()
	if status != 0 {
		text = problem.Bytes()
	}
	require.NoError(t, json.Unmarshal(text, &document), "%s%s", out.String(), problem.String())
	return document, status
}

// ok runs the program and demands success.
func (w without) ok(t *testing.T, args ...string) map[string]any {
	t.Helper()
	document, status := w.run(t, args...)
	require.Zero(t, status, "%v: %v", args, document)
	return document
}

// fails runs the program and demands the failure that the lack of RocksDB is.
func (w without) fails(t *testing.T, args ...string) {
	t.Helper()
	document, status := w.run(t, args...)
	assert.Equal(t, 1, status)
	assert.Contains(t, document["message"], "this rocksnap was built without RocksDB")
	assert.Contains(t, document["hint"], "built with cgo")
}

// TestWithoutRocksDB reads a repository, and restores canonical snapshots, by a
// program that has no RocksDB.
func TestWithoutRocksDB(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	dbtest.Edit(t, path, rocks.Creation{Families: []string{"orders", "none"}}, func(db *rocks.DB) {
		require.NoError(t, db.PutBlock("default", dbtest.Block(1, 500)))
		require.NoError(t, db.PutBlock("orders", dbtest.Block(2, 3000)))
	})
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	canonical, native := take(t, cfg, "canonical"), take(t, cfg, "native-full")
	w := buildWithout(t, filepath.Join(filepath.Dir(cfg.Repository.Dir()), "rocksnap.toml"))

	assert.Equal(t, "none", w.ok(t, "version")["rocksdb"])
	assert.Len(t, w.ok(t, "list")["snapshots"], 2)
	w.ok(t, "verify", "--level", "data")
	w.ok(t, "prune", "--dry-run")
	assert.Equal(t, want, w.ok(t, "digest", "--snapshot", canonical)["digest"])
	for _, engine := range []string{"pebble", "bbolt", "jsonl"} {
		target := filepath.Join(t.TempDir(), engine)
		w.ok(t, "restore", canonical, "--target", target, "--engine", engine)
		assert.Equal(t, want, w.ok(t, "digest", "--db", target, "--engine", engine)["digest"])
		content, err := host.DigestEngine(t.Context(), engine, target, 1, nil)
		require.NoError(t, err)
		assert.Equal(t, want, content.Digest, "by a program that has RocksDB")
	}

	target := filepath.Join(t.TempDir(), "target")
	w.fails(t, "restore", canonical, "--target", target)
	w.fails(t, "restore", native, "--target", target, "--engine", "pebble")
	w.fails(t, "snapshot")
	w.fails(t, "digest", "--db", path)
	assert.NoDirExists(t, target)

	w.ok(t, "restore", native, "--target", target) // files are files
	assert.Equal(t, want, dbtest.Digest(t, target))
}

func take(t *testing.T, cfg *config.Config, strategy string) string {
	t.Helper()
	h, err := host.Open(t.Context(), cfg, host.Offline(), host.WithModuleCache(dbtest.Cache()))
	require.NoError(t, err)
	defer h.Close()
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
	require.NoError(t, err)
	return m.ID
}
