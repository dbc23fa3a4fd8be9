package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// Shape says what a database looks like. Two databases of one shape have the same
// records in the same tables.
type Shape struct {
	Bytes        int64   // of keys and values together
	ValueBytes   int     // of each value
	Compressible float64 // share of each value that is zeroes
	TableBytes   int64   // of an SST; 0 for 32 MiB
	Families     int     // column families beside "default"
	Seed         uint64
}

// keyBytes is the length of every key: a word, and a number in the order of bytes.
const keyBytes = 4 + 8

// atRest are the options of a database that changes only when it is written to.
const atRest = `[Version]
  rocksdb_version=7.8.3
  options_file_version=1.1
[DBOptions]
[CFOptions "default"]
  disable_auto_compactions=true
  compression=kNoCompression
[TableOptions/BlockBasedTable "default"]
`

// Make makes a real database of a shape in a directory that is absent, by SSTs that
// are written outside of it and ingested: it is at rest, without compression, and
// all of it is flushed.
func (s Shape) Make(path string) error {
	err := s.make(path)
	if err != nil {
		err = fmt.Errorf("make database: %w", err)
	}
	return err
}

func (s Shape) make(path string) error {
	db, err := rocks.Create(path, atRest, s.families()[1:])
	if err != nil {
		return err
	}
	return errors.Join(s.fill(db, s.Bytes, s.Seed), db.Close())
}

// Rewrite writes a share of the records again, with other values that follow from
// the seed. The new tables lie above the old ones: as many bytes of new files as the
// share says.
func (s Shape) Rewrite(path string, share float64, seed uint64) error {
	db, err := rocks.Open(path, rocks.Options{})
	if err != nil {
		return fmt.Errorf("rewrite database: %w", err)
	}
	err = errors.Join(s.fill(db, int64(share*float64(s.Bytes)), seed), db.Close())
	if err != nil {
		return fmt.Errorf("rewrite database: %w", err)
	}
	return nil
}

func (s Shape) families() []string {
	names := []string{"default"}
	for i := range s.Families {
		names = append(names, fmt.Sprintf("family-%d", i+1))
	}
	return names
}

func (s Shape) recordBytes() int64 { return int64(keyBytes + s.ValueBytes) }

func (s Shape) tableRecords() int64 {
	size := s.TableBytes
	if size == 0 {
		size = 32 << 20
	}
	return max(size/s.recordBytes(), 1)
}

// fill writes the first records, in tables that go to the column families in turn.
func (s Shape) fill(db *rocks.DB, bytes int64, seed uint64) error {
	folder, err := os.MkdirTemp(filepath.Dir(db.Path()), "tables-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	records, families := max(bytes/s.recordBytes(), 1), s.families()
	tables := (records + s.tableRecords() - 1) / s.tableRecords()
	files := make([][]string, tables)
	var writers errgroup.Group
	writers.SetLimit(2)
	for i := range tables {
		writers.Go(func() (err error) {
			first := i * s.tableRecords()
			files[i], err = s.table(db, families[int(i)%len(families)], folder, seed, first, min(records, first+s.tableRecords()))
			return err
		})
	}
	if err := writers.Wait(); err != nil {
		return err
	}
	for f, family := range families {
		var own []string
		for i := f; i < len(files); i += len(families) {
			own = append(own, files[i]...)
		}
		if err := db.Ingest(family, own); err != nil {
			return err
		}
	}
	return nil
}

// table writes the records from first to before last.
func (s Shape) table(db *rocks.DB, family, folder string, seed uint64, first, last int64) ([]string, error) {
	w, err := rocks.NewTableWriter(db, family, folder)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	random := rand.NewChaCha8([32]byte{})
	var sowed [32]byte
	binary.LittleEndian.PutUint64(sowed[:], seed)
	binary.LittleEndian.PutUint64(sowed[8:], uint64(first))
	random.Seed(sowed)
	value := make([]byte, s.ValueBytes)
	noise := value[:s.ValueBytes-int(float64(s.ValueBytes)*s.Compressible)]
	var block []byte
	for n := first; n < last; n++ {
		random.Read(noise)
		block = canonical.AppendRecord(block, key(n), value)
		if len(block) < 1<<20 && n+1 < last {
			continue
		}
		if err := w.AddBlock(block); err != nil {
			return nil, err
		}
		block = block[:0]
	}
	return w.Finish()
}

func key(n int64) []byte { return binary.BigEndian.AppendUint64([]byte("key-"), uint64(n)) }
