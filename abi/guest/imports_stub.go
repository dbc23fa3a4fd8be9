//go:build !wasip1

package guest

import (
	"unsafe"

	"github.com/rocksnap/rocksnap/abi"
)

// Off WebAssembly there is no host behind these functions.

const unsupported = -int32(abi.ENOSYS)

func infoGet(unsafe.Pointer, uint32) int32                          { return unsupported }
func configGet(unsafe.Pointer, uint32) int32                        { return unsupported }
func errorGet(unsafe.Pointer, uint32) int32                         { return unsupported }
func errorSet(unsafe.Pointer, uint32)                               {}
func log(uint32, unsafe.Pointer, uint32)                            {}
func progress(uint64, uint64)                                       {}
func cancelled() int32                                              { return 0 }
func stateGet(unsafe.Pointer, uint32, unsafe.Pointer, uint32) int32 { return unsupported }
func statePut(unsafe.Pointer, uint32, unsafe.Pointer, uint32) int32 { return unsupported }
func stateDelete(unsafe.Pointer, uint32) int32                      { return unsupported }
func metaPut(unsafe.Pointer, uint32, unsafe.Pointer, uint32) int32  { return unsupported }
func checkpoint() int32                                             { return unsupported }
func filesRead(uint32, unsafe.Pointer, uint32, uint32) int32        { return unsupported }
func fileName(uint32, unsafe.Pointer, uint32) int32                 { return unsupported }
func basesRead(uint32, unsafe.Pointer, uint32, uint32) int32        { return unsupported }
func baseUse(uint64) int32                                          { return unsupported }
func upload(unsafe.Pointer, uint32, uint32) int32                   { return unsupported }
func reuse(unsafe.Pointer, uint32, uint32) int32                    { return unsupported }
func fetch(unsafe.Pointer, uint32, uint32) int32                    { return unsupported }
func wait(unsafe.Pointer, uint32, uint32) int32                     { return unsupported }
func view() int32                                                   { return unsupported }
func familiesRead(uint32, unsafe.Pointer, uint32, uint32) int32     { return unsupported }
func familyName(uint32, unsafe.Pointer, uint32) int32               { return unsupported }
func export(unsafe.Pointer, uint32, uint32) int32                   { return unsupported }
func scanOpen(uint32, uint32, uint32) int32                         { return unsupported }
func scanNext(uint32, unsafe.Pointer, uint32) int32                 { return unsupported }
func scanNeed(uint32) int32                                         { return unsupported }
func scanClose(uint32) int32                                        { return unsupported }
func streamOpen(unsafe.Pointer, uint32) int32                       { return unsupported }
func streamWrite(uint32, unsafe.Pointer, uint32) int32              { return unsupported }
func streamClose(uint32) int32                                      { return unsupported }
func pump(uint32, uint32, unsafe.Pointer, uint32) int32             { return unsupported }
