package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/spf13/cobra"
)

func (c *cli) dbFillVerb() *cobra.Command {
	var to destination
	var f filling
	cmd := verb("fill", "Write generated records into a database", `Writes records with the keys 0 to N-1, padded with zeros, and values that follow
from the seed and compress to about half. Another seed overwrites the same keys
with other values; another prefix adds keys. The database is made when it is
missing.

Exit status: 0 ok, 1 failed, 2 usage, 11 locked, 130 interrupted.`,
		`  rocksnap db fill --db data/db --records 100000
  rocksnap db fill --db data/db --records 1000 --seed 2 --value-size 4096`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if f.records < 0 || f.keySize < 1 || f.keySize > maxKey || f.valueSize < 0 || f.valueSize > maxValue {
				return usage(cmd, "--records must not be negative, --key-size 1 to %d, --value-size 0 to %d", maxKey, maxValue)
			}
			return c.write(cmd, &to, "rocksnap.db-fill/1", f.produce)
		})
	to.flags(cmd.Flags())
	cmd.Flags().IntVar(&f.records, "records", 10_000, "`NUMBER` of records")
	cmd.Flags().IntVar(&f.keySize, "key-size", 16, "least number of digits of a key, the prefix apart")
	cmd.Flags().IntVar(&f.valueSize, "value-size", 100, "`BYTES` of a value")
	cmd.Flags().Uint64Var(&f.seed, "seed", 1, "`NUMBER` that the values follow from")
	return cmd
}

// Limits of db fill; a record that is far larger has no place in RocksDB.
const (
	maxKey   = 4 << 10
	maxValue = 64 << 20
)

// filling describes the records of db fill.
type filling struct {
	records   int
	keySize   int
	valueSize int
	seed      uint64
}

func (f *filling) produce(w *writer) error {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], f.seed)
	random := rand.NewChaCha8(seed)
	value := bytes.Repeat([]byte("rocksnap"), f.valueSize/8+1)[:f.valueSize]
	for i := range f.records {
		_, _ = random.Read(value[:f.valueSize/2]) // never fails
		if err := w.put(fmt.Sprintf("%0*d", f.keySize, i), value); err != nil {
			return err
		}
	}
	return nil
}
