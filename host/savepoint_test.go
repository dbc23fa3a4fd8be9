package host_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// savepoint takes one of a database at rest.
func savepoint(t testing.TB, cfg *config.Config, strategy string) *host.Manifest {
	t.Helper()
	h := open(t, cfg, host.Offline())
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy, Savepoint: true})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	return m
}

// folder returns where a savepoint is.
func folder(cfg *config.Config, m *host.Manifest) string {
	return filepath.Join(cfg.Repository.Dir(), "savepoints", m.ID)
}

// requireRestorable demands that what is at a URL restores to a content, and passes
// every level of verification.
func requireRestorable(t testing.TB, cfg *config.Config, url, digest string) {
	t.Helper()
	from, err := cfg.From(url, "test")
	require.NoError(t, err)
	from.Repository.Name = "whatever"
	r, err := host.OpenSingle(t.Context(), from, host.WithModuleCache(dbtest.Cache()))
	require.NoError(t, err)
	restored, err := r.Restore(t.Context(), host.RestoreOptions{Target: filepath.Join(t.TempDir(), "restored")})
	require.NoError(t, err)
	assert.Equal(t, digest, dbtest.Digest(t, restored.Target))
	verified, err := r.Verify(t.Context(), host.VerifyOptions{Level: host.LevelRestore})
	require.NoError(t, err)
	assert.Empty(t, verified.Problems)
	assert.Equal(t, 1, verified.Snapshots)
}

// TestSavepointMoves is scenario 69: a savepoint of each format, in a directory that
// was renamed, when the repository that it was part of is gone.
func TestSavepointMoves(t *testing.T) {
	for _, strategy := range dbtest.Builtin {
		for name, prepare := range map[string]func(*testing.T, *config.Config){"": func(*testing.T, *config.Config) {}, " encrypted": encrypted} {
			t.Run(strategy+name, func(t *testing.T) {
				t.Parallel()
				path := blobbed(t)
				cfg := dbtest.Config(t, path)
				cfg.Repository.URL += "-own"
				prepare(t, cfg)
				_, err := host.Init(t.Context(), cfg, host.InitOptions{SkipProbe: true})
				require.NoError(t, err)
				m := savepoint(t, cfg, strategy)
				requireSound(t, cfg)
				digest := dbtest.Digest(t, path)
				assert.Equal(t, digest, dbtest.Digest(t, restore(t, cfg, m.ID)))
				requireRestorable(t, cfg, "file:"+folder(cfg, m), digest)
				renamed := filepath.Join(t.TempDir(), "RENAMED")
				require.NoError(t, os.Rename(folder(cfg, m), renamed))
				require.NoError(t, os.RemoveAll(cfg.Repository.Dir()))
				requireRestorable(t, cfg, "file:"+renamed, digest)
			})
		}
	}
}

// TestSavepointsAreApart is scenarios 7 and 70: savepoints between increments change
// nothing for these, and prune takes away all of one, once it is told to.
func TestSavepointsAreApart(t *testing.T) {
	path := blobbed(t)
	cfg := dbtest.Config(t, path)
	first := snapshot(t, cfg, "incremental")
	point := savepoint(t, cfg, "incremental")
	other := savepoint(t, cfg, "canonical")
	for _, f := range point.Contents {
		assert.True(t, strings.HasPrefix(f.Object, "savepoints/"+point.ID+"/objects/"), f.Object)
		assert.False(t, f.Reused)
	}
	next := snapshot(t, cfg, "incremental")
	assert.Equal(t, first.ID, next.Base)
	assert.Equal(t, first.BytesShared, next.BytesReused)
	pruneAll(t, cfg)
	assert.Equal(t, []string{point.ID, other.ID, next.ID}, listed(t, cfg))
	requireSound(t, cfg)

	restored := claimed(t, cfg, host.RestoreOptions{Snapshots: []string{point.ID}})
	again := snapshot(t, at(cfg, restored.Target), "incremental")
	assert.Equal(t, point.Lineage, again.Lineage)
	for _, f := range again.Contents {
		assert.False(t, strings.HasPrefix(f.Object, "savepoints/"), "nothing is shared with a savepoint")
	}
	pruned := pruneAll(t, cfg, point.ID)
	assert.NotZero(t, pruned.Bytes)
	assert.Empty(t, underPrefix(t, cfg, "savepoints/"+point.ID))
	assert.NotEmpty(t, underPrefix(t, cfg, "savepoints/"+other.ID))
	digest := dbtest.Digest(t, path)
	assert.Equal(t, digest, dbtest.Digest(t, restore(t, cfg, other.ID)))
	assert.Equal(t, digest, dbtest.Digest(t, restore(t, cfg, again.ID)))
	requireSound(t, cfg)
}

// underPrefix lists what is in the store of a repository.
func underPrefix(t testing.TB, cfg *config.Config, prefix string) (names []string) {
	t.Helper()
	for info, err := range store(t, cfg).List(t.Context(), prefix, "") {
		require.NoError(t, err)
		names = append(names, info.Name)
	}
	return names
}

// failsAt fails to create the n-th name, and all that come after it: the process is
// as good as dead.
type failsAt struct {
	blob.Store
	left atomic.Int64
}

func (f *failsAt) Create(ctx context.Context, name string, r io.Reader) error {
	if f.left.Add(-1) < 0 {
		return io.ErrClosedPipe
	}
	return f.Store.Create(ctx, name, r)
}

