package rocks

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// levels makes a database with records 0 to 1000 of each column family in tables
// of about 50 records on the last level, and calls edit before it is closed.
func levels(t *testing.T, c Creation, edit func(*DB)) string {
	t.Helper()
	c.Families, c.TableBytes, c.Compression = []string{"a", "b"}, 10<<10, "none"
	dir := filepath.Join(t.TempDir(), "db")
	db, err := Open(dir, Options{CreateIfMissing: true, Creation: c})
	require.NoError(t, err)
	for _, name := range []string{"default", "a", "b"} {
		put(t, db, name, sample(0, 1000, 200)...)
	}
	require.NoError(t, db.CompactAll())
	edit(db)
	require.NoError(t, db.Close())
	return dir
}

func key(i int) []byte { return []byte(sample(i, i+1, 0)[0].key) }

func TestTrim(t *testing.T) {
	whole := sample(0, 1000, 200)
	ranges := map[string]version.Range{
		"default": {Lower: key(300), Upper: key(600)},
		"a":       {Upper: []byte{}}, // nothing
	}
	for name, c := range map[string]struct {
		creation Creation
		edit     func(*DB)
		inWAL    []record
	}{
		"tables":     {edit: func(*DB) {}},
		"blob files": {creation: Creation{BlobFiles: true, MinBlobBytes: 100}, edit: func(*DB) {}},
		"a WAL": {edit: func(db *DB) {
			put(t, db, "default", record{"key-00000300+", "new"}, record{"key-1", "outside"})
		}, inWAL: []record{{"key-00000300+", "new"}}},
	} {
		for _, compact := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				dir := levels(t, c.creation, c.edit)
				options, err := OptionsText(dir)
				require.NoError(t, err)
				before, err := version.Read(dir)
				require.NoError(t, err)

				rewritten, err := Trim(dir, ranges, compact)
				require.NoError(t, err)
				assert.Positive(t, rewritten)
				after, err := version.Read(dir)
				require.NoError(t, err)
				logs, err := LiveLogs(dir, after)
				require.NoError(t, err)
				assert.Empty(t, logs)
				if compact {
					assert.NoError(t, outside(after, ranges))
					assert.Less(t, rewritten, size(before)/5, "the tables between the edges stay")
				} else {
					assert.ErrorIs(t, outside(after, ranges), ErrOutside)
				}

				text, err := OptionsText(dir)
				require.NoError(t, err)
				assert.Equal(t, options, text, "no option is changed for good")
				inside := append([]record{whole[300]}, c.inWAL...)
				want := map[string][]record{"default": append(inside, whole[301:600]...), "a": nil, "b": whole}
				assert.Equal(t, want, restored(t, dir))
			})
		}
	}
}

func size(set *version.Set) (bytes int64) { return added(&version.Set{}, set) }

// Where nothing lies outside, the database is not even opened.
func TestTrimLeavesAloneWhatFits(t *testing.T) {
	dir := levels(t, Creation{}, func(*DB) {})
	before := image(t, dir)
	rewritten, err := Trim(dir, map[string]version.Range{"default": {Lower: key(0), Upper: key(1000)}, "b": {}}, true)
	require.NoError(t, err)
	assert.Zero(t, rewritten)
	assert.Equal(t, before, image(t, dir))
}

func TestTrimErrors(t *testing.T) {
	dir := levels(t, Creation{}, func(*DB) {})
	db := open(t, dir, Creation{})
	_, err := Trim(dir, map[string]version.Range{"default": {Lower: key(1)}}, false)
	assert.ErrorIs(t, err, ErrLocked)
	require.NoError(t, db.Close())

	path := newest(t, dir, "OPTIONS-*")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	foreign := strings.ReplaceAll(string(text), "merge_operator=nullptr", "merge_operator={id=Unheard;}")
	require.NoError(t, os.WriteFile(path, []byte(foreign), 0o600))
	_, err = Trim(dir, map[string]version.Range{"default": {Lower: key(1)}}, false)
	assert.ErrorIs(t, err, ErrForeign)
}

func TestTrimRefusesOtherOrders(t *testing.T) {
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	o.SetCreateIfMissing(true)
	backwards := grocksdb.NewComparator("rocksdb.ReverseBytewiseComparator", func(a, b []byte) int { return bytes.Compare(b, a) })
	defer backwards.Destroy()
	o.SetComparator(backwards)
	dir := t.TempDir()
	db, err := grocksdb.OpenDb(o, dir)
	require.NoError(t, err)
	db.Close()
	_, err = Trim(dir, map[string]version.Range{"default": {Lower: key(1)}}, false)
	assert.ErrorIs(t, err, errors.ErrUnsupported)
	_, err = Trim(dir, map[string]version.Range{"default": {}}, false)
	assert.NoError(t, err, "no order is needed for all keys")
}

func TestDeleteAndCompactRange(t *testing.T) {
	whole := sample(0, 1000, 200)
	dir := levels(t, Creation{}, func(db *DB) {
		require.NoError(t, db.DeleteRange("a", key(100), key(900)))
		assert.Equal(t, append(whole[:100:100], whole[900:]...), content(t, db)["a"])
		assert.ErrorContains(t, db.DeleteRange("absent", nil, nil), `"absent"`)
		assert.ErrorContains(t, db.CompactRange("absent", nil, nil), `"absent"`)
		require.NoError(t, db.Flush())
		require.NoError(t, db.CompactRange("a", key(100), nil))
	})
	set, err := version.Read(dir)
	require.NoError(t, err)
	assert.Less(t, added(&version.Set{}, &version.Set{Families: set.Families[1:2]}), size(set)/8)
	assert.Equal(t, append(whole[:100:100], whole[900:]...), restored(t, dir)["a"])
}

// A deletion that is moved to the last level as a table of its own stays there: to
// be rid of it, that level has to be compacted as well.
func TestCompactRangeDropsDeletionsOfTheLastLevel(t *testing.T) {
	beyond := version.Range{Lower: []byte("x")}
	dir := levels(t, Creation{}, func(db *DB) {
		require.NoError(t, db.DeleteRange("a", []byte("x"), []byte("z")))
		require.NoError(t, db.CompactAll())
	})
	set, err := version.Read(dir)
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(set.Families[1].Tables, beyond.Touches))

	db := open(t, dir, Creation{})
	require.NoError(t, db.CompactRange("a", nil, nil))
	set, err = version.Read(dir)
	require.NoError(t, err)
	assert.False(t, slices.ContainsFunc(set.Families[1].Tables, beyond.Touches))
}

// A copy of links has a life of its own.
func TestCopyLinks(t *testing.T) {
	dir := levels(t, Creation{}, func(db *DB) { put(t, db, "b", record{"in the WAL", "too"}) })
	before, want := image(t, dir), restored(t, filepath.Clean(copied(t, dir)))
	delete(before, ".")

	to := copied(t, dir)
	_, err := Trim(to, map[string]version.Range{"default": {Lower: key(999)}}, true)
	require.NoError(t, err)
	after := image(t, dir)
	for _, ours := range []string{".", "LOCK"} {
		delete(after, ours)
		delete(before, ours)
	}
	assert.Equal(t, before, after)
	want["default"] = sample(999, 1000, 200)
	assert.Equal(t, want["b"], restored(t, to)["b"])
	assert.Len(t, restored(t, to)["default"], 1)
}

func copied(t *testing.T, dir string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	require.NoError(t, CopyLinks(dir, to))
	return to
}
