package host_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// resumable takes a snapshot of each kind, of which files are fetched one after
// the other.
func resumable(t *testing.T, path string, lines ...string) (cfg *config.Config, native, records *host.Manifest) {
	t.Helper()
	cfg = dbtest.Config(t, path, lines...)
	cfg.Repository.Transfer.Workers = 1
	taken := snapshots(t, cfg, "native-full", "canonical")
	return cfg, taken[0], taken[1]
}

// breakOff restores until the nth object is opened, where the store fails.
func breakOff(t *testing.T, cfg *config.Config, id, target string, n int, mode blob.Mode) error {
	t.Helper()
	opened := 0
	r, err := host.OpenRepository(t.Context(), cfg, host.WithStore(blob.Faulty(store(t, cfg), func(c blob.Call) blob.Fault {
		if isObject(c.Verb, c.Name) {
			if opened++; opened == n {
				return blob.Fault{Mode: mode, At: 10}
			}
		}
		return blob.Fault{}
	})))
	require.NoError(t, err)
	_, err = r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: target})
	return err
}

func isObject(verb blob.Verb, name string) bool {
	return verb == blob.VerbOpen && strings.HasPrefix(name, "objects/")
}

// goOn restores and returns the objects that it opened.
func goOn(t *testing.T, cfg *config.Config, id, target string) (*host.Restored, []string) {
	t.Helper()
	var mu sync.Mutex
	opened := []string{}
	r, err := host.OpenRepository(t.Context(), cfg, host.WithStore(blob.Observe(store(t, cfg), func(op blob.Op) {
		mu.Lock()
		defer mu.Unlock()
		if isObject(op.Verb, op.Name) {
			opened = append(opened, op.Name)
		}
	})))
	require.NoError(t, err)
	restored, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: target})
	require.NoError(t, err)
	return restored, opened
}

// leftovers names the staging directories beside a target.
func leftovers(t *testing.T, target string) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(filepath.Dir(target), "."+filepath.Base(target)+".restore-*"))
	require.NoError(t, err)
	return found
}

// leftover names the one staging directory beside a target.
func leftover(t *testing.T, target string) string {
	t.Helper()
	found := leftovers(t, target)
	require.Len(t, found, 1)
	return found[0]
}

func journalOf(staging string) string { return filepath.Join(staging, ".rocksnap-restore", "journal") }

// journaled returns the files that the whole lines of a journal name.
func journaled(t *testing.T, staging string) map[string]bool {
	t.Helper()
	files := make(map[string]bool)
	text, err := os.ReadFile(journalOf(staging))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	for line := range bytes.Lines(text) {
		var e struct{ File string }
		if json.Unmarshal(line, &e) == nil {
			files[e.File] = true
		}
	}
	return files
}

// objectsOf returns the objects of the files that match, sorted.
func objectsOf(m *host.Manifest, match func(f *host.File) bool) []string {
	names := []string{}
	for i := range m.Contents {
		if match(&m.Contents[i]) {
			names = append(names, m.Contents[i].Object)
		}
	}
	slices.Sort(names)
	return names
}

// TestRestoreGoesOn breaks off at every object in turn, before and in the middle
// of it.
func TestRestoreGoesOn(t *testing.T) {
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg, native, records := resumable(t, path)
	for _, m := range []*host.Manifest{native, records} {
		for i := range 2 * m.Files {
			n, mode := i/2+1, []blob.Mode{blob.Fail, blob.Cut}[i%2]
			t.Run(fmt.Sprintf("%s %d %d", m.Kind, n, mode), func(t *testing.T) {
				target := filepath.Join(t.TempDir(), "target")
				err := breakOff(t, cfg, m.ID, target, n, mode)
				require.ErrorIs(t, err, blob.ErrFault)
				assert.Equal(t, host.CodeFailed, host.CodeOf(err))
				if n == 1 {
					requireAlone(t, filepath.Dir(target))
					return
				}
				left := leftover(t, target)
				assert.Contains(t, host.HintOf(err), "remove "+left)
				done := journaled(t, left)
				assert.Len(t, done, n-1)
				restored, opened := goOn(t, cfg, m.ID, target)
				slices.Sort(opened)
				assert.Equal(t, objectsOf(m, func(f *host.File) bool { return !done[f.Name] }), opened)
				assert.Positive(t, restored.Resumed)
				assert.Equal(t, m.BytesFull, restored.Bytes+restored.Resumed)
				assert.Equal(t, want, dbtest.Digest(t, target))
				requireAlone(t, filepath.Dir(target), "target")
				assert.NoDirExists(t, filepath.Join(target, ".rocksnap-restore"))
			})
		}
	}
}

