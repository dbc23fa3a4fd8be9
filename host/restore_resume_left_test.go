package host_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// pieceOf returns a file that an attempt has finished, and the one of the
// snapshot that it came of.
func pieceOf(t *testing.T, m *host.Manifest, staging string) (piece string, of *host.File) {
	t.Helper()
	done := journaled(t, staging)
	for i := range m.Contents {
		f := &m.Contents[i]
		if !done[f.Name] || f.Size == 0 {
			continue
		}
		if f.Kind != abi.KindCanonical {
			return filepath.Join(staging, f.Name), f
		}
		tables, err := filepath.Glob(filepath.Join(staging, ".rocksnap-restore", "tables", f.Name, "*.sst"))
		require.NoError(t, err)
		require.NotEmpty(t, tables)
		return tables[0], f
	}
	t.Fatal("nothing is finished")
	return "", nil
}

// TestSpoiledLeftover changes what an attempt left: only what was changed is
// fetched again.
func TestSpoiledLeftover(t *testing.T) {
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg, native, records := resumable(t, path)
	for _, m := range []*host.Manifest{native, records} {
		for _, d := range damages {
			t.Run(m.Kind+" "+d.name, func(t *testing.T) {
				target := filepath.Join(t.TempDir(), "target")
				require.Error(t, breakOff(t, cfg, m.ID, target, m.Files, blob.Cut))
				left := leftover(t, target)
				piece, of := pieceOf(t, m, left)
				text, err := os.ReadFile(piece)
				require.NoError(t, err)
				require.NoError(t, os.Remove(piece))
				if damaged := d.do(text); damaged != nil {
					require.NoError(t, os.WriteFile(piece, damaged, 0o644))
				}
				done := journaled(t, left)
				_, opened := goOn(t, cfg, m.ID, target)
				slices.Sort(opened)
				assert.Equal(t, objectsOf(m, func(f *host.File) bool { return f == of || !done[f.Name] }), opened)
				assert.Equal(t, want, dbtest.Digest(t, target))
				requireAlone(t, filepath.Dir(target), "target")
			})
		}
	}
}

// TestLeftoverWithMore goes on beside files that are in no journal: of a database
// that was being made, and of one that was being moved.
func TestLeftoverWithMore(t *testing.T) {
	path := shapes[0].make(t)
	cfg, native, records := resumable(t, path)
	for _, m := range []*host.Manifest{native, records} {
		target := filepath.Join(t.TempDir(), "target")
		require.Error(t, breakOff(t, cfg, m.ID, target, m.Files, blob.Cut))
		left := leftover(t, target)
		for _, name := range []string{"CURRENT", "IDENTITY", "ROCKSNAP", "999999.sst", "999999.log", "MANIFEST-999999"} {
			require.NoError(t, os.WriteFile(filepath.Join(left, name), []byte("?"), 0o644))
		}
		made := filepath.Join(left, ".rocksnap-restore", "database")
		require.NoError(t, os.MkdirAll(made, 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(made, "CURRENT"), []byte("?"), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(left, ".rocksnap-restore", "parts", "MANIFEST-999999"), nil, 0o644))
		_, opened := goOn(t, cfg, m.ID, target)
		assert.Len(t, opened, 1)
		assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
		assert.NoFileExists(t, filepath.Join(target, "999999.sst"))
	}
}

// TestSpoiledJournal tears, spoils and removes the journal and the note.
func TestSpoiledJournal(t *testing.T) {
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg, native, records := resumable(t, path)
	for _, m := range []*host.Manifest{native, records} {
		lines := m.Files - 1
		for _, tt := range []struct {
			name string
			kept int
			do   func(text []byte) []byte
		}{
			{"torn", lines - 1, func(text []byte) []byte { return text[:len(text)-5] }},
			{"without its end", lines, func(text []byte) []byte { return text[:len(text)-1] }},
			{"nonsense behind", lines, func(text []byte) []byte { return append(text, "\x00\x00{}\n"...) }},
			{"another size", lines - 1, func(text []byte) []byte { return bytes.Replace(text, []byte(`"size":`), []byte(`"size":1`), 1) }},
			{"another digest", lines - 1, flipDigest},
			{"paths elsewhere", 0, func(text []byte) []byte {
				return bytes.ReplaceAll(text, []byte(`"path":"`), []byte(`"path":"../`))
			}},
			{"empty", 0, func([]byte) []byte { return nil }},
		} {
			t.Run(m.Kind+" "+tt.name, func(t *testing.T) {
				target := filepath.Join(t.TempDir(), "target")
				require.Error(t, breakOff(t, cfg, m.ID, target, m.Files, blob.Fail))
				journal := journalOf(leftover(t, target))
				text, err := os.ReadFile(journal)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(journal, tt.do(text), 0o644))
				require.Error(t, breakOff(t, cfg, m.ID, target, m.Files-tt.kept, blob.Fail), "adds lines to what is there")
				_, opened := goOn(t, cfg, m.ID, target)
				assert.Len(t, opened, 1)
				assert.Equal(t, want, dbtest.Digest(t, target))
			})
		}
	}
}

