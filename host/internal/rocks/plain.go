//go:build cgo

package rocks

import (
	"time"

	"github.com/linxGnu/grocksdb"
)

// PlainScan reads every record of a closed database as a Go program usually does, by
// the binding's iterator and three calls for each record, and returns the bytes of
// keys and values, and the time without opening the database. It is there to be
// compared with: [View.Scan] reads many records with one call.
func PlainScan(path string) (took time.Duration, bytes int64, err error) {
	options := grocksdb.NewDefaultOptions()
	defer options.Destroy()
	names, err := grocksdb.ListColumnFamilies(options, path)
	if err != nil {
		return 0, 0, err
	}
	all := make([]*grocksdb.Options, len(names))
	for i := range all {
		all[i] = options
	}
	db, families, err := grocksdb.OpenDbForReadOnlyColumnFamilies(options, path, names, all, false)
	if err != nil {
		return 0, 0, err
	}
	defer db.Close()
	for _, family := range families {
		defer family.Destroy() // RocksDB ends the process when it is closed before them
	}
	start := time.Now()
	for _, family := range families {
		n, err := plainScan(db, family)
		if err != nil {
			return 0, 0, err
		}
		bytes += n
	}
	return time.Since(start), bytes, nil
}

func plainScan(db *grocksdb.DB, family *grocksdb.ColumnFamilyHandle) (bytes int64, err error) {
	options := grocksdb.NewDefaultReadOptions()
	defer options.Destroy()
	it := db.NewIteratorCF(options, family)
	defer it.Close()
	for it.SeekToFirst(); it.Valid(); it.Next() {
		key, value := it.Key(), it.Value()
		bytes += int64(key.Size() + value.Size())
		key.Free()
		value.Free()
	}
	return bytes, it.Err()
}
