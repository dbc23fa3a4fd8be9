package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// attempt takes a snapshot of a database at rest.
func attempt(t *testing.T, cfg *config.Config, o host.SnapshotOptions) (*host.Manifest, error) {
	t.Helper()
	h, err := host.Open(t.Context(), cfg, host.Offline(), host.WithModuleCache(dbtest.Cache()))
	require.NoError(t, err)
	defer h.Close()
	return h.Snapshot(t.Context(), o)
}

// tables yields the tables of a snapshot, and for each the file of its object and
// that of the database.
func tables(t *testing.T, cfg *config.Config, m *host.Manifest, each func(f *host.File, object, file string)) {
	t.Helper()
	n := 0
	for i := range m.Contents {
		if f := &m.Contents[i]; f.Kind == abi.KindTable {
			each(f, filepath.Join(cfg.Repository.Dir(), f.Object), filepath.Join(cfg.Database.Path, f.Name))
			n++
		}
	}
	require.NotZero(t, n)
}

func requireSameFile(t *testing.T, same bool, a, b string) {
	t.Helper()
	inA, err := os.Stat(a)
	require.NoError(t, err)
	inB, err := os.Stat(b)
	require.NoError(t, err)
	require.Equal(t, same, os.SameFile(inA, inB), "%s and %s", a, b)
}

// TestLink takes snapshots that are linked, and copies after them: a copy builds on
// no link, neither in the repository nor in another one.
func TestLink(t *testing.T) {
	path := dbtest.New(t, rocks.Creation{})
	dbtest.Fill(t, path, "default", 1, 500)
	cfg, want := dbtest.Config(t, path), dbtest.Digest(t, path)
	for _, strategy := range []string{"native-full", "incremental", "incremental"} {
		m, err := attempt(t, cfg, host.SnapshotOptions{Strategy: strategy, Link: true})
		require.NoError(t, err)
		require.True(t, m.Linked)
		tables(t, cfg, m, func(f *host.File, object, file string) {
			require.True(t, f.Linked)
			requireSameFile(t, true, object, file)
		})
	}
	list, err := repository(t, cfg).List(t.Context())
	require.NoError(t, err)
	require.True(t, list[2].Linked)
	require.NotZero(t, list[2].BytesReused, "linked snapshots may build on each other")
	require.Equal(t, want, dbtest.Digest(t, restore(t, cfg, list[2].ID)))

	copied := snapshot(t, cfg, "incremental")
	require.False(t, copied.Linked)
	tables(t, cfg, copied, func(f *host.File, object, file string) {
		require.False(t, f.Linked || f.Reused)
		requireSameFile(t, false, object, file)
	})
	tables(t, cfg, manifestOf(t, cfg, list[2].ID), func(_ *host.File, _, file string) { flipByte(t, file, 100) })
	verified, err := repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	require.NotEmpty(t, verified.Problems)
	for _, p := range verified.Problems {
		require.NotEqual(t, copied.ID, p.Snapshot, "the copy does not share the database's fate")
	}
	require.Equal(t, want, dbtest.Digest(t, restore(t, cfg, copied.ID)))
}

func manifestOf(t *testing.T, cfg *config.Config, id string) *host.Manifest {
	t.Helper()
	m, err := repository(t, cfg).Find(t.Context(), id)
	require.NoError(t, err)
	return m
}

// TestLinkRefused: what cannot be linked is not copied in silence either.
func TestLinkRefused(t *testing.T) {
	path := dbtest.New(t, rocks.Creation{})
	dbtest.Fill(t, path, "default", 1, 50)
	recipient, _ := newKey(t)
	for what, o := range map[string]struct {
		lines   string
		options host.SnapshotOptions
	}{
		"the repository is encrypted": {recipient, host.SnapshotOptions{Link: true}},
		"a savepoint shares nothing":  {"", host.SnapshotOptions{Link: true, Savepoint: true}},
	} {
		cfg := dbtest.Config(t, path, o.lines)
		_, err := attempt(t, cfg, o.options)
		require.ErrorContains(t, err, "files cannot be linked: "+what)
		assert.Equal(t, host.CodeUsage, host.CodeOf(err))
		assert.NotEmpty(t, host.HintOf(err))
		assert.Empty(t, listed(t, cfg))
	}
}

// TestLinkElsewhere: the repository is on another file system.
func TestLinkElsewhere(t *testing.T) {
	path := dbtest.New(t, rocks.Creation{})
	dbtest.Fill(t, path, "default", 1, 50)
	cfg := dbtest.Config(t, path)
	require.NoError(t, os.Rename(cfg.Repository.Dir(), cfg.Repository.Dir()+".old"))
	require.NoError(t, os.Symlink(filepath.Join(small(t), "repo"), cfg.Repository.Dir()))
	target, err := os.Readlink(cfg.Repository.Dir())
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(target, os.DirFS(cfg.Repository.Dir()+".old")))
	_, err = attempt(t, cfg, host.SnapshotOptions{Link: true})
	require.ErrorContains(t, err, "the repository is on another file system than the database")
	assert.Equal(t, host.CodeUsage, host.CodeOf(err))
	assert.Empty(t, listed(t, cfg))
	requireClean(t, path)
}

// TestLinkOfRecords is refused as well: a strategy that exports records links nothing.
func TestLinkOfRecords(t *testing.T) {
	path := dbtest.New(t, rocks.Creation{})
	cfg := dbtest.Config(t, path)
	_, err := attempt(t, cfg, host.SnapshotOptions{Strategy: "canonical", Link: true})
	require.NoError(t, err, "an empty database has no file to link")
	dbtest.Fill(t, path, "default", 1, 50)
	_, err = attempt(t, cfg, host.SnapshotOptions{Strategy: "canonical", Link: true})
	require.ErrorContains(t, err, "files cannot be linked: the strategy exports records")
	assert.Equal(t, host.CodeUsage, host.CodeOf(err))
	assert.NotEmpty(t, host.HintOf(err))
	assert.Len(t, listed(t, cfg), 1)
}

// TestLinkSyncs a file before it becomes an object: whoever has written it may not
// have, as when the database was copied, and the snapshot outlives a power cut.
func TestLinkSyncs(t *testing.T) {
	path := dbtest.New(t, rocks.Creation{})
	dbtest.Fill(t, path, "default", 1, 500)
	cfg := dbtest.Config(t, path)
	var mu sync.Mutex
	synced, objects := make(map[string]bool), 0
	unhook := durable.Intercept(func(op durable.Op, change func() error) error {
		err := change()
		mu.Lock()
		defer mu.Unlock()
		switch {
		case op.Verb == "sync":
			synced[inode(op.Path)] = true
		case op.Verb == "link" && strings.HasPrefix(op.Path, filepath.Join(cfg.Repository.Dir(), "objects")):
			objects++
			assert.True(t, synced[inode(op.Path)], "%s", op.Path)
		}
		return err
	})
	m, err := attempt(t, cfg, host.SnapshotOptions{Strategy: "native-full", Link: true})
	unhook()
	require.NoError(t, err)
	require.True(t, m.Linked)
	require.NotZero(t, objects)
}

// inode tells a file from others, whatever its name.
func inode(path string) string {
	var at unix.Stat_t
	if unix.Stat(path, &at) != nil {
		return ""
	}
	return fmt.Sprint(at.Dev, at.Ino)
}