func flipDigest(text []byte) []byte {
	const field = `"digest":"`
	text[bytes.Index(text, []byte(field))+len(field)] ^= 1
	return text
}

// TestLeftoverOfAnother sweeps what cannot be gone on from.
func TestLeftoverOfAnother(t *testing.T) {
	path := shapes[0].make(t)
	cfg, native, records := resumable(t, path)
	target := filepath.Join(t.TempDir(), "target")
	require.Error(t, breakOff(t, cfg, native.ID, target, native.Files, blob.Fail))
	restored, opened := goOn(t, cfg, records.ID, target)
	assert.Len(t, opened, records.Files)
	assert.Zero(t, restored.Resumed)
	requireAlone(t, filepath.Dir(target), "target")

	for name, do := range map[string]func(text []byte) []byte{
		"no note":         func([]byte) []byte { return nil },
		"a newer version": func(text []byte) []byte { return bytes.Replace(text, []byte(`"version":1`), []byte(`"version":2`), 1) },
		"another repository": func(text []byte) []byte {
			return bytes.Replace(text, []byte(`"repository":"`), []byte(`"repository":"x`), 1)
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := filepath.Join(t.TempDir(), "target")
			require.Error(t, breakOff(t, cfg, native.ID, target, native.Files, blob.Fail))
			note := filepath.Join(leftover(t, target), ".rocksnap-restore", "attempt.json")
			text, err := os.ReadFile(note)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(note, do(text), 0o644))
			_, opened := goOn(t, cfg, native.ID, target)
			assert.Len(t, opened, native.Files)
			requireAlone(t, filepath.Dir(target), "target")
		})
	}
}

// TestLeftoverOfAnotherUser trusts nobody else's journal.
func TestLeftoverOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving a directory away takes root")
	}
	cfg, native, _ := resumable(t, shapes[0].make(t))
	target := filepath.Join(t.TempDir(), "target")
	require.Error(t, breakOff(t, cfg, native.ID, target, native.Files, blob.Fail))
	require.NoError(t, os.Chown(leftover(t, target), 1, 1))
	_, opened := goOn(t, cfg, native.ID, target)
	assert.Len(t, opened, native.Files)
	requireAlone(t, filepath.Dir(target), "target")
}

// TestLeftoverCountsAsRoom goes on where there is room for what is missing only,
// and keeps the leftover where there is not even that.
func TestLeftoverCountsAsRoom(t *testing.T) {
	folder := small(t)
	path := filepath.Join(t.TempDir(), "db")
	for i := range 4 {
		dbtest.Edit(t, path, rocks.Creation{Compression: "none"}, func(db *rocks.DB) {
			require.NoError(t, db.PutBlock("default", record(fmt.Sprint(i), strings.Repeat("v", 4<<20))))
			require.NoError(t, db.Flush())
		})
	}
	cfg, native, _ := resumable(t, path)
	target := filepath.Join(folder, "target")
	require.Error(t, breakOff(t, cfg, native.ID, target, native.Files, blob.Fail))
	left := leftover(t, target)

	release := occupy(t, folder, 4<<20)
	_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{native.ID}, Target: target})
	requireFull(t, err, "too little")
	assert.Contains(t, host.HintOf(err), "make room")
	assert.Contains(t, host.HintOf(err), "remove "+left)
	release()

	release = occupy(t, folder, 12<<20)
	_, opened := goOn(t, cfg, native.ID, target)
	assert.Len(t, opened, 1)
	release()
	require.NoError(t, os.RemoveAll(target))
}

// TestReadOnlyFolder can neither begin nor go on, and loses nothing by trying.
func TestReadOnlyFolder(t *testing.T) {
	folder := small(t)
	cfg, native, _ := resumable(t, shapes[0].make(t))
	readOnly := func(flag uintptr) {
		require.NoError(t, unix.Mount("", folder, "", unix.MS_REMOUNT|flag, ""))
	}
	target := filepath.Join(folder, "target")
	readOnly(unix.MS_RDONLY)
	_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{native.ID}, Target: target})
	require.ErrorIs(t, err, unix.EROFS)
	assert.Equal(t, host.CodeFailed, host.CodeOf(err))
	requireAlone(t, folder)
	readOnly(0)

	require.Error(t, breakOff(t, cfg, native.ID, target, native.Files, blob.Fail))
	readOnly(unix.MS_RDONLY)
	_, err = repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{native.ID}, Target: target})
	require.ErrorIs(t, err, unix.EROFS)
	readOnly(0)
	_, opened := goOn(t, cfg, native.ID, target)
	assert.Len(t, opened, 1)
}
