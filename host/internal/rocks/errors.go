package rocks

import "errors"

// ErrNoRocksDB reports what takes RocksDB, of a program that was built without.
var ErrNoRocksDB = errors.New("this rocksnap was built without RocksDB")
