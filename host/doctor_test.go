package host_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/zeebo/blake3"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/mem"
	"github.com/rocksnap/rocksnap/host/blob/probe"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// diagnose returns the checks of a doctor by name.
func diagnose(t *testing.T, cfg *config.Config, options ...host.Option) (*host.Diagnosis, map[string]host.Check) {
	t.Helper()
	d, err := host.Doctor(t.Context(), cfg, append(options, host.WithModuleCache(dbtest.Cache()))...)
	require.NoError(t, err)
	checks := make(map[string]host.Check)
	for _, c := range d.Checks {
		assert.NotContains(t, checks, c.Name, "asked twice")
		assert.NotEmpty(t, c.Detail, c.Name)
		if c.Result == probe.Pass {
			assert.Empty(t, c.Hint, c.Name)
		}
		checks[c.Name] = c
	}
	return d, checks
}

// TestDoctorFindsAllWell asks about a repository and a database that are sound. It
// changes neither.
func TestDoctorFindsAllWell(t *testing.T) {
	unraced(t)
	_, key := newKey(t)
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path, "[retention]\nkeep_last = 3", key)
	snapshot(t, cfg, "native-full")
	before, stored := footprints(t, path), inStore(t, store(t, cfg))
	d, checks := diagnose(t, cfg)
	for _, c := range d.Checks {
		if c.Result != probe.Pass {
			assert.Equal(t, "store", strings.Split(c.Name, ":")[0], "%+v", c) // no store promises all that a probe asks
		}
	}
	for _, name := range []string{
		"repository", "store: conditional create", "snapshots", "private key", "recipients", "sessions", "free space",
		"retention", "strategy native-full", "strategy canonical", "database",
	} {
		assert.Contains(t, checks, name)
	}
	assert.NotEqual(t, probe.Fail, d.Result())
	assert.Equal(t, before, footprints(t, path))
	assert.Equal(t, stored, inStore(t, store(t, cfg)))
}

// entryOf returns the name of the entry that a snapshot is.
func entryOf(m *host.Manifest) string {
	return fmt.Sprintf("db/%s/entries/%020d", m.Database, m.Slot)
}

// symptom is what a doctor is to say.
type symptom struct {
	check  string
	result probe.Result
	detail string // part of it
}

// TestDoctorFinds breaks things that have nothing to do with one another.
func TestDoctorFinds(t *testing.T) {
	unraced(t)
	recipient, key := newKey(t)
	other, otherKey := newKey(t)
	path := shapes[0].make(t)
	made := dbtest.Config(t, path, key)
	newest := snapshot(t, made, "native-full")
	for name, test := range map[string]struct {
		spoil    func(t *testing.T, cfg *config.Config)
		symptoms []symptom
	}{
		"no repository": {func(t *testing.T, cfg *config.Config) {
			cfg.Repository.URL = "file:" + t.TempDir()
		}, []symptom{{"repository", probe.Fail, "no repository at"}}},
		"no folder": {func(t *testing.T, cfg *config.Config) {
			cfg.Repository.URL = "file:" + filepath.Join(t.TempDir(), "none")
		}, []symptom{{"repository", probe.Fail, "no repository at"}}},
		"damaged format": {func(t *testing.T, cfg *config.Config) {
			damages[2].inflict(t, cfg, "format.json")
		}, []symptom{{"repository", probe.Fail, "damaged"}}},
		"not encrypted": {func(t *testing.T, cfg *config.Config) {
			cfg.Repository.URL = dbtest.Config(t, path).Repository.URL
		}, []symptom{{"repository", probe.Fail, "not encrypted"}}},
		"only restores, database in use": {func(t *testing.T, cfg *config.Config) {
			cfg.Repository.Encryption.Recipients = nil
			held, err := rocks.OpenOffline(path)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, held.Close()) })
		}, []symptom{{"repository", probe.Warn, "restored here"}, {"database", probe.Warn, "in use"}}},
		"neither key, damaged entry": {func(t *testing.T, cfg *config.Config) {
			cfg.Repository.Encryption = config.Encryption{}
			damages[3].inflict(t, cfg, entryOf(newest))
		}, []symptom{{"repository", probe.Fail, "no recipients"}, {"snapshots", probe.Fail, "damaged"}}},
		"only takes, empty policy": {func(t *testing.T, cfg *config.Config) {
			cfg.Repository.Encryption = dbtest.Config(t, path, recipient).Repository.Encryption
		}, []symptom{{"private key", probe.Pass, "none on this host"}, {"retention", probe.Warn, "for ever"}}},
		"lost key, wrong pin, no module": {func(t *testing.T, cfg *config.Config) {
			cfg.Repository.Encryption.IdentityFile = filepath.Join(t.TempDir(), "none")
			pinned, missing := cfg.Strategies["canonical"], cfg.Strategies["incremental"]
			pinned.SHA256, missing.Module = strings.Repeat("0", 64), "none.wasm"
			cfg.Strategies["canonical"], cfg.Strategies["incremental"] = pinned, missing
		}, []symptom{
			{"private key", probe.Fail, "no such file"}, {"strategy canonical", probe.Fail, "pins"},
			{"strategy incremental", probe.Fail, "none.wasm"}, {"strategy native-full", probe.Pass, "sha256"},
		}},
		"wrong key, no database": {func(t *testing.T, cfg *config.Config) {
			cfg.Repository.Encryption.IdentityFile = dbtest.Config(t, path, otherKey).Repository.Encryption.IdentityFile
			cfg.Database.Path = t.TempDir()
		}, []symptom{{"private key", probe.Fail, "no key opens it"}, {"database", probe.Fail, "no RocksDB database"}}},
		"exposed key, other recipients, damaged database": {func(t *testing.T, cfg *config.Config) {
			require.NoError(t, os.Chmod(cfg.Repository.Encryption.IdentityFile, 0o644))
			cfg.Repository.Encryption.Recipients = dbtest.Config(t, path, other).Repository.Encryption.Recipients
			cfg.Database.Path = t.TempDir()
			require.NoError(t, os.WriteFile(filepath.Join(cfg.Database.Path, "CURRENT"), []byte("MANIFEST-000001\n"), 0o600))
		}, []symptom{
			{"private key", probe.Warn, "everyone"}, {"recipients", probe.Warn, "a full one"}, {"database", probe.Fail, "MANIFEST"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Load(made.Path)
			require.NoError(t, err)
			repo := filepath.Join(t.TempDir(), "repo")
			require.NoError(t, os.CopyFS(repo, os.DirFS(made.Repository.Dir())))
			cfg.Repository.URL = "file:" + repo
			require.NoError(t, os.Chmod(cfg.Repository.Encryption.IdentityFile, 0o600))
			test.spoil(t, cfg)
			d, checks := diagnose(t, cfg)
			for _, s := range test.symptoms {
				require.Contains(t, checks, s.check)
				assert.Equal(t, s.result, checks[s.check].Result, s.check)
				assert.Contains(t, checks[s.check].Detail, s.detail)
				assert.True(t, s.result != probe.Fail || d.Result() == probe.Fail)
				assert.NotEqual(t, probe.Pass, d.Result())
			}
		})
	}
}