// TestSavepointKilledAnywhere fails every create in turn, those between the commit
// within the folder and the commit of the snapshot among them. There is a snapshot
// or there is none, and what is left goes away.
func TestSavepointKilledAnywhere(t *testing.T) {
	path := blobbed(t)
	cfg := dbtest.Config(t, path)
	complete := 0
	for n := 1; ; n++ { // the first is the epoch
		failing := &failsAt{Store: store(t, cfg)}
		failing.left.Store(int64(n))
		h := open(t, cfg, host.WithStore(failing), host.Offline())
		_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "native-full", Savepoint: true})
		require.NoError(t, h.Close())
		if err == nil {
			break
		}
		assert.Empty(t, listed(t, cfg))
		for _, name := range underPrefix(t, cfg, "savepoints/") {
			if strings.Contains(name, "/entries/") && strings.HasSuffix(name, "2") {
				complete++
				requireRestorable(t, cfg, "file:"+filepath.Join(cfg.Repository.Dir(), name[:strings.Index(name, "/db/")]), dbtest.Digest(t, path))
			}
		}
		pruneAll(t, cfg)
		require.Empty(t, underPrefix(t, cfg, "savepoints/"), "after create %d", n)
	}
	assert.Equal(t, 1, complete, "the repository in the folder comes before the snapshot")
	require.Len(t, listed(t, cfg), 1)
	requireSound(t, cfg)
}

// TestSavepointFolderIsVerified damages what is in a savepoint's folder beside the
// objects.
func TestSavepointFolderIsVerified(t *testing.T) {
	cfg := dbtest.Config(t, blobbed(t))
	m := savepoint(t, cfg, "native-full")
	require.NoError(t, os.Remove(filepath.Join(folder(cfg, m), "format.json")))
	verified, err := repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelCatalog})
	require.NoError(t, err)
	require.Len(t, verified.Problems, 1)
	assert.Equal(t, m.ID, verified.Problems[0].Snapshot)
	assert.Equal(t, "savepoints/"+m.ID+"/format.json", verified.Problems[0].Object)
	restore(t, cfg, m.ID) // all the same
}

// TestSavepointOnS3 copies the prefix of a savepoint into another bucket, object by
// object, as any tool can.
func TestSavepointOnS3(t *testing.T) {
	server := storetest.Versity(t)
	path := blobbed(t)
	cfg := dbtest.Config(t, path)
	onServer(t, cfg, server)
	_, err := host.Init(t.Context(), cfg, host.InitOptions{SkipProbe: true})
	require.NoError(t, err)
	m := savepoint(t, cfg, "incremental")
	elsewhere := server.NewBucket(t)
	options := elsewhere.Options()
	options.Prefix = "before/the/upgrade"
	to, err := s3.Open(t.Context(), options)
	require.NoError(t, err)
	options.Bucket, options.Prefix = strings.Split(strings.TrimPrefix(cfg.Repository.URL, "s3://"), "/")[0], "some/prefix"
	from, err := s3.Open(t.Context(), options)
	require.NoError(t, err)
	within := blob.Prefix(from, "savepoints/"+m.ID+"/")
	for info, err := range within.List(t.Context(), "", "") {
		require.NoError(t, err)
		body, err := within.Open(t.Context(), info.Name, 0, -1)
		require.NoError(t, err)
		require.NoError(t, to.Create(t.Context(), info.Name, body))
		require.NoError(t, body.Close())
	}
	requireRestorable(t, cfg, "s3://"+elsewhere.Bucket+"/before/the/upgrade", dbtest.Digest(t, path))
}

// TestCopiedSavepoint stays a savepoint, whose objects are like all others.
func TestCopiedSavepoint(t *testing.T) {
	path := blobbed(t)
	cfg := dbtest.Config(t, path)
	m := savepoint(t, cfg, "native-full")
	other := *cfg
	other.Repository.URL += "-copy"
	_, err := host.Init(t.Context(), &other, host.InitOptions{SkipProbe: true})
	require.NoError(t, err)
	_, err = repository(t, cfg).Copy(t.Context(), repository(t, &other), host.CopyOptions{})
	require.NoError(t, err)
	require.Empty(t, underPrefix(t, &other, "savepoints/"))
	snapshot(t, &other, "canonical")
	snapshot(t, &other, "canonical")
	pruneAll(t, &other)
	require.Contains(t, listed(t, &other), m.ID)
	assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, &other, m.ID)))
	requireSound(t, &other)
}

// TestSavepointIsNoTurn: savepoints by a strategy that counts its snapshots change
// nothing for the others, also when they are the newest after a restart.
func TestSavepointIsNoTurn(t *testing.T) {
	path := blobbed(t)
	cfg := dbtest.Config(t, path, "[strategies.incremental.config]\nfull_every = 2")
	for i := range 4 {
		m := snapshot(t, cfg, "incremental")
		assert.Equal(t, i%2 == 0, m.Base == "", i)
		savepoint(t, cfg, "incremental")
	}
}

// stubborn is an incremental strategy that asks for one base, whatever it was offered.
type stubborn struct {
	dbtest.Files
	base uint64 // slot; 0 for none
}

// Prepare is that of abi.Strategy.
func (b *stubborn) Prepare(_ context.Context, s abi.Session) error {
	if err := s.BaseUse(b.base); err != nil && abi.ErrnoOf(err) != abi.ENOENT {
		return err
	}
	_, err := s.Checkpoint()
	return err
}

// TestSavepointHasNoBase: a strategy that knows the slot of a snapshot cannot share
// its objects with a savepoint.
func TestSavepointHasNoBase(t *testing.T) {
	cfg := dbtest.Config(t, blobbed(t))
	s := &stubborn{base: snapshot(t, cfg, "incremental").Slot}
	h := open(t, cfg, host.Offline(), host.WithStrategy("incremental", func() abi.Strategy { return s }))
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental", Savepoint: true})
	require.NoError(t, err)
	assert.Empty(t, m.Base)
	m, err = h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
	require.NoError(t, err)
	assert.NotZero(t, m.BytesReused, "others can")
}
