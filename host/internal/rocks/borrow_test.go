package rocks

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// application opens a database as a program of its own would, with the families
// "default" and those named; handles are in that order.
func application(t *testing.T, path string, families ...string) (*grocksdb.DB, []*grocksdb.ColumnFamilyHandle) {
	t.Helper()
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	o.SetCreateIfMissing(true)
	o.SetCreateIfMissingColumnFamilies(true)
	names := withDefault(families)
	app, handles, err := grocksdb.OpenDbColumnFamilies(o, path, names, slices.Repeat([]*grocksdb.Options{o}, len(names)))
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, h := range handles {
			if pointer(h) != nil {
				h.Destroy()
			}
		}
		app.Close()
	})
	return app, handles
}

func lend(t *testing.T, app *grocksdb.DB, path string, handles []*grocksdb.ColumnFamilyHandle) *DB {
	t.Helper()
	db, err := Borrow(app, path, handles)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func TestBorrowedFamilyIsDropped(t *testing.T) {
	for _, destroy := range []bool{false, true} {
		path := filepath.Join(t.TempDir(), "db")
		app, handles := application(t, path, "keep", "gone")
		db := lend(t, app, path, handles)
		put(t, db, "gone", record{"k", "v"})
		require.NoError(t, app.DropColumnFamily(handles[2]))
		if destroy {
			handles[2].Destroy()
		}
		empty, err := db.Empty()
		require.NoError(t, err)
		assert.True(t, empty)
		put(t, db, "keep", record{"k", "v"})
		assert.Equal(t, map[string][]record{"default": nil, "keep": {{"k", "v"}}}, content(t, db))
		assert.Empty(t, db.Property("gone", "rocksdb.stats"))
		require.NoError(t, db.Flush())
		live, err := db.Live()
		require.NoError(t, err)
		require.Len(t, live, 1)
		assert.Equal(t, "keep", live[0].Family)
		again := lend(t, app, path, handles)
		assert.Len(t, content(t, again), 2, "lent after the drop")

		anew, err := app.CreateColumnFamily(grocksdb.NewDefaultOptions(), "gone")
		require.NoError(t, err)
		defer anew.Destroy()
		_, err = db.View()
		assert.ErrorContains(t, err, `"gone" was not lent`, "a name is no identity")
	}
}

func TestBorrowedFamilyIsNotLent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	app, handles := application(t, path)
	db := lend(t, app, path, handles)
	later, err := app.CreateColumnFamily(grocksdb.NewDefaultOptions(), "later")
	require.NoError(t, err)
	defer later.Destroy()
	_, err = db.Empty()
	assert.ErrorContains(t, err, `"later" was not lent`)
	_, err = db.View()
	assert.ErrorContains(t, err, `"later" was not lent`)
	put(t, db, "default", record{"k", "v"})
	empty, err := db.Empty()
	require.NoError(t, err)
	assert.False(t, empty, "whatever the other holds")
}

// Column families come and go while views are opened.
func TestBorrowedViewBesideDrops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	families := []string{"a", "b", "c", "d", "e", "f"}
	app, handles := application(t, path, families...)
	db := lend(t, app, path, handles)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, h := range handles[1:] {
			assert.NoError(t, app.DropColumnFamily(h))
		}
	}()
	for left := len(handles); left > 1; {
		found := content(t, db)
		assert.LessOrEqual(t, len(found), left)
		left = len(found)
	}
	<-done
}

func TestBorrowLayout(t *testing.T) {
	elsewhere := t.TempDir()
	tests := map[string]func(*grocksdb.Options){
		"WAL":    func(o *grocksdb.Options) { o.SetWalDir(elsewhere) },
		"tables": func(o *grocksdb.Options) { o.SetDBPaths([]*grocksdb.DBPath{grocksdb.NewDBPath(elsewhere, 1<<30)}) },
	}
	for name, set := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			o := grocksdb.NewDefaultOptions()
			defer o.Destroy()
			o.SetCreateIfMissing(true)
			set(o)
			app, err := grocksdb.OpenDb(o, path)
			require.NoError(t, err)
			defer app.Close()
			_, err = Borrow(app, path, nil)
			require.ErrorIs(t, err, ErrLayout)
			assert.ErrorContains(t, err, elsewhere)
		})
	}
}
