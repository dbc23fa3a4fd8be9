package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// maker makes a new repository for a database, with further lines of configuration.
type maker func(t *testing.T, path string, lines ...string) *config.Config

func inDirectory(t *testing.T, path string, lines ...string) *config.Config {
	t.Helper()
	return dbtest.Config(t, path, lines...)
}

func onBucket(server storetest.Server) maker {
	return func(t *testing.T, path string, lines ...string) *config.Config {
		t.Helper()
		cfg := dbtest.Config(t, path, lines...)
		onServer(t, cfg, server)
		_, err := host.Init(t.Context(), cfg, host.InitOptions{SkipProbe: true})
		require.NoError(t, err)
		return cfg
	}
}

// newKey makes a key of age. It returns lines of configuration for who may only
// encrypt, and for who has the identity too.
func newKey(t *testing.T) (recipient, both string) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "key.txt")
	require.NoError(t, os.WriteFile(file, []byte(key.String()+"\n"), 0o600))
	recipient = "[repository.encryption]\nrecipients = [\"" + key.Recipient().String() + "\"]\n"
	return recipient, recipient + "identity_file = \"" + file + "\"\n"
}

// named returns the configuration of a repository that has another name for the
// database.
func named(cfg *config.Config, name string) *config.Config {
	other := *cfg
	other.Repository.Name = name
	return &other
}

// taken is a history: snapshots with the content digest that each restores to.
type taken struct {
	manifests []*host.Manifest
	digests   []string
}

// history takes snapshots with each strategy, and in the end an increment.
func history(t *testing.T, cfg *config.Config, path string) (h taken) {
	t.Helper()
	for i, strategy := range []string{"incremental", "canonical", "native-full", "incremental"} {
		if i > 0 {
			dbtest.Fill(t, path, "orders", uint64(i), 30)
		}
		h.manifests = append(h.manifests, snapshot(t, cfg, strategy))
		h.digests = append(h.digests, dbtest.Digest(t, path))
	}
	require.NotZero(t, h.manifests[3].BytesReused)
	return h
}

func (h taken) ids() []string {
	var ids []string
	for _, m := range h.manifests {
		ids = append(ids, m.ID)
	}
	return ids
}

// requireCopied demands that a destination has the history and restores it.
func (h taken) requireCopied(t *testing.T, cfg *config.Config) {
	t.Helper()
	require.Equal(t, h.ids(), listed(t, cfg))
	for i, m := range h.manifests {
		require.Equal(t, h.digests[i], dbtest.Digest(t, restore(t, cfg, m.ID)), m.Strategy.Name)
	}
	for _, name := range inStore(t, placeOf(t, cfg)) {
		require.NotContains(t, name, "/intents/")
	}
}

func copyAll(t *testing.T, from, to *config.Config) (*host.Copied, error) {
	t.Helper()
	return repository(t, from).Copy(t.Context(), repository(t, to), host.CopyOptions{})
}

// TestCopy copies a history between repositories of every sort, encrypted or not.
func TestCopy(t *testing.T) {
	unraced(t)
	_, first := newKey(t)
	_, second := newKey(t)
	bucket := onBucket(storetest.Versity(t))
	for _, test := range []struct {
		name     string
		from, to maker
		key      string // of the source
		keys     []string
	}{
		{"directory to directory", inDirectory, inDirectory, "", []string{"", first}},
		{"encrypted directory to directory", inDirectory, inDirectory, first, []string{"", first, second}},
		{"directory to bucket", inDirectory, bucket, "", []string{"", first}},
		{"bucket to directory", bucket, inDirectory, first, []string{"", second}},
		{"bucket to bucket", bucket, bucket, first, []string{first}},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := shapes[0].make(t)
			from := test.from(t, path, test.key)
			h := history(t, from, path)
			for _, key := range test.keys {
				to := named(test.to(t, path, key), "other")
				copied, err := copyAll(t, from, to)
				require.NoError(t, err)
				assert.Len(t, copied.Snapshots, len(h.manifests))
				assert.Empty(t, copied.Present)
				h.requireCopied(t, to)
				requireSound(t, to)
				requireSame(t, h, to, key == test.key)
				before := inStore(t, placeOf(t, to))
				copied, err = copyAll(t, from, to)
				require.NoError(t, err)
				assert.Equal(t, &host.Copied{Present: h.ids()}, copied)
				assert.Equal(t, before, inStore(t, placeOf(t, to)), "nobody is fenced in vain")
			}
		})
	}
}

