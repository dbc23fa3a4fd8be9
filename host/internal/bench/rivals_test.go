package bench

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tools are those of the checkout; what is not there is skipped by name.
const tools = Tools("../../../bin/tools")

// do has a contender do its work once, and returns what it measured.
func do(t *testing.T, c Contender) (m Measure) {
	t.Helper()
	if c.Missing != "" {
		t.Skip(c.Missing)
	}
	if c.Before != nil {
		require.NoError(t, c.Before(t.Context()))
	}
	m, err := c.Run(t.Context())
	require.NoError(t, err)
	assert.Positive(t, m.Took)
	return m
}

// small makes a database of some MB.
func small(t *testing.T) string {
	t.Helper()
	db := filepath.Join(t.TempDir(), "db")
	require.NoError(t, Shape{Bytes: 4 << 20, ValueBytes: 1000, Compressible: 0.5, Seed: 1}.Make(db))
	return db
}

func TestBackupEngine(t *testing.T) {
	db, folder := small(t), t.TempDir()
	backups, again := filepath.Join(folder, "backups"), filepath.Join(folder, "db")
	first := do(t, tools.BackupEngineCreate(db, backups, 2, true))
	assert.Greater(t, first.Bytes, int64(2<<20))
	for range 2 {
		do(t, tools.BackupEngineAgain(db, backups, 1, true))
		metas, err := os.ReadDir(filepath.Join(backups, "meta"))
		require.NoError(t, err)
		assert.Len(t, metas, 2, "the one before the last is forgotten")
	}
	do(t, tools.BackupEngineVerify(backups))
	do(t, tools.BackupEngineRestore(backups, again, 2))
	assert.Equal(t, do(t, tools.Scan(db)).Bytes, do(t, tools.Scan(again)).Bytes)
}

func TestRecordRivals(t *testing.T) {
	db, folder := small(t), t.TempDir()
	want := do(t, ScanBinding(db)).Bytes
	assert.Equal(t, want, do(t, tools.Scan(db)).Bytes)
	made := filepath.Join(folder, "puts")
	do(t, tools.Puts(db, made))
	assert.Equal(t, optionsOf(t, db), optionsOf(t, made), "the new database has the options of the old one")
	assert.Equal(t, want, do(t, tools.Scan(made)).Bytes)
	dump, loaded := filepath.Join(folder, "dump"), filepath.Join(folder, "loaded")
	require.NoError(t, tools.LdbDump(t.Context(), db, dump))
	do(t, tools.LdbLoad(dump, loaded))
	assert.Equal(t, want, do(t, tools.Scan(loaded)).Bytes)
}

// optionsOf returns what the newest file of options of a database says of its default
// column family.
func optionsOf(t *testing.T, db string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(db, "OPTIONS-*"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	text, err := os.ReadFile(slices.Max(files))
	require.NoError(t, err)
	_, family, found := strings.Cut(string(text), `[CFOptions "default"]`)
	require.True(t, found)
	assert.Contains(t, family, "compression=kNoCompression")
	return family
}

func TestCopyRivals(t *testing.T) {
	db, folder := small(t), t.TempDir()
	do(t, tools.Copy(db, filepath.Join(folder, "copy")))
	do(t, tools.CopyEach(db, filepath.Join(folder, "each")))
	do(t, tools.LdbBackup(db, filepath.Join(folder, "backups")))
	do(t, tools.LdbRestore(filepath.Join(folder, "backups"), filepath.Join(folder, "restored")))
	do(t, tools.Checkpoint(db, filepath.Join(folder, "checkpoint")))
	want := do(t, tools.Scan(db)).Bytes
	for _, name := range []string{"copy", "each", "restored", "checkpoint"} {
		assert.Equal(t, want, do(t, tools.Scan(filepath.Join(folder, name))).Bytes, name)
	}
}

func TestBucketRivals(t *testing.T) {
	t.Setenv("RESTIC_PASSWORD_FILE", "absent") // a user's own settings count for nothing
	t.Setenv("RCLONE_DRY_RUN", "true")
	g := &Ground{Dir: t.TempDir(), Tools: tools}
	b, missing, err := g.bucket(t.Context())
	require.NoError(t, err)
	if missing != "" {
		t.Skip(missing)
	}
	t.Cleanup(func() { assert.NoError(t, g.endCase()) })
	db := small(t)
	want := do(t, ScanBinding(db)).Bytes
	folder, target := t.TempDir(), filepath.Join(t.TempDir(), "target")
	scanned := func(path string) int64 { return do(t, ScanBinding(path)).Bytes }
	t.Run("rclone", func(t *testing.T) {
		for range 2 {
			do(t, tools.RcloneCopy(db, b.client(), "rclone", folder))
		}
		do(t, tools.RcloneFetch(b.client(), "rclone", target, folder))
		assert.Equal(t, want, scanned(target))
	})
	t.Run("restic", func(t *testing.T) {
		do(t, tools.ResticBackup(db, b.client(), "restic", folder))
		do(t, tools.ResticRestore(db, b.client(), "restic", target, folder))
		assert.Equal(t, want, scanned(filepath.Join(target, db)))
	})
}

// TestLeftOut: one that leaves something out has not won.
func TestLeftOut(t *testing.T) {
	db, target := small(t), t.TempDir()
	lazy := asLarge(Contender{Run: func(context.Context) (Measure, error) { return Measure{}, nil }}, target, db)
	_, err := lazy.Run(t.Context())
	require.ErrorContains(t, err, "holds 0 bytes")
}

// TestMissing: a program that is not there is named, with what installs it.
func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	assert.Equal(t, "ldb is not here: 'make bench-deps' installs it", Tools(t.TempDir()).LdbBackup("a", "b").Missing)
}
