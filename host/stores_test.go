package host_test

import (
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// onServer moves a configuration's repository to a bucket of a real S3 server.
func onServer(t *testing.T, cfg *config.Config, s storetest.Server) {
	s = s.NewBucket(t)
	s.Env(t)
	r := &cfg.Repository
	r.URL, r.Endpoint, r.PathStyle = "s3://"+s.Bucket+"/some/prefix", s.Endpoint, true
	r.Transfer.Requests, r.Transfer.Memory = 16, 64<<20
}

// encrypted gives a configuration a new pair of keys.
func encrypted(t *testing.T, cfg *config.Config) {
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "key.txt")
	require.NoError(t, os.WriteFile(file, []byte(key.String()+"\n"), 0o600))
	cfg.Repository.Encryption = config.Encryption{Recipients: []string{key.Recipient().String()}, IdentityFile: file}
}

// TestStores leads a repository through its life on every kind of store.
func TestStores(t *testing.T) {
	server := storetest.Versity(t)
	s3 := func(t *testing.T, cfg *config.Config) { onServer(t, cfg, server) }
	for name, place := range map[string][]func(*testing.T, *config.Config){
		"directory":           {},
		"directory encrypted": {encrypted},
		"s3":                  {s3},
		"s3 encrypted":        {s3, encrypted},
		"s3 limited": {s3, func(_ *testing.T, cfg *config.Config) {
			cfg.Repository.Transfer.UploadLimit, cfg.Repository.Transfer.DownloadLimit = 48<<20, 48<<20
			cfg.Repository.Transfer.Requests = 2
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := shapes[0].make(t)
			cfg := dbtest.Config(t, path)
			cfg.Repository.URL += "-probed"
			for _, p := range place {
				p(t, cfg)
			}
			report, err := host.Init(t.Context(), cfg, host.InitOptions{})
			require.NoError(t, err)
			assert.True(t, report.Exclusive)
			live(t, cfg, path)
		})
	}
}

func live(t *testing.T, cfg *config.Config, path string) {
	want := make(map[string]string) // content digest, by snapshot
	var last *host.Manifest
	for i, strategy := range []string{"incremental", "native-full", "incremental", "canonical", "incremental"} {
		dbtest.Fill(t, path, "orders", uint64(i), 50)
		last = snapshot(t, cfg, strategy)
		want[last.ID] = dbtest.Digest(t, path)
	}
	assert.NotZero(t, last.BytesReused)
	for id, digest := range want {
		assert.Equal(t, digest, dbtest.Digest(t, restore(t, cfg, id)))
	}
	requireSound(t, cfg)

	cfg.Retention = config.Retention{KeepLast: 1, Grace: config.Duration(0)}
	pruned, err := repository(t, cfg).Prune(t.Context(), host.PruneOptions{})
	require.NoError(t, err)
	assert.NotZero(t, pruned.Objects)
	assert.Equal(t, []string{last.ID}, listed(t, cfg))
	assert.Equal(t, want[last.ID], dbtest.Digest(t, restore(t, cfg, last.ID)))
	requireSound(t, cfg)
	next := snapshot(t, cfg, "incremental")
	assert.NotZero(t, next.BytesReused)

	if len(cfg.Repository.Encryption.Recipients) > 0 {
		requireKeyNeeded(t, cfg)
	}
}

// requireSound demands that nothing is wrong and nothing is left over.
func requireSound(t *testing.T, cfg *config.Config) {
	t.Helper()
	verified, err := repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	require.Empty(t, verified.Problems)
	require.Zero(t, verified.Orphans)
}

// requireKeyNeeded demands that everything but the data can be had without the
// private key, and the data with no other.
func requireKeyNeeded(t *testing.T, cfg *config.Config) {
	t.Helper()
	bare := *cfg
	bare.Repository.Encryption.IdentityFile = ""
	assert.Len(t, listed(t, &bare), 2)
	requireSound(t, &bare)
	require.NotZero(t, snapshot(t, &bare, "incremental").BytesReused)
	_, err := repository(t, &bare).Prune(t.Context(), host.PruneOptions{})
	require.NoError(t, err)

	other := *cfg
	encrypted(t, &other)
	for name, lost := range map[string]*config.Config{"lost": &bare, "wrong": &other} {
		target := filepath.Join(t.TempDir(), "target")
		_, err := repository(t, lost).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{"latest"}, Target: target})
		require.Equal(t, host.CodeKey, host.CodeOf(err), "%s: %v", name, err)
		require.NotEmpty(t, host.HintOf(err))
		require.NoDirExists(t, target)
	}
	require.Zero(t, snapshot(t, &other, "incremental").BytesReused, "whoever can read a snapshot can read all of it")
	plain := *cfg
	plain.Repository.Encryption = config.Encryption{}
	_, err = host.Open(t.Context(), &plain, host.Offline(), host.WithModuleCache(dbtest.Cache()))
	require.Equal(t, host.CodeKey, host.CodeOf(err))
}
