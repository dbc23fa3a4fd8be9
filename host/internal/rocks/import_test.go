package rocks

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// A canonical snapshot is restored so: the same options, the same column
// families, and records in ranges of ascending keys.
func TestImport(t *testing.T) {
	source := open(t, filepath.Join(t.TempDir(), "db"), Creation{Families: []string{"a"}, Compression: "lz4"})
	text, err := os.ReadFile(newest(t, source.Path(), "OPTIONS-*"))
	require.NoError(t, err)
	want := map[string][]record{"default": sample(0, 1000, 300), "a": sample(0, 100, 50), "new": nil}

	path := filepath.Join(t.TempDir(), "target")
	db, err := Create(path, string(text), []string{"a", "new"})
	require.NoError(t, err)
	defer db.Close()
	for name, records := range want {
		half := len(records) / 2
		files := append(importAll(t, db, name, records[half:]), importAll(t, db, name, records[:half])...)
		require.NoError(t, db.Ingest(name, files))
		for _, file := range files {
			assert.NoFileExists(t, file)
		}
	}
	assert.Equal(t, want, content(t, db))
	options, err := os.ReadFile(newest(t, path, "OPTIONS-*"))
	require.NoError(t, err)
	assert.Contains(t, string(options), "compression=kLZ4Compression")
	live, err := db.Live()
	require.NoError(t, err)
	assert.Len(t, live, 4)
}

// importAll writes records in blocks of ten.
func importAll(t *testing.T, db *DB, family string, records []record) []string {
	t.Helper()
	w, err := NewTableWriter(db, family, filepath.Dir(db.Path()))
	require.NoError(t, err)
	defer w.Close()
	for len(records) > 0 {
		n := min(10, len(records))
		require.NoError(t, w.AddBlock(pack(records[:n]...)))
		records = records[n:]
	}
	files, err := w.Finish()
	require.NoError(t, err)
	return files
}

func TestTableWriterRolls(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Creation{Compression: "none"})
	w, err := NewTableWriter(db, "default", t.TempDir())
	require.NoError(t, err)
	defer w.Close()
	const blocks, perBlock = 160, 50 // 80 MB
	value := string(make([]byte, 10_000))
	for i := range blocks {
		block := sample(i*perBlock, (i+1)*perBlock, 0)
		for j := range block {
			block[j].value = value
		}
		require.NoError(t, w.AddBlock(pack(block...)))
	}
	files, err := w.Finish()
	require.NoError(t, err)
	require.Len(t, files, 2)
	info, err := os.Stat(files[0])
	require.NoError(t, err)
	assert.InDelta(t, tableBytes, info.Size(), 2<<20)
	require.NoError(t, db.Ingest("default", files))
	assert.Equal(t, "8000", db.Property("default", "rocksdb.estimate-num-keys"))
}

func TestTableWriterErrors(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Creation{})
	_, err := NewTableWriter(db, "absent", t.TempDir())
	assert.ErrorContains(t, err, `"absent"`)
	tests := map[string][]byte{
		"order":        pack(record{"b", ""}, record{"a", ""}),
		"short header": {1, 0, 0},
		"short record": pack(record{"a", "123"})[:10],
		"huge length":  {255, 255, 255, 255, 255, 255, 255, 255, 1},
	}
	for name, block := range tests {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			w, err := NewTableWriter(db, "default", dir)
			require.NoError(t, err)
			assert.Error(t, w.AddBlock(block))
			require.NoError(t, w.Close())
			require.NoError(t, w.Close())
			assert.Empty(t, names(t, dir))
			assert.ErrorIs(t, w.AddBlock(pack(record{"k", ""})), ErrClosed)
		})
	}
}

// A block is written as a whole or not at all.
func TestPutBlockErrors(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Creation{})
	whole := pack(record{"a", "1"}, record{"b", "2"})
	assert.ErrorIs(t, db.PutBlock("default", whole[:len(whole)-1]), abi.ECORRUPT)
	assert.ErrorContains(t, db.PutBlock("absent", whole), `"absent"`)
	assert.Empty(t, content(t, db)["default"])
	require.NoError(t, db.PutBlock("default", nil))
	require.NoError(t, db.PutBlock("default", whole))
	assert.Len(t, content(t, db)["default"], 2)
}

// An ingested table is known by the MANIFEST as any other.
func TestIngestOverExistingRecords(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Creation{})
	put(t, db, "default", record{"a", "old"}, record{"b", "old"})
	require.NoError(t, db.Ingest("default", tables(t, db, "default", []record{{"b", "new"}, {"c", "new"}})))
	want := []record{{"a", "old"}, {"b", "new"}, {"c", "new"}}
	assert.Equal(t, want, content(t, db)["default"])
	set, err := version.Read(db.Path())
	require.NoError(t, err)
	assert.Len(t, set.Families[0].Tables, 2)
	assert.Error(t, db.Ingest("default", []string{filepath.Join(t.TempDir(), "absent.sst")}))
	assert.NoError(t, db.Ingest("default", nil))
}

// A database that ingests few tables at a time has its own options in the end.
func TestLimitTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Creation{Families: []string{"other"}})
	stored := func() string {
		text, err := os.ReadFile(newest(t, path, "OPTIONS-*"))
		require.NoError(t, err)
		return string(text)
	}
	before := stored()
	require.Contains(t, before, "max_open_files=-1")
	end, err := db.LimitTables()
	require.NoError(t, err)
	require.Contains(t, stored(), "max_open_files=20")
	put(t, db, "other", sample(0, 10, 10)...)
	require.NoError(t, db.Close())
	require.NoError(t, end())
	require.Equal(t, before, stored())
	_, err = db.LimitTables()
	require.ErrorIs(t, err, ErrClosed)
}
