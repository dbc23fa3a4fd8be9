package guest

import "github.com/rocksnap/rocksnap/abi"

//go:wasmexport rocksnap_abi
func exportABI() uint32 { return abi.Version }

//go:wasmexport rocksnap_init
func exportInit() int32 { return run(strategy.Init) }

//go:wasmexport rocksnap_prepare
func exportPrepare() int32 { return run(strategy.Prepare) }

//go:wasmexport rocksnap_snapshot
func exportSnapshot() int32 { return run(strategy.Snapshot) }

//go:wasmexport rocksnap_notify
func exportNotify(event uint32, slot uint64) int32 { return notify(event, slot) }

//go:wasmexport rocksnap_restore
func exportRestore() int32 { return restore() }
