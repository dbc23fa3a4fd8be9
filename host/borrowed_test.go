package host_test

import (
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// application is a program with a database of its own.
type application struct {
	db       *grocksdb.DB
	families map[string]*grocksdb.ColumnFamilyHandle
	write    *grocksdb.WriteOptions
}

// launch opens a database, or makes one, with small memtables and blob files.
func launch(t *testing.T, path string, families ...string) *application {
	t.Helper()
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	o.SetCreateIfMissing(true)
	o.SetCreateIfMissingColumnFamilies(true)
	o.SetWriteBufferSize(128 << 10)
	o.EnableBlobFiles(true)
	o.SetMinBlobSize(64)
	db, handles, err := grocksdb.OpenDbColumnFamilies(o, path, families, slices.Repeat([]*grocksdb.Options{o}, len(families)))
	require.NoError(t, err)
	a := &application{db: db, families: make(map[string]*grocksdb.ColumnFamilyHandle), write: grocksdb.NewDefaultWriteOptions()}
	for i, name := range families {
		a.families[name] = handles[i]
	}
	return a
}

func (a *application) lend() host.Option {
	var handles []*grocksdb.ColumnFamilyHandle
	for _, h := range a.families {
		handles = append(handles, h)
	}
	return host.WithDB(a.db, handles...)
}

func (a *application) quit() {
	for _, h := range a.families {
		h.Destroy()
	}
	a.write.Destroy()
	a.db.Close()
}

// count writes 1, 2, 3 … under the name of a writer, each number to both column
// families in one batch, until stop is closed. It tells the last one through
// written.
func (a *application) count(writer string, stop chan struct{}, written *atomic.Uint64) error {
	for i := uint64(1); ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		batch := grocksdb.NewWriteBatch()
		for _, h := range a.families {
			number := binary.BigEndian.AppendUint64(nil, i)
			batch.PutCF(h, []byte(writer), number)
			batch.PutCF(h, append([]byte(writer+"/"), number...), []byte(strings.Repeat("v", int(i%100))))
		}
		err := a.db.Write(a.write, batch)
		batch.Destroy()
		if err != nil {
			return err
		}
		written.Store(i)
		time.Sleep(100 * time.Microsecond)
	}
}

// TestBorrowedUnderWrites snapshots a database while its application writes. What
// is restored is what was written up to one instant between begin and return.
func TestBorrowedUnderWrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	a := launch(t, path, "default", "mirror")
	defer a.quit()
	cfg := dbtest.Config(t, path)
	h := open(t, cfg, a.lend())
	writers := []string{"one", "two"}
	written := make([]atomic.Uint64, len(writers))
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i, writer := range writers {
		all.Go(func() { assert.NoError(t, a.count(writer, stop, &written[i])) })
	}
	for round, strategy := range slices.Concat(dbtest.Builtin, dbtest.Builtin) {
		var before, after [2]uint64
		for i := range written {
			before[i] = written[i].Load()
		}
		op, err := h.Begin(t.Context(), host.SnapshotOptions{Strategy: strategy})
		require.NoError(t, err)
		for i := range written {
			after[i] = written[i].Load() + 1 // one may be written and not yet told
		}
		m, err := op.Wait()
		require.NoError(t, err, strategy)
		content := contents(t, restore(t, cfg, m.ID))
		assert.Equal(t, content["default"], content["mirror"], "%s %d", strategy, round)
		for i, writer := range writers {
			n := prefix(t, content["mirror"], writer)
			assert.LessOrEqual(t, before[i], n, "%s lost a write", strategy)
			assert.LessOrEqual(t, n, after[i], "%s has a write from later", strategy)
		}
	}
	close(stop)
	all.Wait()
	require.NoError(t, h.Close())
	for i, writer := range writers {
		require.NoError(t, a.db.PutCF(a.write, a.families["default"], []byte(writer), nil), "the host must not close it")
		assert.NotZero(t, written[i].Load())
	}
}

// prefix demands that a writer's numbers are 1 to n without a gap and returns n.
func prefix(t *testing.T, content map[string]string, writer string) uint64 {
	t.Helper()
	if content[writer] == "" {
		return 0
	}
	n := binary.BigEndian.Uint64([]byte(content[writer]))
	found := uint64(0)
	for key := range content {
		if strings.HasPrefix(key, writer+"/") {
			found++
		}
	}
	assert.Equal(t, n, found)
	for i := uint64(1); i <= n; i++ {
		_, ok := content[writer+"/"+string(binary.BigEndian.AppendUint64(nil, i))]
		require.True(t, ok, "%s %d of %d is missing", writer, i, n)
	}
	return n
}

// TestBorrowedInPart refuses a database of which a column family was not lent.
func TestBorrowedInPart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	a := launch(t, path, "default", "mirror")
	defer a.quit()
	require.NoError(t, a.db.PutCF(a.write, a.families["mirror"], []byte("k"), []byte("v")))
	cfg := dbtest.Config(t, path)
	h := open(t, cfg, host.WithDB(a.db, a.families["default"]))
	for _, strategy := range dbtest.Builtin { // what was lent looks empty
		_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
		assert.ErrorContains(t, err, "mirror")
	}
	require.NoError(t, a.db.PutCF(a.write, a.families["default"], []byte("k"), []byte("v")))
	_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "canonical"})
	assert.ErrorContains(t, err, "mirror")
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "native-full"})
	require.NoError(t, err, "files need no handles")
	assert.Equal(t, map[string]string{"k": "v"}, contents(t, restore(t, cfg, m.ID))["mirror"])
}

// contents reads a whole database that is closed.
func contents(t testing.TB, path string) map[string]map[string]string {
	t.Helper()
	db, err := rocks.OpenOffline(path)
	require.NoError(t, err)
	defer db.Close()
	view, err := db.View()
	require.NoError(t, err)
	defer view.Close()
	content := make(map[string]map[string]string)
	block := make([]byte, 1<<20)
	for _, f := range view.Families() {
		content[f.Name] = make(map[string]string)
		scan, err := view.Scan(f.ID, nil, nil)
		require.NoError(t, err)
		for {
			n, _, err := scan.Next(block)
			require.NoError(t, err)
			if n == 0 {
				break
			}
			for key, value := range canonical.Records(block[:n]) {
				content[f.Name][string(key)] = string(value)
			}
		}
		scan.Close()
	}
	return content
}
