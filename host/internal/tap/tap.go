// Package tap stands between a strategy and its session: to watch the calls, to
// write them down, to answer them from what was written down, and to fail them.
package tap

import (
	"slices"

	"github.com/rocksnap/rocksnap/abi"
)

// Call is one call of a session. What a strategy gives and gets is kept as the
// bytes and numbers that would cross the boundary.
type Call struct {
	Name  string // of the method, as in files_read
	Phase abi.Phase
	Args  []int64 // the numbers that the strategy gave, in the method's order
	In    []byte  // the bytes that it gave; a key comes before its value
	Out   []byte  // the memory that is filled for it, or the value that it gets

	unit int // bytes of Out for each of the number returned; 0 when all of Out is the result
}

// Around stands around a call: it makes the call with do, or not, and returns what
// the strategy sees. The number is that of records, bytes or files; 0 where the
// call has none.
type Around func(c *Call, do func() (int, error)) (int, error)

// Chain returns an Around of several, the first of which is nearest to the
// strategy.
func Chain(list ...Around) Around {
	return func(c *Call, do func() (int, error)) (int, error) {
		for _, around := range slices.Backward(list) {
			inner := do
			do = func() (int, error) { return around(c, inner) }
		}
		return do()
	}
}

// Wrap puts an Around before a session, for the phase that the session is in. Log
// and Progress, and the ends of scans, are let through: they cannot fail. So is
// everything in a notification, which changes nothing any more.
func Wrap(s abi.Session, around Around) abi.Session {
	info, err := s.Info()
	if err == nil && info.Phase == abi.PhaseNotify {
		return s
	}
	return &session{Session: s, phase: info.Phase, around: around}
}

// Result returns the bytes that a strategy got from a call which returned n.
func (c *Call) Result(n int) []byte {
	if c.unit == 0 {
		return c.Out
	}
	return c.Out[:n*c.unit]
}

// answer puts a recorded result where the strategy looks for it.
func (c *Call) answer(result []byte) {
	if c.Out == nil {
		c.Out = slices.Clone(result)
		return
	}
	copy(c.Out, result)
}

// Names lists the calls that an [Around] meets.
var Names = []string{
	"info", "config", "state_get", "state_put", "state_delete", "meta_put", "checkpoint", "view", "bases_read",
	"base_use", "files_read", "file_name", "upload", "reuse", "fetch", "wait", "families_read", "family_name",
	"export", "scan_open", "scan_next", "stream_open", "stream_write", "stream_close", "pump",
}
