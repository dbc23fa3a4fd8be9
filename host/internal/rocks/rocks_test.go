package rocks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// record is a key with its value.
type record struct{ key, value string }

func pack(records ...record) []byte {
	var b []byte
	for _, r := range records {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(r.key)))
		b = binary.LittleEndian.AppendUint32(b, uint32(len(r.value)))
		b = append(append(b, r.key...), r.value...)
	}
	return b
}

func unpack(t *testing.T, b []byte) (records []record) {
	t.Helper()
	for len(b) > 0 {
		require.GreaterOrEqual(t, len(b), 8)
		k, v := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		b = b[8:]
		records = append(records, record{string(b[:k]), string(b[k : k+v])})
		b = b[k+v:]
	}
	return records
}

// sample makes records with incompressible values, in key order.
func sample(from, to, size int) []record {
	random := rand.New(rand.NewPCG(uint64(from), uint64(size)))
	records := make([]record, 0, to-from)
	for i := from; i < to; i++ {
		value := make([]byte, size)
		for j := range value {
			value[j] = byte(random.Uint32())
		}
		records = append(records, record{fmt.Sprintf("key-%08d", i), string(value)})
	}
	return records
}

func put(t *testing.T, db *DB, family string, records ...record) {
	t.Helper()
	require.NoError(t, db.PutBlock(family, pack(records...)))
}

// open opens a database, creating it when missing, and closes it after the test.
func open(t *testing.T, path string, c Creation) *DB {
	t.Helper()
	db, err := Open(path, Options{CreateIfMissing: true, Creation: c})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func hold(t *testing.T, path string) *Offline {
	t.Helper()
	o, err := OpenOffline(path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

// viewer is what DB and Offline have in common.
type viewer interface{ View() (*View, error) }

// content reads everything through a view, by column family.
func content(t *testing.T, from viewer) map[string][]record {
	t.Helper()
	v, err := from.View()
	require.NoError(t, err)
	defer v.Close()
	all := make(map[string][]record)
	for _, f := range v.Families() {
		records, err := read(t, v, f.ID, nil, nil, 4<<10)
		require.NoError(t, err)
		all[f.Name] = records
	}
	return all
}

// read scans a range with a buffer that grows when it must.
func read(t *testing.T, v *View, family uint32, lower, upper []byte, size int) ([]record, error) {
	t.Helper()
	s, err := v.Scan(family, lower, upper)
	require.NoError(t, err)
	defer s.Close()
	var records []record
	for buf := make([]byte, size); ; {
		n, count, err := s.Next(buf)
		switch {
		case errors.Is(err, abi.EBUF):
			require.Greater(t, s.Need(), len(buf))
			buf = make([]byte, s.Need())
			continue
		case err != nil || n == 0:
			return records, err
		}
		block := unpack(t, buf[:n])
		require.Len(t, block, count)
		records = append(records, block...)
	}
}

// plain reads a column family with grocksdb's own iterator.
func plain(db *DB, handle *grocksdb.ColumnFamilyHandle) (records []record) {
	o := grocksdb.NewDefaultReadOptions()
	defer o.Destroy()
	it := db.instance.db.NewIteratorCF(o, handle)
	defer it.Close()
	for it.SeekToFirst(); it.Valid(); it.Next() {
		records = append(records, record{string(it.Key().Data()), string(it.Value().Data())})
	}
	return records
}

// restored opens a checkpoint as a database of its own.
func restored(t *testing.T, dir string) map[string][]record {
	t.Helper()
	db, err := Open(dir, Options{})
	require.NoError(t, err)
	defer db.Close()
	return content(t, db)
}

// image is a directory with everything that a writer could change in it.
func image(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	about, err := os.Stat(dir)
	require.NoError(t, err)
	files := map[string]string{".": about.ModTime().String()}
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		bytes, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		files[e.Name()] = fmt.Sprint(info.ModTime(), info.Mode(), bytes)
	}
	return files
}

// newest returns the path of the newest file that matches a pattern.
func newest(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	require.NoError(t, err)
	require.NotEmpty(t, found)
	return found[len(found)-1]
}
