//go:build !wasip1

package abi

import "embed"

// Source holds what authors of strategies build against: the Go sources of this
// package and of its guest SDK, without their tests, and the bindings of the other
// languages. 'rocksnap plugin new' writes them into a new strategy's folder, which
// then builds without a network. No module carries it.
//
//go:embed abi.go errno.go records.go session.go transfer.go wire.go
//go:embed guest/call.go guest/data.go guest/exports_wasip1.go guest/guest.go
//go:embed guest/imports_stub.go guest/imports_wasip1.go guest/session.go
//go:embed rocksnap_v1.h rocksnap_v1.rs rocksnap_v1.ts rocksnap_v1.wat
var Source embed.FS
