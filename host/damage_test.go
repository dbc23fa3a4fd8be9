package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// damage is something that happens to a stored object; resizes tells whether its
// size gives it away.
type damage struct {
	name    string
	resizes bool
	do      func(text []byte) []byte // nil removes the object
}

func flip(at func(size int) int) func([]byte) []byte {
	return func(text []byte) []byte {
		text[at(len(text))] ^= 0x20
		return text
	}
}

var damages = []damage{
	{"missing", true, func([]byte) []byte { return nil }},
	{"first byte", false, flip(func(int) int { return 0 })},
	{"middle byte", false, flip(func(size int) int { return size / 2 })},
	{"last byte", false, flip(func(size int) int { return size - 1 })},
	{"short by one", true, func(text []byte) []byte { return text[:len(text)-1] }},
	{"cut in the middle", true, func(text []byte) []byte { return text[:len(text)/2] }},
	{"cut to nothing", true, func([]byte) []byte { return []byte{} }},
	{"long by one", true, func(text []byte) []byte { return append(text, 0) }},
}

// inflict damages an object and returns what undoes it.
func (d damage) inflict(t *testing.T, cfg *config.Config, object string) (undo func()) {
	t.Helper()
	path := filepath.Join(cfg.Repository.Dir(), filepath.FromSlash(object))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	write := func(text []byte) {
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.WriteFile(path, text, 0o644))
	}
	if damaged := d.do(slices.Clone(text)); damaged != nil {
		write(damaged)
	} else {
		require.NoError(t, os.Remove(path))
		require.NoError(t, os.WriteFile(path, nil, 0o644)) // for write
		require.NoError(t, os.Remove(path))
		write = func(text []byte) { require.NoError(t, os.WriteFile(path, text, 0o644)) }
	}
	return func() { write(text) }
}

// TestDamagedObjects damages one object of every kind in every way.
func TestDamagedObjects(t *testing.T) {
	unraced(t)
	path := filepath.Join(t.TempDir(), "db")
	dbtest.Edit(t, path, blobs, func(db *rocks.DB) {
		put(t, db, "default", 1, 200)
		require.NoError(t, db.Flush())
		put(t, db, "default", 2, 20)
	})
	cfg := dbtest.Config(t, path)
	kinds := make(map[abi.Kind]bool)
	for _, m := range snapshots(t, cfg, "native-full", "canonical") {
		for _, f := range m.Contents {
			if kinds[f.Kind] {
				continue
			}
			kinds[f.Kind] = true
			for _, d := range damages {
				t.Run(fmt.Sprintf("%s %s", f.Name, d.name), func(t *testing.T) { damageObject(t, cfg, m, f, d) })
			}
		}
	}
	assert.Len(t, kinds, 7, "table, blob, WAL, MANIFEST, CURRENT, OPTIONS, canonical")
	verified, err := repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelRestore})
	require.NoError(t, err)
	assert.Empty(t, verified.Problems)
}

func damageObject(t *testing.T, cfg *config.Config, m *host.Manifest, f host.File, d damage) {
	defer d.inflict(t, cfg, f.Object)()
	r := repository(t, cfg)
	folder := t.TempDir()
	_, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: filepath.Join(folder, "target")})
	require.Error(t, err)
	assert.Equal(t, host.CodeDamaged, host.CodeOf(err), err.Error())
	assert.Contains(t, err.Error(), f.Name)
	assert.NotEmpty(t, host.HintOf(err))
	requireAlone(t, folder)
	if m.Kind == "canonical" {
		_, err := r.DigestSnapshot(t.Context(), m.ID)
		assert.Equal(t, host.CodeDamaged, host.CodeOf(err), "digest: %v", err)
	}
	want := []host.Finding{{Snapshot: m.ID, File: f.Name, Object: f.Object}}
	for _, level := range host.Levels {
		verified, err := r.Verify(t.Context(), host.VerifyOptions{Level: level, Snapshots: []string{m.ID}})
		require.NoError(t, err)
		found := verified.Problems
		for i := range found {
			assert.NotEmpty(t, found[i].What)
			assert.NotContains(t, found[i].What, f.Object, "it stands beside it")
			found[i].What = ""
		}
		switch {
		case level == host.LevelCatalog, level == host.LevelObjects && !d.resizes:
			assert.Empty(t, found, level)
		default:
			assert.Equal(t, want, found, level)
		}
	}
}

