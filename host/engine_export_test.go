package host

// KindOf is for tests of RocksDB as a kind of database.
var KindOf = kindOf
