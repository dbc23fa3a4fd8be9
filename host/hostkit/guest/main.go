//go:build wasip1

// Command guest is the guest of package hostkit in Go. It knows the functions of
// the host as they are, without the SDK, so that it can hand over what the SDK
// never would.
package main

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"unsafe"

	"github.com/rocksnap/rocksnap/abi"
)

func main() {}

const (
	stepBytes  = 72
	pokeNumber = 1000
	peekNumber = 1001
)

var (
	arena   [64 << 10]byte
	text    [64 << 10]byte
	program []byte
	results [256]int32
)

// memoryPages returns the size of the memory in pages of 64 KiB.
func memoryPages() int32

func address(p *byte) uint32 { return uint32(uintptr(unsafe.Pointer(p))) }

func load() {
	n := callConfigGet(address(&text[0]), uint32(len(text)))
	var config struct{ Program string }
	if err := json.Unmarshal(text[:n], &config); err != nil {
		panic(err)
	}
	var err error
	if program, err = hex.DecodeString(config.Program); err != nil {
		panic(err)
	}
}

func argument(arg []byte) int64 {
	value := int64(binary.LittleEndian.Uint64(arg[8:]))
	switch binary.LittleEndian.Uint32(arg) {
	case 1:
		return int64(address(&arena[0])) + value
	case 2:
		return int64(memoryPages())<<16 + value
	case 3:
		return int64(results[value])
	}
	return value
}

// within is the place in the arena that an address stands for.
func within(a int64) []byte { return arena[uint32(a)-address(&arena[0]):] }

func run(phase abi.Phase) int32 {
	if program == nil {
		load()
	}
	for n := range len(program) / stepBytes {
		step := program[n*stepBytes:][:stepBytes]
		if binary.LittleEndian.Uint32(step) != uint32(phase) {
			continue
		}
		var a [4]int64
		for i := range a {
			a[i] = argument(step[8+16*i:])
		}
		switch call := binary.LittleEndian.Uint32(step[4:]); call {
		case pokeNumber:
			binary.LittleEndian.PutUint64(within(a[0]), uint64(a[1]))
		case peekNumber:
			results[n] = int32(binary.LittleEndian.Uint32(within(a[0])))
		default:
			results[n] = calls[call](a)
		}
		callProgress(uint64(n), uint64(int64(results[n])))
	}
	return 0
}

//go:wasmexport rocksnap_abi
func version() int32 { return abi.Version }

//go:wasmexport rocksnap_init
func initialise() int32 { return run(abi.PhaseInit) }

//go:wasmexport rocksnap_prepare
func prepare() int32 { return run(abi.PhasePrepare) }

//go:wasmexport rocksnap_snapshot
func snapshot() int32 { return run(abi.PhaseSnapshot) }

//go:wasmexport rocksnap_notify
func notify(int32, int64) int32 { return run(abi.PhaseNotify) }

//go:wasmexport rocksnap_restore
func restore() int32 { return run(abi.PhaseRestore) }
