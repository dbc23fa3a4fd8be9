package rocks

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"unsafe"

	"github.com/linxGnu/grocksdb"
)

// cacheBytes is the size of the block cache, which is no stored option. Scans leave
// nothing but indexes in it.
const cacheBytes = 2 << 20

// settings are the stored options of a database. The C memory behind all of them
// belongs to latest.
type settings struct {
	latest   *grocksdb.LatestOptions
	database *grocksdb.Options
	families map[string]*grocksdb.Options
}

// loadSettings reads the newest OPTIONS file of a directory, leaving out what
// this library does not know.
func loadSettings(dir string) (*settings, error) {
	env, cache := grocksdb.NewDefaultEnv(), grocksdb.NewLRUCache(cacheBytes)
	defer env.Destroy()
	defer cache.Destroy()
	latest, err := grocksdb.LoadLatestOptions(dir, env, true, cache)
	if err != nil {
		return nil, fmt.Errorf("load options: %w", err)
	}
	// grocksdb offers the options of the column families, but has no way to get
	// at those of the database.
	opts := reflect.ValueOf(latest).Elem().FieldByName("opts").Addr()
	s := &settings{latest, (*grocksdb.Options)(opts.UnsafePointer()), make(map[string]*grocksdb.Options)}
	byPosition := latest.ColumnFamilyOpts()
	for i, name := range latest.ColumnFamilyNames() {
		s.families[name] = &byPosition[i]
	}
	return s, nil
}

func (s *settings) close() { s.latest.Destroy() }

// of returns the options of column families in their order.
func (s *settings) of(names []string) ([]*grocksdb.Options, error) {
	options := make([]*grocksdb.Options, len(names))
	for i, name := range names {
		options[i] = s.families[name]
		if options[i] == nil {
			return nil, fmt.Errorf("load options: column family %q has none stored", name)
		}
	}
	return options, nil
}

// checkSettings fails with [ErrForeign] when a read-write open would lose a
// stored option, and with [ErrLayout] when the options name a directory for the
// WAL. RocksDB drops the name where it is that of the database, letter by letter;
// any other, a symbolic link to it too, would travel with a snapshot and mean the
// old place after a restore.
func checkSettings(dir string) error {
	cDir := C.CString(dir)
	defer C.free(unsafe.Pointer(cDir))
	var cWAL *C.char
	err := failure(C.rs_check_options(cDir, &cWAL))
	if wal := take(cWAL); wal != "" {
		return fmt.Errorf("WAL in %s: %w", wal, ErrLayout)
	}
	if err == nil || strings.HasPrefix(err.Error(), "NotFound") { // no OPTIONS, nothing to lose
		return nil
	}
	return fmt.Errorf("%w: %w", ErrForeign, err)
}

// readLightly has a column family that is opened for reading only take no more memory
// when it has more tables.
func readLightly(family *grocksdb.Options) {
	C.rs_read_lightly((*C.rocksdb_options_t)(pointer(family)))
}

func sameDir(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// textSettings loads the text of an OPTIONS file, as [loadSettings] does.
func textSettings(text string) (*settings, error) {
	dir, err := os.MkdirTemp("", "rocksnap-options-")
	if err != nil {
		return nil, fmt.Errorf("load options: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(filepath.Join(dir, "OPTIONS-000001"), []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("load options: %w", err)
	}
	s, err := loadSettings(dir)
	if err != nil {
		return nil, err
	}
	// The places of the database that the text came from are not ours.
	s.database.SetWalDir("")
	s.database.SetDbLogDir("")
	return s, nil
}
