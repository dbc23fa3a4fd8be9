package host_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// blobs keeps values of 64 bytes or more in blob files.
var blobs = rocks.Creation{BlobFiles: true, MinBlobBytes: 64}

func TestRestoreTargets(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	r := repository(t, cfg)
	for _, m := range snapshots(t, cfg, dbtest.Builtin...) {
		strategy := m.Strategy.Name
		t.Run(strategy+" into nothing", func(t *testing.T) {
			folder := t.TempDir()
			target := filepath.Join(folder, "not", "yet", "there")
			restored, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
			require.NoError(t, err)
			assert.Equal(t, target, restored.Target)
			assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
			requireAlone(t, filepath.Dir(target), "there")
		})
		t.Run(strategy+" into an empty directory", func(t *testing.T) {
			folder := t.TempDir()
			target := filepath.Join(folder, "empty")
			require.NoError(t, os.Mkdir(target, 0o700))
			_, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
			require.NoError(t, err)
			assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
			requireAlone(t, folder, "empty")
		})
		t.Run(strategy+" into a file or a full directory", func(t *testing.T) {
			folder := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(folder, "full"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(folder, "full", "mine"), []byte("precious"), 0o644))
			require.NoError(t, os.WriteFile(filepath.Join(folder, "file"), []byte("precious"), 0o644))
			before := footprints(t, folder)
			for _, name := range []string{"full", "file"} {
				_, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: filepath.Join(folder, name)})
				require.Error(t, err)
				assert.NotEmpty(t, host.HintOf(err))
			}
			assert.Equal(t, before, footprints(t, folder))
		})
	}
}

// TestRestoredWithoutWrites snapshots a database that nothing but the restore has
// ever touched.
func TestRestoredWithoutWrites(t *testing.T) {
	for _, shape := range shapes[1:3] {
		t.Run(shape.name, func(t *testing.T) {
			path := shape.make(t)
			cfg := dbtest.Config(t, path)
			first := snapshot(t, cfg, "incremental")
			restored := restore(t, cfg, first.ID)
			second := snapshot(t, at(cfg, restored), "incremental")
			assert.Equal(t, first.Lineage, second.Lineage)
			assert.Equal(t, first.ID, second.Base)
			for _, f := range second.Contents {
				if f.Kind == abi.KindTable || f.Kind == abi.KindBlob {
					assert.True(t, f.Reused, f.Name)
				}
			}
			assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, second.ID)))
		})
	}
}

// TestRestoredGoesOn writes to a restored database: what came with the restore is
// still recognised, twice over, and what is new is stored.
func TestRestoredGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	dbtest.Edit(t, path, blobs, func(*rocks.DB) {})
	dbtest.Fill(t, path, "default", 1, 500)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "incremental")
	for seed := range uint64(3) {
		path = restore(t, cfg, m.ID)
		dbtest.Fill(t, path, "default", seed+2, 100)
		next := snapshot(t, at(cfg, path), "incremental")
		assert.Equal(t, m.ID, next.Base)
		old, inherited := identities(m), 0
		for _, f := range next.Contents {
			_, known := old[f.Identity]
			assert.Equal(t, known, f.Reused, "%s %s", f.Name, f.Identity)
			if f.Reused && f.Kind == abi.KindBlob {
				inherited++
			}
		}
		assert.Equal(t, count(m, abi.KindBlob), inherited, "blob files that survived the restore")
		assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, next.ID)))
		m = next
	}
}

func identities(m *host.Manifest) map[string]bool {
	set := make(map[string]bool)
	for _, f := range m.Contents {
		if f.Identity != "" {
			set[f.Identity] = true
		}
	}
	return set
}

func count(m *host.Manifest, kind abi.Kind) int {
	n := 0
	for _, f := range m.Contents {
		if f.Kind == kind {
			n++
		}
	}
	return n
}

// TestForks lets two databases go on from one instant, under one name. RocksDB
// gives their new files the same numbers.
func TestForks(t *testing.T) {
	ways := map[string]func(t *testing.T, cfg *config.Config, path, id string) string{
		"restored": func(t *testing.T, cfg *config.Config, _, id string) string { return restore(t, cfg, id) },
		"copied": func(t *testing.T, _ *config.Config, path, _ string) string {
			fork := filepath.Join(t.TempDir(), "fork")
			require.NoError(t, os.CopyFS(fork, os.DirFS(path)))
			return fork
		},
	}
	for name, fork := range ways {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			dbtest.Edit(t, path, blobs, func(*rocks.DB) {})
			dbtest.Fill(t, path, "default", 1, 200)
			cfg := dbtest.Config(t, path)
			origin := snapshot(t, cfg, "incremental")
			forks := []string{fork(t, cfg, path, origin.ID), fork(t, cfg, path, origin.ID)}
			digests := make(map[string]string)
			for round := range 2 {
				for i, path := range forks {
					diverge(t, path, i, round)
					m := snapshot(t, at(cfg, path), "incremental")
					digests[m.ID] = dbtest.Digest(t, path)
				}
			}
			for id, digest := range digests {
				assert.Equal(t, digest, dbtest.Digest(t, restore(t, cfg, id)))
			}
			assert.Len(t, digests, 4)
		})
	}
}

// diverge writes records into a fork that make its new blob file hard to tell
// from that of the other fork: same number, same size, same long last record.
func diverge(t *testing.T, path string, fork, round int) {
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		different := strings.Repeat(string(rune('a'+fork)), 1000+round)
		require.NoError(t, db.PutBlock("default", record("fork", different)))
		require.NoError(t, db.PutBlock("default", record("same", strings.Repeat("x", 100<<10))))
		require.NoError(t, db.Flush())
	})
}