// overwriting lets everybody win who creates a name.
type overwriting struct{ blob.Store }

func (o overwriting) Create(ctx context.Context, name string, r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	err = o.Store.Create(ctx, name, bytes.NewReader(data))
	if errors.Is(err, fs.ErrExist) {
		err = o.Store.Delete(ctx, name)
		if err == nil {
			err = o.Store.Create(ctx, name, bytes.NewReader(data))
		}
	}
	return err
}

// TestDoctorAsksTheStore has a store lose a promise that it kept when the
// repository was made, and one that never kept it.
func TestDoctorAsksTheStore(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	const check = "store: conditional create"

	good := mem.New()
	_, err := host.Init(t.Context(), cfg, host.InitOptions{}, host.WithStore(good))
	require.NoError(t, err)
	_, checks := diagnose(t, cfg, host.WithStore(good))
	assert.Equal(t, probe.Pass, checks[check].Result)
	_, checks = diagnose(t, cfg, host.WithStore(overwriting{good}))
	assert.Equal(t, probe.Fail, checks[check].Result)
	assert.Contains(t, checks[check].Detail, "pass when the repository was made")

	bad := overwriting{mem.New()}
	_, err = host.Init(t.Context(), cfg, host.InitOptions{SingleWriter: true}, host.WithStore(bad))
	require.NoError(t, err)
	d, checks := diagnose(t, cfg, host.WithStore(bad))
	assert.Equal(t, probe.Warn, checks[check].Result, "that is how it was accepted")
	assert.Equal(t, probe.Warn, d.Result())

	down := blob.Faulty(good, func(c blob.Call) blob.Fault {
		if c.Verb == blob.VerbCreate {
			return blob.Fault{Mode: blob.Fail}
		}
		return blob.Fault{}
	})
	_, checks = diagnose(t, cfg, host.WithStore(down))
	assert.Equal(t, probe.Fail, checks["store"].Result)
}

// TestDoctorFindsSessions looks at one that was broken off, and then at one that
// was so long ago.
func TestDoctorFindsSessions(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	f := &failing{mode: blob.Fail, at: 8}
	h := open(t, cfg, host.Offline(), host.WithStore(blob.Faulty(store(t, cfg), f.plan)))
	_, err := h.Snapshot(t.Context(), host.SnapshotOptions{})
	require.ErrorIs(t, err, blob.ErrFault)
	require.NoError(t, h.Close())
	left := intents(t, cfg)
	require.Len(t, left, 1)
	_, checks := diagnose(t, cfg)
	assert.Equal(t, probe.Pass, checks["sessions"].Result)
	assert.Contains(t, checks["sessions"].Detail, left[0])

	name := fmt.Sprintf("db/%s/intents/%s", cfg.Repository.Name, left[0])
	makeOld(t, filepath.Join(cfg.Repository.Dir(), name))
	_, checks = diagnose(t, cfg)
	assert.Equal(t, probe.Warn, checks["sessions"].Result)
	damages[2].inflict(t, cfg, name)
	_, checks = diagnose(t, cfg)
	assert.Equal(t, probe.Fail, checks["sessions"].Result)
}

// makeOld makes an intent two hours older.
func makeOld(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var i catalog.Intent
	require.NoError(t, json.Unmarshal(text, &i))
	i.Created, i.Digest = i.Created.Add(-2*time.Hour), ""
	plain, err := json.Marshal(&i)
	require.NoError(t, err)
	sum := blake3.Sum256(plain)
	i.Digest = hex.EncodeToString(sum[:])
	text, err = json.MarshalIndent(&i, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.Remove(file))
	require.NoError(t, os.WriteFile(file, append(text, '\n'), 0o600))
}

// TestDoctorCancelled ends soon, with what it has found.
func TestDoctorCancelled(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	s := blob.Faulty(store(t, cfg), func(blob.Call) blob.Fault {
		if calls++; calls == 20 {
			cancel()
		}
		return blob.Fault{}
	})
	d, err := host.Doctor(ctx, cfg, host.WithStore(s), host.WithModuleCache(dbtest.Cache()))
	require.ErrorIs(t, err, context.Canceled)
	assert.NotEmpty(t, d.Checks)
}
