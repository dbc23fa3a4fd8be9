package config

import (
	"cmp"
	"time"

	"github.com/BurntSushi/toml"
)

// Limits bound one run of a strategy.
type Limits struct {
	// Memory of the module, 16MiB to 1GiB. The default, 64MiB, is several times
	// what a strategy written in Go needs for ten thousand files.
	Memory Size

	// Stack of the module's calls, outside its memory, 1MiB to 256MiB; 16MiB
	// unless given. A strategy has no reason to recurse deeply.
	Stack Size

	// Table bounds the elements of each of the module's tables, 0 to 1048576;
	// 65536 unless given. A program in Go has one for each of its functions.
	Table int

	// Compile is the deadline of compiling the module, 1s to 1h; 2m unless given.
	// Compiled code is kept, so that it counts once for each module.
	Compile Duration

	// Prepare is the deadline of the synchronous phase. The default, 10s, is
	// far above a checkpoint's usual milliseconds, so that it ends a hanging
	// strategy but not one on a busy disk; an application whose writers cannot
	// wait that long sets less.
	Prepare Duration

	// Snapshot is the deadline of the asynchronous phase. The default, 24h,
	// leaves room for terabytes over a slow link.
	Snapshot Duration

	// Control is the deadline of what moves no data, such as checking the
	// configuration or taking note of an event; 30s unless given.
	Control Duration

	// Grace is the time that a strategy has to end by itself after it was
	// cancelled, 0s to 1m; 2s unless given. Then it is killed.
	Grace Duration

	// Calls bounds the calls of the host in a second, 1000 or more; 200000
	// unless given. A module that calls more often is slowed down.
	Calls int

	// Handles bounds the scans and streams open at the same time, 1 to 64; 64
	// unless given.
	Handles int

	// Log bounds what a run may write to the log, 1KiB to 64MiB; 256KiB unless
	// given. What is beyond is dropped.
	Log Size

	// State bounds what the strategy may keep from one snapshot to the next, 0B
	// to 1MiB; 1MiB unless given.
	State Size
}

func defaultLimits() Limits {
	return Limits{
		Memory: 64 << 20, Stack: 16 << 20, Table: 65536,
		Compile: Duration(2 * time.Minute), Prepare: Duration(10 * time.Second), Snapshot: Duration(day),
		Control: Duration(30 * time.Second), Grace: Duration(2 * time.Second),
		Calls: 200000, Handles: maxHandles, Log: 256 << 10, State: maxState,
	}
}

func (v *Limits) fields(strategy string) []field {
	key := func(name string) toml.Key { return strategyKey(strategy, "limits", name) }
	return []field{
		{key("memory"), &v.Memory},
		{key("stack"), &v.Stack},
		{key("table"), &v.Table},
		{key("compile"), &v.Compile},
		{key("prepare"), &v.Prepare},
		{key("snapshot"), &v.Snapshot},
		{key("control"), &v.Control},
		{key("grace"), &v.Grace},
		{key("calls"), &v.Calls},
		{key("handles"), &v.Handles},
		{key("log"), &v.Log},
		{key("state"), &v.State},
	}
}

// The bounds of a module's memory: a Go program does not start with less, and a
// strategy, through which no data flows in bulk, has no use for more.
const (
	minMemory Size = 16 << 20
	maxMemory Size = 1 << 30
)

// The bounds of the other limits. Those of handles and state are the ABI's.
const (
	minStack   Size     = 1 << 20
	maxStack   Size     = 256 << 20
	maxTable            = 1 << 20
	minCompile Duration = Duration(time.Second)
	maxCompile Duration = Duration(time.Hour)
	maxGrace   Duration = Duration(time.Minute)
	minCalls            = 1000
	maxHandles          = 64
	minLog     Size     = 1 << 10
	maxLog     Size     = 64 << 20
	maxState   Size     = 1 << 20
)

func (l *loader) checkLimits(strategy string, v Limits) {
	key := func(name string) toml.Key { return strategyKey(strategy, "limits", name) }
	between(l, key("memory"), v.Memory, minMemory, maxMemory)
	between(l, key("stack"), v.Stack, minStack, maxStack)
	between(l, key("table"), v.Table, 0, maxTable)
	between(l, key("compile"), v.Compile, minCompile, maxCompile)
	between(l, key("grace"), v.Grace, 0, maxGrace)
	between(l, key("handles"), v.Handles, 1, maxHandles)
	between(l, key("log"), v.Log, minLog, maxLog)
	between(l, key("state"), v.State, 0, maxState)
	atLeast(l, key("calls"), v.Calls, minCalls)
	l.positive(key("prepare"), v.Prepare)
	l.positive(key("snapshot"), v.Snapshot)
	l.positive(key("control"), v.Control)
	if budget := l.config.Plugins.Memory; v.Memory > budget && !l.bad["plugins.memory"] {
		l.wrong(key("memory"), "", "must be at most memory under [plugins], %s, not %s", budget, v.Memory)
	}
}

func between[T cmp.Ordered](l *loader, key toml.Key, value, least, most T) {
	if value < least || value > most {
		l.wrong(key, "", "must be %v to %v, not %v", least, most, value)
	}
}

func atLeast[T cmp.Ordered](l *loader, key toml.Key, value, least T) {
	if value < least {
		l.wrong(key, "", "must be at least %v, not %v", least, value)
	}
}

func (l *loader) positive(key toml.Key, value Duration) {
	if value <= 0 {
		l.wrong(key, "", "must be longer than 0s")
	}
}