// placeOf opens the store of a configuration.
func placeOf(t *testing.T, cfg *config.Config) blob.Store {
	t.Helper()
	bucket, prefix, ok := cfg.Repository.S3()
	if !ok {
		return store(t, cfg)
	}
	s, err := s3.Open(t.Context(), s3.Options{Bucket: bucket, Prefix: prefix, Endpoint: cfg.Repository.Endpoint, PathStyle: true})
	require.NoError(t, err)
	return s
}

// inStore lists what a store holds.
func inStore(t *testing.T, s blob.Store) []string {
	t.Helper()
	var list []string
	for info, err := range s.List(t.Context(), "", "") {
		require.NoError(t, err)
		list = append(list, info.Name)
	}
	return list
}

// requireSame demands that manifests of a copy differ from those of the source in
// nothing but where they are.
func requireSame(t *testing.T, h taken, to *config.Config, asIs bool) {
	t.Helper()
	for _, want := range h.manifests {
		got, err := repository(t, to).Find(t.Context(), want.ID)
		require.NoError(t, err)
		assert.Equal(t, "other", got.Database)
		assert.Equal(t, want.Created, got.Created)
		assert.Equal(t, []any{want.Lineage, want.Kind, want.Strategy, want.Labels, want.State, want.Records, want.BytesFull, want.BytesReused, want.Base},
			[]any{got.Lineage, got.Kind, got.Strategy, got.Labels, got.State, got.Records, got.BytesFull, got.BytesReused, got.Base})
		for i, f := range want.Contents {
			g := got.Contents[i]
			assert.NotEqual(t, f.Object, g.Object)
			assert.Equal(t, []any{f.Name, f.Size, f.Identity, f.Reused, f.Scope}, []any{g.Name, g.Size, g.Identity, g.Reused, g.Scope})
			assert.Equal(t, asIs, f.Digest == g.Digest)
		}
	}
}

// TestCopyChosen copies an increment without the snapshot that it was computed
// against, and that one later.
func TestCopyChosen(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	from, to := dbtest.Config(t, path), dbtest.Config(t, path)
	h := history(t, from, path)
	last := h.manifests[3]
	r := repository(t, from)
	copied, err := r.Copy(t.Context(), repository(t, to), host.CopyOptions{Snapshots: []string{"latest", last.ID[:30]}})
	require.NoError(t, err)
	require.Len(t, copied.Snapshots, 1)
	assert.Equal(t, last.BytesFull, copied.Snapshots[0].BytesNew)
	assert.Empty(t, copied.Snapshots[0].Base)
	assert.Equal(t, last.Files, copied.Objects)
	assert.Equal(t, last.BytesFull, copied.Bytes)
	assert.Equal(t, h.digests[3], dbtest.Digest(t, restore(t, to, last.ID)))

	copied, err = r.Copy(t.Context(), repository(t, to), host.CopyOptions{Snapshots: []string{last.ID, h.manifests[0].ID}})
	require.NoError(t, err)
	assert.Equal(t, []string{last.ID}, copied.Present)
	require.Len(t, copied.Snapshots, 1)
	assert.Equal(t, last.ID, copied.Snapshots[0].Base, "the newest that has what it reuses")
	assert.Equal(t, last.BytesReused, copied.Reused)
	assert.Equal(t, h.digests[0], dbtest.Digest(t, restore(t, to, h.manifests[0].ID)))

	_, err = r.Copy(t.Context(), repository(t, to), host.CopyOptions{Snapshots: []string{"ffff"}})
	require.Error(t, err)
	assert.Equal(t, host.CodeFailed, host.CodeOf(err))
}

// TestCopyGoesOnIncrementally takes increments in the destination: of the same
// database, and of one that was restored from there.
func TestCopyGoesOnIncrementally(t *testing.T) {
	unraced(t)
	_, key := newKey(t)
	for name, lines := range map[string]string{"plain": "", "encrypted": key} {
		t.Run(name, func(t *testing.T) {
			path := shapes[0].make(t)
			from, to := dbtest.Config(t, path), dbtest.Config(t, path, lines)
			h := history(t, from, path)
			_, err := copyAll(t, from, to)
			require.NoError(t, err)
			for _, path := range []string{path, restore(t, to, h.manifests[3].ID)} {
				cfg := named(at(to, path), to.Repository.Name)
				dbtest.Fill(t, path, "users", 9, 10)
				m := snapshot(t, cfg, "incremental")
				assert.GreaterOrEqual(t, m.BytesReused, h.manifests[3].BytesReused)
				assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, m.ID)))
			}
		})
	}
}

