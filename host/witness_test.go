package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

var catalogLevel = host.VerifyOptions{Level: host.LevelCatalog}

// TestVerifySeen compares the history with what was seen of it.
func TestVerifySeen(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	r := repository(t, cfg)
	assert.Empty(t, verify(t, r, catalogLevel).Head, "an empty catalog")
	snapshot(t, cfg, "native-full")
	first := verify(t, r, catalogLevel).Head
	m := snapshot(t, cfg, "native-full")
	second := verify(t, r, catalogLevel).Head
	assert.NotEqual(t, first, second)
	for _, seen := range []string{first, second} {
		assert.Empty(t, verify(t, r, host.VerifyOptions{Level: host.LevelCatalog, Seen: seen}).Problems)
	}
	forged := "1" + second[1:]
	v := verify(t, r, host.VerifyOptions{Level: host.LevelCatalog, Seen: forged})
	require.Len(t, v.Problems, 1)
	assert.Contains(t, v.Problems[0].What, "history was changed")
	rollBack(t, cfg, m)
	v = verify(t, r, host.VerifyOptions{Level: host.LevelCatalog, Seen: second})
	require.Len(t, v.Problems, 1)
	assert.Equal(t, entry(cfg, m), v.Problems[0].Object)
	assert.Contains(t, v.Problems[0].What, "rolled back")
	assert.Empty(t, verify(t, r, host.VerifyOptions{Level: host.LevelCatalog, Seen: first}).Problems)
}

// rollBack puts the history back to what it was before a snapshot.
func rollBack(t *testing.T, cfg *config.Config, m *host.Manifest) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(filepath.Join(cfg.Repository.Dir(), entry(cfg, m))))
	require.NoError(t, err)
	for _, e := range entries {
		if e.Name() >= filepath.Base(entry(cfg, m)) {
			require.NoError(t, os.Remove(filepath.Join(cfg.Repository.Dir(), filepath.Dir(entry(cfg, m)), e.Name())))
		}
	}
}

// remembering opens a host that remembers in a folder, takes a snapshot with it and
// closes it.
func remembering(t *testing.T, cfg *config.Config, folder string) *host.Manifest {
	t.Helper()
	h := open(t, cfg, host.Offline(), host.WithStateDir(folder))
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	return m
}

// TestWitness has this machine notice that a repository was put back, however
// long the new history gets.
func TestWitness(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	folder := filepath.Join(t.TempDir(), "not", "there", "yet")
	r := openRepository(t, cfg, host.WithStateDir(folder))
	remembering(t, cfg, folder)
	last := remembering(t, cfg, folder)
	assert.Empty(t, verify(t, r, catalogLevel).Problems)
	rollBack(t, cfg, last)
	for more := range 4 {
		v := verify(t, r, catalogLevel)
		require.Len(t, v.Problems, 1, "after %d snapshots", more)
		assert.Equal(t, entry(cfg, last), v.Problems[0].Object)
		assert.Contains(t, v.Problems[0].What, "; if that was done on purpose, remove "+folder)
		assert.Empty(t, verify(t, repository(t, cfg), catalogLevel).Problems, "who remembers nothing sees nothing")
		remembering(t, cfg, folder)
	}
	files, err := filepath.Glob(filepath.Join(folder, "heads", "*", "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.NoError(t, os.Remove(files[0]))
	assert.Empty(t, verify(t, r, catalogLevel).Problems, "accepted")
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	assert.Equal(t, verify(t, r, catalogLevel).Head+"\n", string(text))
}

// TestWitnessAndSeen compares with both, of which each knows something else.
func TestWitnessAndSeen(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	folder := t.TempDir()
	first := remembering(t, cfg, folder)
	last := remembering(t, cfg, folder)
	r := openRepository(t, cfg, host.WithStateDir(folder))
	seen := fmt.Sprintf("%d:%064x", first.Slot, 1)
	v := verify(t, r, host.VerifyOptions{Level: host.LevelCatalog, Seen: seen})
	require.Len(t, v.Problems, 1)
	assert.Equal(t, entry(cfg, first), v.Problems[0].Object)
	rollBack(t, cfg, last)
	v = verify(t, r, host.VerifyOptions{Level: host.LevelCatalog, Seen: seen})
	assert.Len(t, v.Problems, 2)
}

// TestWitnessOfSlowVerify takes a snapshot while a verification runs, which then
// knows less than is remembered.
func TestWitnessOfSlowVerify(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	folder := t.TempDir()
	remembering(t, cfg, folder)
	var once sync.Once
	var last *host.Manifest
	tell := func(string) { once.Do(func() { last = remembering(t, cfg, folder) }) }
	r := openRepository(t, cfg, host.WithStateDir(folder), host.WithStore(early{store(t, cfg), tell}))
	assert.Empty(t, verify(t, r, host.VerifyOptions{Level: host.LevelObjects}).Problems)
	rollBack(t, cfg, last)
	assert.Len(t, verify(t, r, catalogLevel).Problems, 1)
}

// TestWitnessOfPruned has prune remove the very entry that is remembered.
func TestWitnessOfPruned(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	cfg.Retention.Grace = 0
	folder := t.TempDir()
	m := remembering(t, cfg, folder)
	snapshot(t, cfg, "native-full") // by somebody who remembers nothing
	_, err := repository(t, cfg).Prune(t.Context(), host.PruneOptions{Remove: []string{m.ID}})
	require.NoError(t, err)
	require.NoFileExists(t, filepath.Join(cfg.Repository.Dir(), entry(cfg, m)))
	r := openRepository(t, cfg, host.WithStateDir(folder))
	assert.Empty(t, verify(t, r, catalogLevel).Problems)
	rollBack(t, cfg, m)
	assert.NotEmpty(t, verify(t, r, catalogLevel).Problems, "what was remembered last is newer")
}

// TestWitnessWithoutFolder has nothing fail where nothing can be remembered.
func TestWitnessWithoutFolder(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	m := remembering(t, cfg, file)
	r := openRepository(t, cfg, host.WithStateDir(file))
	assert.Empty(t, verify(t, r, catalogLevel).Problems)

	folder := t.TempDir()
	remembering(t, cfg, folder)
	files, err := filepath.Glob(filepath.Join(folder, "heads", "*", "*"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	require.NoError(t, os.WriteFile(files[0], []byte("?"), 0o600))
	r = openRepository(t, cfg, host.WithStateDir(folder))
	v := verify(t, r, catalogLevel)
	assert.Empty(t, v.Problems)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	assert.Equal(t, v.Head+"\n", string(text), "written again")
	rollBack(t, cfg, m)
	assert.NotEmpty(t, verify(t, r, catalogLevel).Problems)
}
