package bench

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// memoryFolder is where Linux has a file system in memory: an fsync costs nothing
// there.
const memoryFolder = "/dev/shm"

// MakeTables makes a real database of count small SSTs, which hold a record each,
// in a directory that is absent: 10,000 take some seconds. They are made in memory,
// where there is a file system for it, and then copied, since RocksDB syncs each.
// The database is not synced.
func MakeTables(path string, count int) error {
	if err := makeTables(path, count); err != nil {
		return fmt.Errorf("make a database of %d tables: %w", count, err)
	}
	return nil
}

func makeTables(path string, count int) error {
	folder := memoryFolder
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		folder = ""
	}
	folder, err := os.MkdirTemp(folder, "rocksnap-tables-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	made := filepath.Join(folder, "db")
	db, err := rocks.Create(made, manyTables, nil)
	if err != nil {
		return err
	}
	err = addTables(db, folder, count)
	if closed := db.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return err
	}
	return os.CopyFS(path, os.DirFS(made))
}

// manyTables are the options of a database that is to keep its tables, and to open
// only some of them at a time: no process may have 100,000 files open.
const manyTables = `[Version]
  rocksdb_version=7.8.3
  options_file_version=1.1
[DBOptions]
  max_open_files=256
[CFOptions "default"]
  disable_auto_compactions=true
  compression=kNoCompression
[TableOptions/BlockBasedTable "default"]
`

// tablesAtOnce bounds how many tables RocksDB is given in one edit of its MANIFEST.
const tablesAtOnce = 10000

func addTables(db *rocks.DB, folder string, count int) error {
	var files []string
	for i := range count {
		file, err := oneTable(db, folder, uint64(i))
		if err != nil {
			return err
		}
		if files = append(files, file...); len(files) < tablesAtOnce && i+1 < count {
			continue
		}
		if err := db.Ingest("default", files); err != nil {
			return err
		}
		files = files[:0]
	}
	return nil
}

// oneTable writes the i-th table. Its key is spread by a multiplication, so that
// neighbours in the key space have nothing in common.
func oneTable(db *rocks.DB, folder string, i uint64) ([]string, error) {
	w, err := rocks.NewTableWriter(db, "default", folder)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	key := binary.BigEndian.AppendUint64([]byte("key-"), i*0x9e3779b97f4a7c15)
	if err := w.AddBlock(canonical.AppendRecord(nil, key, []byte("value of a table with one record"))); err != nil {
		return nil, err
	}
	return w.Finish()
}
