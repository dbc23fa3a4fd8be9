package host_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// TestIndependent has RocksDB's own ldb compare what was restored with what was
// there: none of our code reads either.
func TestIndependent(t *testing.T) {
	unraced(t)
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) { compareByLDB(t, shape.make(t)) })
	}
}

// TestIndependentBenchmark takes a database that RocksDB's own benchmark made.
func TestIndependentBenchmark(t *testing.T) {
	unraced(t)
	path := filepath.Join(t.TempDir(), "db")
	run(t, "db_bench", "--benchmarks=fillrandom,overwrite", "--num=20000", "--value_size=80",
		"--write_buffer_size=400000", "--compression_type=none", "--db="+path)
	compareByLDB(t, path)
}

func compareByLDB(t *testing.T, path string) {
	cfg := dbtest.Config(t, path)
	families := familyNames(t, path)
	want := scan(t, path, families)
	require.NotEmpty(t, want)
	for _, m := range snapshots(t, cfg, dbtest.Builtin...) {
		restored := restore(t, cfg, m.ID)
		assert.Equal(t, families, familyNames(t, restored), m.Strategy.Name)
		assert.True(t, bytes.Equal(want, scan(t, restored, families)), m.Strategy.Name)
	}
	assert.True(t, bytes.Equal(want, scan(t, path, families)), "the source changed")
}

// scan prints every record of a copy of the database; ldb opens for writing.
func scan(t *testing.T, path string, families []string) []byte {
	t.Helper()
	scratch := filepath.Join(t.TempDir(), "db")
	require.NoError(t, os.CopyFS(scratch, os.DirFS(path)))
	assert.Equal(t, "OK\n", string(run(t, "ldb", "--db="+scratch, "checkconsistency")))
	var out []byte
	for _, family := range families {
		out = append(out, run(t, "ldb", "--db="+scratch, "--column_family="+family, "--hex", "scan")...)
	}
	return out
}

func familyNames(t *testing.T, path string) []string {
	t.Helper()
	set, err := version.Read(path)
	require.NoError(t, err)
	var names []string
	for _, f := range set.Families {
		names = append(names, f.Name)
	}
	return names
}

// run runs one of RocksDB's own tools and returns what it printed.
func run(t *testing.T, tool string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(tool)
	require.NoError(t, err, "install the package rocksdb-tools: apt-get install rocksdb-tools")
	cmd := exec.Command(path, args...)
	cmd.Dir = t.TempDir()
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	require.NoError(t, cmd.Run(), "%s %v: %s", tool, args, errs.String())
	return out.Bytes()
}
