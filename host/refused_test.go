package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// TestNamesThatNoManifestCarries refuses what JSON would change without a word,
// before anything is stored.
func TestNamesThatNoManifestCarries(t *testing.T) {
	path := dbtest.New(t, rocks.Creation{Families: []string{"a\xff", "a\xfe"}})
	dbtest.Fill(t, path, "a\xff", 1, 10)
	cfg := dbtest.Config(t, path)
	h := open(t, cfg, host.Offline(), host.ReadOnlyRepository())
	for _, strategy := range dbtest.Builtin {
		_, err := h.Plan(t.Context(), host.SnapshotOptions{Strategy: strategy})
		assert.ErrorContains(t, err, `column family "a\xf`)
		assert.Equal(t, host.CodeFailed, host.CodeOf(err))
	}
}

// TestLabelsAreThoseOfTheInstant changes labels and metadata after Begin, and
// refuses what is too large or no text before anything is stored.
func TestLabelsAreThoseOfTheInstant(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	h := open(t, cfg, host.Offline())
	labels, offset := map[string]string{"run": "1"}, []byte("100")
	op, err := h.Begin(t.Context(), host.SnapshotOptions{Labels: labels, Meta: map[string][]byte{"offset": offset}})
	require.NoError(t, err)
	labels["run"] = "2"
	copy(offset, "999")
	m, err := op.Wait()
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"run": "1"}, m.Labels)
	assert.Equal(t, "100", string(m.Meta["offset"]))

	for _, o := range []host.SnapshotOptions{
		{Labels: map[string]string{"": "x"}},
		{Labels: map[string]string{"a\xff": "x"}},
		{Labels: map[string]string{"a": strings.Repeat("x", 1<<20)}},
		{Meta: map[string][]byte{"a\xff": nil}},
		{Meta: map[string][]byte{"a": make([]byte, 2<<20)}},
	} {
		_, err := h.Begin(t.Context(), o)
		assert.Equal(t, host.CodeUsage, host.CodeOf(err), "%v", err)
	}
}

// TestKeysOutsideTheGroups refuses to export a database of which the configured
// key groups are only a part.
func TestKeysOutsideTheGroups(t *testing.T) {
	unraced(t)
	path := dbtest.New(t, rocks.Creation{})
	for _, tt := range []struct {
		key   []byte
		sound bool
	}{
		{keygroup.AppendPrefix(nil, 20, 100), true},
		{keygroup.AppendPrefix(nil, 50, 100), true},
		{keygroup.AppendPrefix(nil, 9, 100), false},
		{keygroup.AppendPrefix(nil, 51, 100), false},
		{[]byte{100}, false}, // no group of 100 at all
	} {
		dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
			require.NoError(t, db.PutBlock("default", canonical.AppendRecord(nil, append(tt.key, 'k'), []byte("v"))))
			require.NoError(t, db.Flush())
		})
		for _, groups := range []string{"count = 100\nrange = \"10-50\"", "count = 100\nrange = \"10-99\""} {
			cfg := dbtest.Config(t, path, "[keygroups]", groups)
			h := open(t, cfg, host.Offline())
			_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "canonical"})
			require.NoError(t, h.Close())
			if tt.sound || tt.key[0] == 51 && strings.Contains(groups, "99") {
				assert.NoError(t, err)
				continue
			}
			require.ErrorContains(t, err, "keys outside of key groups")
			assert.Equal(t, host.CodeFailed, host.CodeOf(err))
			assert.Contains(t, host.HintOf(err), "[keygroups]")
		}
		if !tt.sound {
			path = dbtest.New(t, rocks.Creation{})
		}
	}
}

// TestTargetKeepsItsPermissions restores into directories that were made for it.
func TestTargetKeepsItsPermissions(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "native-full")
	target := filepath.Join(t.TempDir(), "target")
	require.NoError(t, os.Mkdir(target, 0o700))
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(target, link))
	r := repository(t, cfg)
	_, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: link})
	require.ErrorContains(t, err, "symbolic link")
	_, err = r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
	require.NoError(t, err)
	info, err := os.Stat(target)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

// TestNamedWALFolder refuses to borrow a database whose options name its own
// folder by another name: a restored copy would look for its WAL there.
func TestNamedWALFolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	alias := path + "-alias"
	require.NoError(t, os.Symlink(path, alias))
	options := grocksdb.NewDefaultOptions()
	defer options.Destroy()
	options.SetCreateIfMissing(true)
	options.SetWalDir(alias)
	db, err := grocksdb.OpenDb(options, path)
	require.NoError(t, err)
	defer db.Close()
	_, err = host.Open(t.Context(), dbtest.Config(t, path), host.WithDB(db), host.WithModuleCache(dbtest.Cache()))
	require.ErrorIs(t, err, rocks.ErrLayout)
}

// TestDanglingTarget refuses a symbolic link to nowhere before anything is read.
func TestDanglingTarget(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	m := snapshot(t, cfg, "native-full")
	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink("nowhere", link))
	_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: link})
	require.ErrorContains(t, err, "symbolic link")
	_, err = repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: filepath.Join(rocks.Staging(cfg.Database.Path), "x")})
	require.ErrorContains(t, err, "folder of checkpoints")
}
