package rocks

import (
	"time"

	"github.com/rocksnap/rocksnap/host/internal/expiry"
)

// Options says how [Open] opens.
type Options struct {
	CreateIfMissing bool
	Creation        Creation // for a database that is missing
	Expiry          Expiry
}

// Creation describes a new database. Zero values leave RocksDB's defaults.
type Creation struct {
	Families         []string // column families beside "default"
	Compression      string   // none, snappy, lz4 or zstd
	BlobFiles        bool     // keep large values in blob files
	MinBlobBytes     uint64   // least size of a value that goes into a blob file
	WriteBufferBytes uint64   // size of a memtable
	TableBytes       uint64   // target size of an SST
}

// Expiry says which records compactions drop. The zero Expiry has them drop none:
// what a rule of RocksDB's own, in the stored options, would drop stays too.
type Expiry struct {
	Rules expiry.Rules
	Clock func() time.Time // nil when there are no rules
}
