package rocks

// Family is a column family of a view.
type Family struct {
	ID         uint32
	Name       string
	Comparator string // name of the comparator
	Bytewise   bool   // keys are ordered as unsigned bytes
	Records    uint64 // estimated number of records
	Bytes      uint64 // estimated bytes on disk
}

// LiveFile is an SST or blob file that RocksDB calls live.
type LiveFile struct {
	Name   string
	Family string // name of the column family
	Level  int    // -1 for blob files
	Size   int64  // bytes
}
