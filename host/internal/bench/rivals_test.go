package bench

import (
	"context"
	"os"
	"path/filepath"
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
	assert.Equal(t, want, do(t, tools.Scan(made)).Bytes)
	dump, loaded := filepath.Join(folder, "dump"), filepath.Join(folder, "loaded")
	require.NoError(t, tools.LdbDump(t.Context(), db, dump))
	do(t, tools.LdbLoad(dump, loaded))
	assert.Equal(t, want, do(t, tools.Scan(loaded)).Bytes)
}

func TestCopyRivals(t *testing.T) {
	db, folder := small(t), t.TempDir()
	do(t, tools.Copy(db, filepath.Join(folder, "copy")))
	do(t, tools.LdbBackup(db, filepath.Join(folder, "backups")))
	do(t, tools.LdbRestore(filepath.Join(folder, "backups"), filepath.Join(folder, "restored")))
	do(t, tools.Checkpoint(db, filepath.Join(folder, "checkpoint")))
	want := do(t, tools.Scan(db)).Bytes
	for _, name := range []string{"copy", "restored", "checkpoint"} {
		assert.Equal(t, want, do(t, tools.Scan(filepath.Join(folder, name))).Bytes, name)
	}
}

func TestRestic(t *testing.T) {
	folder := t.TempDir()
	do(t, tools.ResticBackup(small(t), filepath.Join(folder, "repository"), Bucket{}, folder))
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