// TestEncryptedRestoreGoesOn finds a changed file by the journal alone: the digests
// in the manifest are those of encrypted bytes.
func TestEncryptedRestoreGoesOn(t *testing.T) {
	path := shapes[0].make(t)
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	key := filepath.Join(t.TempDir(), "key.txt")
	require.NoError(t, os.WriteFile(key, []byte(identity.String()+"\n"), 0o600))
	cfg, native, records := resumable(t, path, "[repository.encryption]",
		fmt.Sprintf("recipients = [%q]\nidentity_file = %q", identity.Recipient(), key))
	for _, m := range []*host.Manifest{native, records} {
		target := filepath.Join(t.TempDir(), "target")
		require.Error(t, breakOff(t, cfg, m.ID, target, m.Files, blob.Cut))
		left := leftover(t, target)
		piece, of := pieceOf(t, m, left)
		require.NotZero(t, of.Stored)
		text, err := os.ReadFile(piece)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(piece, damages[2].do(text), 0o644))
		restored, opened := goOn(t, cfg, m.ID, target)
		assert.Len(t, opened, 2)
		assert.Equal(t, m.BytesFull, restored.Bytes+restored.Resumed)
		assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
	}
}

// TestCancelledRestore cancels in the middle; the next attempt starts from there,
// also in what it reports.
func TestCancelledRestore(t *testing.T) {
	cfg, native, _ := resumable(t, shapes[0].make(t))
	target := filepath.Join(t.TempDir(), "target")
	ctx, cancel := context.WithCancel(t.Context())
	opened := 0
	r, err := host.OpenRepository(ctx, cfg, host.WithStore(blob.Faulty(store(t, cfg), func(c blob.Call) blob.Fault {
		if isObject(c.Verb, c.Name) {
			if opened++; opened == 4 {
				cancel()
			}
		}
		return blob.Fault{}
	})))
	require.NoError(t, err)
	_, err = r.Restore(ctx, host.RestoreOptions{Snapshots: []string{native.ID}, Target: target})
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, host.CodeInterrupted, host.CodeOf(err))
	assert.Contains(t, host.HintOf(err), "run it again to go on")
	assert.NoDirExists(t, target)

	var reports []host.Progress
	r, err = host.OpenRepository(t.Context(), cfg, host.WithProgress(func(p host.Progress) { reports = append(reports, p) }))
	require.NoError(t, err)
	restored, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{native.ID}, Target: target})
	require.NoError(t, err)
	require.NotEmpty(t, reports)
	assert.Positive(t, reports[0].BytesResumed)
	assert.Equal(t, reports[0].BytesResumed, reports[0].BytesDone)
	last := reports[len(reports)-1]
	assert.Equal(t, restored.Resumed, last.BytesResumed)
	assert.Equal(t, native.BytesFull, last.BytesDone)
}

// TestIdentityOfARestore keeps the identity that the first attempt gave.
func TestIdentityOfARestore(t *testing.T) {
	cfg, native, _ := resumable(t, shapes[0].make(t))
	target := filepath.Join(t.TempDir(), "target")
	require.Error(t, breakOff(t, cfg, native.ID, target, native.Files, blob.Fail)) // CURRENT
	first, err := os.ReadFile(filepath.Join(leftover(t, target), "IDENTITY"))
	require.NoError(t, err)
	goOn(t, cfg, native.ID, target)
	second, err := os.ReadFile(filepath.Join(target, "IDENTITY"))
	require.NoError(t, err)
	assert.Equal(t, string(first), string(second))
}

// TestDamageLeavesNothing meets damage after files were fetched: there is nothing
// to go on to.
func TestDamageLeavesNothing(t *testing.T) {
	unraced(t)
	cfg, native, records := resumable(t, shapes[0].make(t))
	for _, m := range []*host.Manifest{native, records} {
		target := filepath.Join(t.TempDir(), "target")
		last := m.Contents[m.Files-1]
		undo := damages[2].inflict(t, cfg, last.Object)
		_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
		assert.Equal(t, host.CodeDamaged, host.CodeOf(err), "%v", err)
		requireAlone(t, filepath.Dir(target))
		undo()
	}
}

// TestDrillLeavesNothing has the store fail in a restore that nobody could go on
// with.
func TestDrillLeavesNothing(t *testing.T) {
	cfg, native, _ := resumable(t, shapes[0].make(t))
	folder := t.TempDir()
	t.Setenv("TMPDIR", folder)
	opened := 0
	r, err := host.OpenRepository(t.Context(), cfg, host.WithStore(blob.Faulty(store(t, cfg), func(c blob.Call) blob.Fault {
		if isObject(c.Verb, c.Name) {
			if opened++; opened == 4 {
				return blob.Fault{Mode: blob.Fail}
			}
		}
		return blob.Fault{}
	})))
	require.NoError(t, err)
	_, err = r.DigestSnapshot(t.Context(), native.ID)
	require.ErrorIs(t, err, blob.ErrFault)
	assert.Empty(t, host.HintOf(err))
	requireAlone(t, folder)
}