// TestCopyNeedsNoKey copies what is encrypted for the same recipients without the
// identity, which anything else takes.
func TestCopyNeedsNoKey(t *testing.T) {
	unraced(t)
	recipient, both := newKey(t)
	path := shapes[0].make(t)
	from := dbtest.Config(t, path, recipient)
	h := history(t, from, path)
	same := dbtest.Config(t, path, recipient)
	_, err := copyAll(t, from, same)
	require.NoError(t, err)
	withKey := *same
	withKey.Repository.Encryption = dbtest.Config(t, path, both).Repository.Encryption
	h.requireCopied(t, &withKey)

	plain := dbtest.Config(t, path)
	copied, err := copyAll(t, from, plain)
	assert.Equal(t, host.CodeKey, host.CodeOf(err))
	assert.NotEmpty(t, host.HintOf(err))
	assert.Len(t, copied.Failed, len(h.manifests))
	assert.Empty(t, listed(t, plain))

	unable := *same
	unable.Repository.Encryption.Recipients = nil
	_, err = copyAll(t, from, &unable)
	assert.Equal(t, host.CodeKey, host.CodeOf(err), "nothing is stored in plain in an encrypted repository")
}

// TestCopyDryRun foretells a copy and changes neither side.
func TestCopyDryRun(t *testing.T) {
	unraced(t)
	_, key := newKey(t)
	for name, lines := range map[string]string{"plain": "", "encrypted": key} {
		t.Run(name, func(t *testing.T) {
			path := shapes[0].make(t)
			from, to := dbtest.Config(t, path), dbtest.Config(t, path, lines)
			h := history(t, from, path)
			_, err := repository(t, from).Copy(t.Context(), repository(t, to), host.CopyOptions{Snapshots: []string{h.manifests[0].ID}})
			require.NoError(t, err)
			before := []any{footprints(t, from.Repository.Dir()), footprints(t, to.Repository.Dir())}
			told, err := repository(t, from).Copy(t.Context(), repository(t, to), host.CopyOptions{DryRun: true})
			require.NoError(t, err)
			assert.Equal(t, before, []any{footprints(t, from.Repository.Dir()), footprints(t, to.Repository.Dir())})
			done, err := copyAll(t, from, to)
			require.NoError(t, err)
			assert.Equal(t, []any{told.Objects, told.Reused, told.Present, len(told.Snapshots)},
				[]any{done.Objects, done.Reused, done.Present, len(done.Snapshots)})
			if lines == "" {
				assert.Equal(t, told.Bytes, done.Bytes)
			}
			for i := range told.Snapshots {
				assert.Equal(t, []any{told.Snapshots[i].ID, told.Snapshots[i].Base, told.Snapshots[i].BytesNew},
					[]any{done.Snapshots[i].ID, done.Snapshots[i].Base, done.Snapshots[i].BytesNew})
			}
		})
	}
}

// TestCopyProgress looks at the last report, which says that all is done.
func TestCopyProgress(t *testing.T) {
	unraced(t)
	_, key := newKey(t)
	for name, lines := range map[string][2]string{"plain": {}, "same key": {key, key}, "encrypted": {"", key}} {
		t.Run(name, func(t *testing.T) {
			path := shapes[0].make(t)
			from, to := dbtest.Config(t, path, lines[0]), dbtest.Config(t, path, lines[1])
			history(t, from, path)
			var mu sync.Mutex
			var last host.Progress
			r, err := host.OpenRepository(t.Context(), from, host.WithProgress(func(p host.Progress) {
				mu.Lock()
				defer mu.Unlock()
				last = p
			}))
			require.NoError(t, err)
			_, err = r.Copy(t.Context(), repository(t, to), host.CopyOptions{})
			require.NoError(t, err)
			assert.Equal(t, "copy", last.Phase)
			assert.NotZero(t, last.BytesTotal)
			assert.Equal(t, last.BytesTotal, last.BytesDone)
			assert.NotZero(t, last.BytesReused)
		})
	}
}

// observed opens the repository of a configuration through a store that tells of
// every call.
func observed(t *testing.T, cfg *config.Config, tell func(blob.Op)) *host.Repository {
	t.Helper()
	r, err := host.OpenRepository(t.Context(), cfg, host.WithStore(blob.Observe(store(t, cfg), tell)))
	require.NoError(t, err)
	return r
}

// stores tells the creation of a data object.
func stores(op blob.Op) bool {
	return op.Verb == blob.VerbCreate && op.Err == nil && strings.HasPrefix(op.Name, "objects/")
}
