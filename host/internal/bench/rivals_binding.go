//go:build cgo

package bench

import (
	"context"

	"github.com/linxGnu/grocksdb"
)

// ScanBinding reads every record by the iterator of the Go binding, as its
// documentation shows it.
func ScanBinding(db string) Contender {
	return Contender{Run: func(context.Context) (Measure, error) {
		options := grocksdb.NewDefaultOptions()
		defer options.Destroy()
		names, err := grocksdb.ListColumnFamilies(options, db)
		if err != nil {
			return Measure{}, err
		}
		all := make([]*grocksdb.Options, len(names))
		for i := range all {
			all[i] = options
		}
		opened, families, err := grocksdb.OpenDbForReadOnlyColumnFamilies(options, db, names, all, false)
		if err != nil {
			return Measure{}, err
		}
		defer opened.Close()
		for _, family := range families {
			defer family.Destroy() // RocksDB ends the process when it is closed before them
		}
		var bytes int64
		m, err := timed(0, func() error {
			for _, family := range families {
				n, err := scanBinding(opened, family)
				if err != nil {
					return err
				}
				bytes += n
			}
			return nil
		})
		m.Bytes = bytes
		return m, err
	}}
}

func scanBinding(db *grocksdb.DB, family *grocksdb.ColumnFamilyHandle) (bytes int64, err error) {
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
