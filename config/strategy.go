package config

import "encoding/json"

// Strategy is the module of a strategy and what it may do and use.
type Strategy struct {
	Module        string          // file as written; the host searches for it
	SHA256        string          // of the module, in lower-case hex; empty when not pinned
	Keys          []string        // signers trusted for this strategy, beside [Plugins.Keys]
	AllowUnpinned bool            // whether a module from anywhere may go without a pin
	Allow         []string        // grants
	Isolation     Isolation       // [IsolationRuntime] unless given
	OnError       OnError         // what follows when the strategy fails
	Limits        Limits          // of one run
	Config        json.RawMessage // the strategy's own table, as JSON with sorted keys
}

// Isolation is what stands between a module and the host.
type Isolation string

// The isolations.
const (
	IsolationRuntime Isolation = "runtime" // the sandbox of the wasm runtime, in the host's process
	IsolationProcess Isolation = "process" // that sandbox within a process of its own, which the host can kill
)

// UnmarshalText accepts the name of an isolation.
func (i *Isolation) UnmarshalText(text []byte) error {
	return choose(i, text, IsolationRuntime, IsolationProcess)
}

// String returns the isolation as it stands in the file.
func (i Isolation) String() string { return string(i) }
