package rocks

import "errors"

// ErrNoRocksDB reports what takes RocksDB, of a program that was built without.
var ErrNoRocksDB = errors.New("this rocksnap was built without RocksDB")

// ErrLocked reports a database that another process, or another part of this
// one, has open.
var ErrLocked = errors.New("database is in use")

// ErrForeign reports a database that needs a comparator, merge operator or other
// code that is not part of RocksDB: only the application that brings it can open
// the database, and lend it with [Borrow].
var ErrForeign = errors.New("needs code of its application")

// ErrLayout reports a database that keeps files outside its directory.
var ErrLayout = errors.New("database keeps files outside its directory")

// ErrCrossDevice reports a checkpoint directory into which the database's files
// cannot be hard-linked. RocksDB would copy all of them instead.
var ErrCrossDevice = errors.New("not on the same file system")

// ErrNeedsWrite reports a checkpoint that has to flush a WAL, which takes a
// database that is open for writing.
var ErrNeedsWrite = errors.New("flush needs the database open for writing")

// ErrOutside reports a table that reaches over the range to which its database
// was to be trimmed.
var ErrOutside = errors.New("table reaches over the range")
