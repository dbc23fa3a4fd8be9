package rocks

// #cgo CXXFLAGS: -std=c++17 -O2
// #cgo LDFLAGS: -lrocksdb -lstdc++
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unsafe"

	"github.com/linxGnu/grocksdb"

	"github.com/rocksnap/rocksnap/abi"
)

// Built tells whether the program has RocksDB.
const Built = true

// Version returns the version of the RocksDB library at run time, as in "7.8.3".
func Version() string { return take(C.rs_version()) }

// pointer returns the C pointer that grocksdb keeps behind one of its values, in
// a field that it does not export.
func pointer(of any) unsafe.Pointer {
	return reflect.ValueOf(of).Elem().FieldByName("c").UnsafePointer()
}

func nativeDB(db *grocksdb.DB) *C.rocksdb_t { return (*C.rocksdb_t)(pointer(db)) }

func nativeFamily(handle *grocksdb.ColumnFamilyHandle) *C.rs_family {
	return C.rs_family_of((*C.rocksdb_column_family_handle_t)(pointer(handle)))
}

// take turns a C string into one of Go and frees it; NULL gives "".
func take(text *C.char) string {
	defer C.free(unsafe.Pointer(text))
	return C.GoString(text)
}

// failure turns a message of the shim into an error, and NULL into nil.
func failure(text *C.char) error {
	if text == nil {
		return nil
	}
	return classify(errors.New(take(text)))
}

// classify adds what errors.Is can find to an error that RocksDB gave as text
// (Status::ToString in util/status.cc).
func classify(err error) error {
	switch text := err.Error(); {
	case strings.HasPrefix(text, "Corruption"):
		return fmt.Errorf("%w: %w", err, abi.ECORRUPT)
	case strings.Contains(text, "/LOCK: "):
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case strings.Contains(text, "does not match existing comparator"):
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return err
}

// chars returns b as C sees it for the length of one call.
func chars(b []byte) (*C.char, C.size_t) {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(b))), C.size_t(len(b))
}
