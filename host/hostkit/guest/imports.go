//go:build wasip1

package main

// The functions of the host, with addresses as numbers: that is the point of it.

//go:wasmimport rocksnap_v1 info
func callInfo(buf, limit uint32) int32

//go:wasmimport rocksnap_v1 config_get
func callConfigGet(buf, limit uint32) int32

//go:wasmimport rocksnap_v1 error_get
func callErrorGet(buf, limit uint32) int32

//go:wasmimport rocksnap_v1 error_set
func callErrorSet(ptr, length uint32)

//go:wasmimport rocksnap_v1 log
func callLog(level, ptr, length uint32)

//go:wasmimport rocksnap_v1 progress
func callProgress(done, total uint64)

//go:wasmimport rocksnap_v1 cancelled
func callCancelled() int32

//go:wasmimport rocksnap_v1 state_get
func callStateGet(key, keyLen, buf, limit uint32) int32

//go:wasmimport rocksnap_v1 state_put
func callStatePut(key, keyLen, ptr, length uint32) int32

//go:wasmimport rocksnap_v1 state_delete
func callStateDelete(key, keyLen uint32) int32

//go:wasmimport rocksnap_v1 meta_put
func callMetaPut(key, keyLen, ptr, length uint32) int32

//go:wasmimport rocksnap_v1 checkpoint
func callCheckpoint() int32

//go:wasmimport rocksnap_v1 files_read
func callFilesRead(start, buf, limit, recSize uint32) int32

//go:wasmimport rocksnap_v1 file_name
func callFileName(file, buf, limit uint32) int32

//go:wasmimport rocksnap_v1 bases_read
func callBasesRead(start, buf, limit, recSize uint32) int32

//go:wasmimport rocksnap_v1 base_use
func callBaseUse(slot uint64) int32

//go:wasmimport rocksnap_v1 upload
func callUpload(ptr, count, recSize uint32) int32

//go:wasmimport rocksnap_v1 reuse
func callReuse(ptr, count, recSize uint32) int32

//go:wasmimport rocksnap_v1 fetch
func callFetch(ptr, count, recSize uint32) int32

//go:wasmimport rocksnap_v1 wait
func callWait(buf, limit, recSize uint32) int32

//go:wasmimport rocksnap_v1 view
func callView() int32

//go:wasmimport rocksnap_v1 families_read
func callFamiliesRead(start, buf, limit, recSize uint32) int32

//go:wasmimport rocksnap_v1 family_name
func callFamilyName(family, buf, limit uint32) int32

//go:wasmimport rocksnap_v1 export
func callExport(ptr, count, recSize uint32) int32

//go:wasmimport rocksnap_v1 scan_open
func callScanOpen(family, firstGroup, lastGroup uint32) int32

//go:wasmimport rocksnap_v1 scan_next
func callScanNext(scan, buf, limit uint32) int32

//go:wasmimport rocksnap_v1 scan_need
func callScanNeed(scan uint32) int32

//go:wasmimport rocksnap_v1 scan_close
func callScanClose(scan uint32) int32

//go:wasmimport rocksnap_v1 stream_open
func callStreamOpen(ptr, recSize uint32) int32

//go:wasmimport rocksnap_v1 stream_write
func callStreamWrite(stream, ptr, length uint32) int32

//go:wasmimport rocksnap_v1 stream_close
func callStreamClose(stream uint32) int32

//go:wasmimport rocksnap_v1 pump
func callPump(scan, stream, buf, limit uint32) int32

// calls makes the calls, in the order of the table of the ABI.
var calls = [...]func(a [4]int64) int32{
	func(a [4]int64) int32 { return callInfo(uint32(a[0]), uint32(a[1])) },
	func(a [4]int64) int32 { return callConfigGet(uint32(a[0]), uint32(a[1])) },
	func(a [4]int64) int32 { return callErrorGet(uint32(a[0]), uint32(a[1])) },
	func(a [4]int64) int32 { callErrorSet(uint32(a[0]), uint32(a[1])); return 0 },
	func(a [4]int64) int32 { callLog(uint32(a[0]), uint32(a[1]), uint32(a[2])); return 0 },
	func(a [4]int64) int32 { callProgress(uint64(a[0]), uint64(a[1])); return 0 },
	func(a [4]int64) int32 { return callCancelled() },
	func(a [4]int64) int32 { return callStateGet(uint32(a[0]), uint32(a[1]), uint32(a[2]), uint32(a[3])) },
	func(a [4]int64) int32 { return callStatePut(uint32(a[0]), uint32(a[1]), uint32(a[2]), uint32(a[3])) },
	func(a [4]int64) int32 { return callStateDelete(uint32(a[0]), uint32(a[1])) },
	func(a [4]int64) int32 { return callMetaPut(uint32(a[0]), uint32(a[1]), uint32(a[2]), uint32(a[3])) },
	func(a [4]int64) int32 { return callCheckpoint() },
	func(a [4]int64) int32 { return callFilesRead(uint32(a[0]), uint32(a[1]), uint32(a[2]), uint32(a[3])) },
	func(a [4]int64) int32 { return callFileName(uint32(a[0]), uint32(a[1]), uint32(a[2])) },
	func(a [4]int64) int32 { return callBasesRead(uint32(a[0]), uint32(a[1]), uint32(a[2]), uint32(a[3])) },
	func(a [4]int64) int32 { return callBaseUse(uint64(a[0])) },
	func(a [4]int64) int32 { return callUpload(uint32(a[0]), uint32(a[1]), uint32(a[2])) },
	func(a [4]int64) int32 { return callReuse(uint32(a[0]), uint32(a[1]), uint32(a[2])) },
	func(a [4]int64) int32 { return callFetch(uint32(a[0]), uint32(a[1]), uint32(a[2])) },
	func(a [4]int64) int32 { return callWait(uint32(a[0]), uint32(a[1]), uint32(a[2])) },
	func(a [4]int64) int32 { return callView() },
	func(a [4]int64) int32 {
		return callFamiliesRead(uint32(a[0]), uint32(a[1]), uint32(a[2]), uint32(a[3]))
	},
	func(a [4]int64) int32 { return callFamilyName(uint32(a[0]), uint32(a[1]), uint32(a[2])) },
	func(a [4]int64) int32 { return callExport(uint32(a[0]), uint32(a[1]), uint32(a[2])) },
	func(a [4]int64) int32 { return callScanOpen(uint32(a[0]), uint32(a[1]), uint32(a[2])) },
	func(a [4]int64) int32 { return callScanNext(uint32(a[0]), uint32(a[1]), uint32(a[2])) },
	func(a [4]int64) int32 { return callScanNeed(uint32(a[0])) },
	func(a [4]int64) int32 { return callScanClose(uint32(a[0])) },
	func(a [4]int64) int32 { return callStreamOpen(uint32(a[0]), uint32(a[1])) },
	func(a [4]int64) int32 { return callStreamWrite(uint32(a[0]), uint32(a[1]), uint32(a[2])) },
	func(a [4]int64) int32 { return callStreamClose(uint32(a[0])) },
	func(a [4]int64) int32 { return callPump(uint32(a[0]), uint32(a[1]), uint32(a[2]), uint32(a[3])) },
}
