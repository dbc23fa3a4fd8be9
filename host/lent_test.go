package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// TestLentFamilyIsDropped snapshots a database whose application dropped a column
// family, with and without its handle.
func TestLentFamilyIsDropped(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	a := launch(t, path, "default", "keep", "gone")
	defer a.quit()
	for _, family := range a.families {
		require.NoError(t, a.db.PutCF(a.write, family, []byte("k"), []byte("v")))
	}
	cfg := dbtest.Config(t, path)
	h := open(t, cfg, a.lend())
	defer h.Close()
	require.NoError(t, a.db.DropColumnFamily(a.families["gone"]))
	want := map[string]map[string]string{"default": {"k": "v"}, "keep": {"k": "v"}}
	check := func() {
		for _, strategy := range dbtest.Builtin {
			m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
			require.NoError(t, err, strategy)
			assert.Equal(t, want, contents(t, restore(t, cfg, m.ID)), strategy)
		}
	}
	check()
	a.families["gone"].Destroy()
	delete(a.families, "gone")
	check()
}

// TestLentAnotherDatabase refuses a database that is not the configured one.
func TestLentAnotherDatabase(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one"), dbtest.New(t, rocks.Creation{})
	a := launch(t, one, "default")
	defer a.quit()
	_, err := host.Open(t.Context(), dbtest.Config(t, two), a.lend())
	require.Error(t, err)
	assert.Equal(t, host.CodeUsage, host.CodeOf(err))
	assert.ErrorContains(t, err, one)
	assert.ErrorContains(t, err, two)
	assert.Contains(t, host.HintOf(err), "[database] path")

	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(one, link))
	cfg := dbtest.Config(t, link)
	h := open(t, cfg, a.lend())
	defer h.Close()
	require.NoError(t, a.db.PutCF(a.write, a.families["default"], []byte("k"), []byte("v")))
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err, "another name of the same directory")
	assert.Equal(t, map[string]map[string]string{"default": {"k": "v"}}, contents(t, restore(t, cfg, m.ID)))
	requireClean(t, link)
}

// TestLentWithWALElsewhere refuses a database that no restore could complete.
func TestLentWithWALElsewhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	o.SetCreateIfMissing(true)
	o.SetWalDir(t.TempDir())
	db, err := grocksdb.OpenDb(o, path)
	require.NoError(t, err)
	defer db.Close()
	_, err = host.Open(t.Context(), dbtest.Config(t, path), host.WithDB(db))
	assert.ErrorIs(t, err, rocks.ErrLayout)
}

// TestLentTwice opens a host while another one, over the same instance, has a
// snapshot under way.
func TestLentTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	a := launch(t, path, "default")
	defer a.quit()
	require.NoError(t, a.db.PutCF(a.write, a.families["default"], []byte("k"), []byte("v")))
	cfg := dbtest.Config(t, path)
	gate := newGate(store(t, cfg))
	h := open(t, cfg, a.lend(), host.WithStore(gate))
	defer h.Close()
	op, err := h.Begin(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	defer op.Cancel()
	other := open(t, dbtest.Config(t, path), a.lend())
	defer other.Close()
	gate.open()
	m, err := op.Wait()
	require.NoError(t, err)
	assert.Equal(t, "v", contents(t, restore(t, cfg, m.ID))["default"]["k"])
	requireClean(t, path)
}

// TestReadOnlyMedium takes what can be taken of a database that nobody can write
// beside.
func TestReadOnlyMedium(t *testing.T) {
	path, at := shapes[0].make(t), filepath.Join(t.TempDir(), "mounted")
	require.NoError(t, os.Mkdir(at, 0o755))
	if err := unix.Mount(path, at, "", unix.MS_BIND, ""); err != nil {
		t.Skipf("no mount point: %v", err)
	}
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(at, unix.MNT_DETACH)) })
	require.NoError(t, unix.Mount("none", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	cfg := dbtest.Config(t, at)
	h := open(t, cfg, host.Offline())
	_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "native-full"})
	require.ErrorIs(t, err, unix.EROFS)
	assert.Equal(t, host.CodeFailed, host.CodeOf(err))
	assert.Contains(t, host.HintOf(err), "canonical")
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "canonical"})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	assert.Equal(t, dbtest.Digest(t, at), dbtest.Digest(t, restore(t, cfg, m.ID)))
	requireAlone(t, filepath.Dir(at), "mounted")
}
