// Package abi is the contract between a snapshot strategy and its host.
//
// A strategy decides how a snapshot is taken: which files are uploaded, which
// are reused, which key-value records are exported. The host owns the database
// and every byte: it makes checkpoints, moves data, computes digests and, when
// the strategy is done, proves that the snapshot is complete before publishing
// it. The guest proposes, the host proves and commits.
//
// The same two interfaces stand on both sides of the sandbox. [Strategy] is
// implemented by an author's plain Go type and by the host's WebAssembly
// adapter. [Session] is implemented by the host and by the guest SDK. A
// strategy therefore runs natively, under a debugger, exactly as it runs as a
// module.
//
// ABI.md beside this file is the normative description of the wire form, for
// authors in every language. The tables in wire.go are its source.
package abi

import "context"

// The version of the contract. A change of Major changes the name of the import
// module, so that a mismatch fails when a module is linked; Minor grows with
// functions and record fields that older guests do not need.
const (
	Major = 1
	Minor = 0

	// Version is what a module's rocksnap_abi export returns.
	Version = Major<<16 | Minor

	// ImportModule is the name under which a module imports the host's
	// functions.
	ImportModule = "rocksnap_v1"
)

// Strategy is one algorithm for taking a snapshot. A fresh value (or a fresh
// instance of the module) serves exactly one snapshot and is then discarded, so
// fields may hold what one run needs and nothing leaks into the next. What must
// outlive a run belongs in the session's state.
//
// Any error ends the snapshot: nothing of it becomes visible.
type Strategy interface {
	// Init reads and checks the configuration. The database is not available.
	Init(ctx context.Context, s Session) error

	// Prepare captures the instant: it takes the checkpoint or the view, and
	// chooses the base of an increment. Writers of the application may be
	// waiting, so it must be short; the host enforces a deadline.
	Prepare(ctx context.Context, s Session) error

	// Snapshot moves the data of the captured instant. It runs beside the
	// application and may take hours. When it returns nil the host checks the
	// ledger of what was done and commits.
	Snapshot(ctx context.Context, s Session) error
}

// Notifier is implemented by a strategy that wants to hear what became of its
// snapshots. Notifications are idempotent, may arrive in any order, and may name
// snapshots that the strategy has never heard of.
type Notifier interface {
	Notify(ctx context.Context, s Session, n Notification) error
}

// Restorer is implemented by a strategy that steers its own restore. Without it
// the host fetches every file of the manifest. The host refuses to finish a
// restore for which a file was not fetched.
type Restorer interface {
	Restore(ctx context.Context, s Session) error
}

// Notification tells what became of the snapshot with the given catalog slot.
type Notification struct {
	Event Event
	Slot  uint64 // catalog slot of the snapshot; 0 for one that never had any
}

// Event is the kind of a [Notification].
type Event uint32

// The events, in wire order.
const (
	EventComplete Event = 1 // the snapshot is committed
	EventAborted  Event = 2 // the snapshot failed or was cancelled
	EventSubsumed Event = 3 // a newer snapshot replaced it, and it was removed
)

// String returns the event's name as it stands in logs.
func (e Event) String() string {
	switch e {
	case EventComplete:
		return "complete"
	case EventAborted:
		return "aborted"
	case EventSubsumed:
		return "subsumed"
	}
	return "unknown"
}

// Phase is the part of its life that a strategy is in. Each function of the ABI
// is allowed in some phases only; elsewhere it fails with [EPHASE].
type Phase uint32

// The phases, as bits, so that a function's phases are one value.
const (
	PhaseInit     Phase = 1 << iota // Strategy.Init
	PhasePrepare                    // Strategy.Prepare
	PhaseSnapshot                   // Strategy.Snapshot
	PhaseNotify                     // Notifier.Notify
	PhaseRestore                    // Restorer.Restore

	PhaseAny = PhaseInit | PhasePrepare | PhaseSnapshot | PhaseNotify | PhaseRestore
)

// String returns the phase's name as it stands in errors.
func (p Phase) String() string {
	switch p {
	case PhaseInit:
		return "init"
	case PhasePrepare:
		return "prepare"
	case PhaseSnapshot:
		return "snapshot"
	case PhaseNotify:
		return "notify"
	case PhaseRestore:
		return "restore"
	}
	return "several phases"
}
