package guest

import "unsafe"

// The functions of the host, as abi.Imports lists them; a test compares the two.
// They are literals because the compiler takes no others. The host reads or
// writes what a pointer refers to before the call returns, and keeps none.

//go:wasmimport rocksnap_v1 info
//go:noescape
func infoGet(buf unsafe.Pointer, limit uint32) int32

//go:wasmimport rocksnap_v1 config_get
//go:noescape
func configGet(buf unsafe.Pointer, limit uint32) int32

//go:wasmimport rocksnap_v1 error_get
//go:noescape
func errorGet(buf unsafe.Pointer, limit uint32) int32

//go:wasmimport rocksnap_v1 error_set
//go:noescape
func errorSet(ptr unsafe.Pointer, size uint32)

//go:wasmimport rocksnap_v1 log
//go:noescape
func log(level uint32, ptr unsafe.Pointer, size uint32)

//go:wasmimport rocksnap_v1 progress
func progress(done, total uint64)

//go:wasmimport rocksnap_v1 cancelled
func cancelled() int32

//go:wasmimport rocksnap_v1 state_get
//go:noescape
func stateGet(key unsafe.Pointer, keySize uint32, buf unsafe.Pointer, limit uint32) int32

//go:wasmimport rocksnap_v1 state_put
//go:noescape
func statePut(key unsafe.Pointer, keySize uint32, ptr unsafe.Pointer, size uint32) int32

//go:wasmimport rocksnap_v1 state_delete
//go:noescape
func stateDelete(key unsafe.Pointer, keySize uint32) int32

//go:wasmimport rocksnap_v1 meta_put
//go:noescape
func metaPut(key unsafe.Pointer, keySize uint32, ptr unsafe.Pointer, size uint32) int32

//go:wasmimport rocksnap_v1 checkpoint
func checkpoint() int32

//go:wasmimport rocksnap_v1 files_read
//go:noescape
func filesRead(start uint32, buf unsafe.Pointer, limit, recSize uint32) int32

//go:wasmimport rocksnap_v1 file_name
//go:noescape
func fileName(file uint32, buf unsafe.Pointer, limit uint32) int32

//go:wasmimport rocksnap_v1 bases_read
//go:noescape
func basesRead(start uint32, buf unsafe.Pointer, limit, recSize uint32) int32

//go:wasmimport rocksnap_v1 base_use
func baseUse(slot uint64) int32

//go:wasmimport rocksnap_v1 upload
//go:noescape
func upload(ptr unsafe.Pointer, count, recSize uint32) int32

//go:wasmimport rocksnap_v1 reuse
//go:noescape
func reuse(ptr unsafe.Pointer, count, recSize uint32) int32

//go:wasmimport rocksnap_v1 fetch
//go:noescape
func fetch(ptr unsafe.Pointer, count, recSize uint32) int32

//go:wasmimport rocksnap_v1 wait
//go:noescape
func wait(buf unsafe.Pointer, limit, recSize uint32) int32

//go:wasmimport rocksnap_v1 view
func view() int32

//go:wasmimport rocksnap_v1 families_read
//go:noescape
func familiesRead(start uint32, buf unsafe.Pointer, limit, recSize uint32) int32

//go:wasmimport rocksnap_v1 family_name
//go:noescape
func familyName(family uint32, buf unsafe.Pointer, limit uint32) int32

//go:wasmimport rocksnap_v1 export
//go:noescape
func export(ptr unsafe.Pointer, count, recSize uint32) int32

//go:wasmimport rocksnap_v1 scan_open
func scanOpen(family, firstGroup, lastGroup uint32) int32

//go:wasmimport rocksnap_v1 scan_next
//go:noescape
func scanNext(scan uint32, buf unsafe.Pointer, limit uint32) int32

//go:wasmimport rocksnap_v1 scan_need
func scanNeed(scan uint32) int32

//go:wasmimport rocksnap_v1 scan_close
func scanClose(scan uint32) int32

//go:wasmimport rocksnap_v1 stream_open
//go:noescape
func streamOpen(ptr unsafe.Pointer, recSize uint32) int32

//go:wasmimport rocksnap_v1 stream_write
//go:noescape
func streamWrite(stream uint32, ptr unsafe.Pointer, size uint32) int32

//go:wasmimport rocksnap_v1 stream_close
func streamClose(stream uint32) int32

//go:wasmimport rocksnap_v1 pump
//go:noescape
func pump(scan, stream uint32, buf unsafe.Pointer, limit uint32) int32
