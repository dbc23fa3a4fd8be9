package rocks

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"unsafe"

	"github.com/linxGnu/grocksdb"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// instance is a database that RocksDB has open in this process.
type instance struct {
	db       *grocksdb.DB
	handles  []*grocksdb.ColumnFamilyHandle // to be destroyed with it
	families []family                       // by id
}

// family is a column family of an instance.
type family struct {
	id     uint32
	name   string
	native *C.rs_family
}

const defaultFamily = "default"

// opener is one of grocksdb's ways to open a database.
type opener func(database *grocksdb.Options, path string, names []string, families []*grocksdb.Options) (*grocksdb.DB, []*grocksdb.ColumnFamilyHandle, error)

// openInstance opens all column families of the MANIFEST with their stored
// options.
func openInstance(path string, set *version.Set, open opener) (*instance, error) {
	s, err := loadSettings(path)
	if err != nil {
		return nil, err
	}
	defer s.close()
	names := make([]string, len(set.Families))
	for i, f := range set.Families {
		names[i] = f.Name
	}
	options, err := s.of(names)
	if err != nil {
		return nil, err
	}
	// It may be stored by whoever created the database, and would keep everybody
	// from opening it again.
	s.database.SetErrorIfExists(false)
	db, handles, err := open(s.database, path, names, options)
	if err != nil {
		return nil, classify(err)
	}
	return newInstance(db, handles), nil
}

func newInstance(db *grocksdb.DB, handles []*grocksdb.ColumnFamilyHandle) *instance {
	in := &instance{db: db, handles: handles}
	for _, h := range handles {
		in.families = append(in.families, family{h.ID(), h.Name(), nativeFamily(h)})
	}
	if !slices.ContainsFunc(in.families, func(f family) bool { return f.id == 0 }) {
		in.families = append(in.families, family{0, defaultFamily, C.rs_default_family(in.native())})
	}
	slices.SortFunc(in.families, func(a, b family) int { return cmp.Compare(a.id, b.id) })
	return in
}

func (in *instance) native() *C.rocksdb_t { return nativeDB(in.db) }

// close ends an instance that this package opened.
func (in *instance) close() {
	for _, h := range in.handles {
		h.Destroy()
	}
	in.db.Close()
}

func (in *instance) family(name string) (family, error) {
	for _, f := range in.families {
		if f.name == name {
			return f, nil
		}
	}
	return family{}, fmt.Errorf("column family %q: %w", name, fs.ErrNotExist)
}

func (in *instance) familyByID(id uint32) (family, error) {
	for _, f := range in.families {
		if f.id == id {
			return f, nil
		}
	}
	return family{}, fmt.Errorf("column family %d: %w", id, fs.ErrNotExist)
}

func (in *instance) comparator(f family) string { return C.GoString(C.rs_comparator(f.native)) }

func (in *instance) property(f family, name string) string {
	cName := C.CString(name)
	defer C.free(unsafe.Pointer(cName))
	return take(C.rs_property(in.native(), f.native, cName))
}

// number returns a property that is a number; 0 when RocksDB does not know it.
func (in *instance) number(f family, name string) uint64 {
	n, _ := strconv.ParseUint(in.property(f, name), 10, 64)
	return n
}

// boundedFile is a live file with the user keys between which it lies.
type boundedFile struct {
	LiveFile
	smallest, largest []byte // nil for blob files
}

func (in *instance) live(f family) []boundedFile {
	var first *C.rs_file
	count := C.rs_live(in.native(), f.native, &first)
	defer C.rs_live_free(first, count)
	files := make([]boundedFile, 0, count)
	for _, c := range unsafe.Slice(first, count) {
		b := boundedFile{LiveFile: LiveFile{Family: f.name, Level: int(c.level), Size: int64(c.size)}}
		b.Name = fmt.Sprintf("%06d.blob", uint64(c.number))
		if c.level >= 0 {
			b.Name = fmt.Sprintf("%06d.sst", uint64(c.number))
			b.smallest = C.GoBytes(unsafe.Pointer(c.smallest), C.int(c.smallest_len))
			b.largest = C.GoBytes(unsafe.Pointer(c.largest), C.int(c.largest_len))
		}
		files = append(files, b)
	}
	return files
}

// size returns about how many bytes of tables hold a range of keys.
func (in *instance) size(f family, lower, upper []byte) int64 {
	low, lowLen := chars(lower)
	high, highLen := chars(upper)
	return int64(C.rs_size(in.native(), f.native, low, lowLen, high, highLen))
}

// first returns the first key that is not below another, or that one when it is not
// known soon.
func (in *instance) first(f family, lower []byte) []byte {
	low, lowLen := chars(lower)
	var length C.size_t
	key := C.rs_first(in.native(), f.native, low, lowLen, &length)
	if key == nil {
		return lower
	}
	defer C.free(unsafe.Pointer(key))
	return C.GoBytes(unsafe.Pointer(key), C.int(length))
}

// empty reports whether neither a live file nor a memtable holds an entry.
func (in *instance) empty() bool {
	for _, f := range in.families {
		buffered := in.number(f, "rocksdb.num-entries-active-mem-table") + in.number(f, "rocksdb.num-entries-imm-mem-tables")
		if buffered > 0 || in.hasFiles(f) {
			return false
		}
	}
	return true
}

// hasFiles reports whether a column family has a live file. Listing them all would
// take as long as there are many.
func (in *instance) hasFiles(f family) bool {
	if in.number(f, "rocksdb.num-blob-files") > 0 {
		return true
	}
	for level := 0; ; level++ {
		count := in.property(f, fmt.Sprintf("rocksdb.num-files-at-level%d", level))
		if count == "" || count != "0" { // there is no such level, or there is something in it
			return count != ""
		}
	}
}