// TestDamagedBase has the increment find that an object of its base has another
// size: the file is stored anew, and the damaged object left as it is.
func TestDamagedBase(t *testing.T) {
	unraced(t)
	path := shapes[1].make(t)
	for _, d := range damages {
		if !d.resizes || d.name == "missing" { // see TestNextSnapshotHeals
			continue
		}
		cfg := dbtest.Config(t, path)
		for _, strategy := range []string{"incremental", "increment"} {
			base := increment(t, cfg, strategy)
			i := slices.IndexFunc(base.Contents, func(f host.File) bool { return f.Kind == abi.KindBlob })
			d.inflict(t, cfg, base.Contents[i].Object)
			next := increment(t, cfg, strategy)
			assert.False(t, next.Contents[i].Reused, d.name)
			assert.Equal(t, base.Contents[i].Identity, next.Contents[i].Identity)
			assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, next.ID)))
			_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{base.ID}, Target: filepath.Join(t.TempDir(), "target")})
			assert.Equal(t, host.CodeDamaged, host.CodeOf(err))
		}
	}
}

// TestDamagedEntry damages the newest entry of the catalog: the others stay in
// sight, and snapshots go on.
func TestDamagedEntry(t *testing.T) {
	unraced(t)
	for i, d := range []damage{damages[1], damages[2], damages[5], damages[7]} {
		strategy := dbtest.Builtin[i%len(dbtest.Builtin)]
		t.Run(strategy+" "+d.name, func(t *testing.T) {
			path := shapes[2].make(t)
			cfg := dbtest.Config(t, path)
			both := snapshots(t, cfg, strategy, strategy)
			first, second := both[0], both[1]
			d.inflict(t, cfg, entry(cfg, second))
			r := repository(t, cfg)
			_, err := r.Find(t.Context(), "latest")
			assert.Equal(t, host.CodeDamaged, host.CodeOf(err), "%v", err)
			verified, err := r.Verify(t.Context(), host.VerifyOptions{Level: host.LevelCatalog})
			require.NoError(t, err)
			require.NotEmpty(t, verified.Problems)
			assert.Equal(t, entry(cfg, second), verified.Problems[0].Object)
			list, err := r.List(t.Context())
			assert.Equal(t, first.ID, list[0].ID)
			if len(list) == 1 { // a flipped byte in the body shows only when the body is read
				assert.Equal(t, host.CodeDamaged, host.CodeOf(err))
			}
			assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, first.ID)))
			dbtest.Fill(t, path, "orders", 5, 50)
			third := snapshot(t, cfg, strategy)
			assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, third.ID)))
		})
	}
}

// entry names the object of the catalog that holds a snapshot.
func entry(cfg *config.Config, m *host.Manifest) string {
	return fmt.Sprintf("db/%s/entries/%020d", cfg.Repository.Name, m.Slot)
}

// TestDamagedModule spoils the repository's copy of a strategy's module: verify
// tells, and snapshots go on.
func TestDamagedModule(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	m := snapshot(t, cfg, "native-full")
	module := filepath.Join(cfg.Repository.Dir(), "modules", m.Strategy.Module+".wasm")
	require.NoError(t, os.WriteFile(module, []byte("?"), 0o644))
	again := snapshot(t, cfg, "native-full")
	v, err := repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	require.Len(t, v.Problems, 2)
	assert.Equal(t, []string{m.ID, again.ID}, []string{v.Problems[0].Snapshot, v.Problems[1].Snapshot})
	require.NoError(t, os.Remove(module))
	v, err = repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelObjects})
	require.NoError(t, err)
	assert.Len(t, v.Problems, 2)
}

// TestDamagedFormat spoils the file that makes a folder a repository.
func TestDamagedFormat(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	require.NoError(t, os.WriteFile(filepath.Join(cfg.Repository.Dir(), "format.json"), []byte("{"), 0o644))
	_, err := host.OpenRepository(t.Context(), cfg)
	assert.Equal(t, host.CodeDamaged, host.CodeOf(err), "%v", err)
	_, err = host.Init(t.Context(), cfg, host.InitOptions{})
	assert.Equal(t, host.CodeDamaged, host.CodeOf(err))
}
