package tap

import (
	"fmt"
	"strings"
	"sync"
)

// Trace notes calls, one a line: its name and the number of what it returned.
// Waiting is one line however often the host wakes the strategy, since that
// depends on its workers. The zero value is ready for use.
type Trace struct {
	mu    sync.Mutex
	lines []string
	calls int
}

// Title adds a line of its own.
func (t *Trace) Title(line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, line)
}

// Around is an [Around] that notes the calls.
func (t *Trace) Around(c *Call, do func() (int, error)) (int, error) {
	n, err := do()
	line := fmt.Sprintf("%s %d", c.Name, n)
	switch {
	case err != nil:
		line = fmt.Sprintf("%s: %v", c.Name, err)
	case c.Name == "wait":
		line = c.Name
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	if line != "wait" || len(t.lines) == 0 || t.lines[len(t.lines)-1] != line {
		t.lines = append(t.lines, line)
	}
	return n, err
}

// Calls returns the number of calls, with every single wait.
func (t *Trace) Calls() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls
}

// Lines returns the lines so far.
func (t *Trace) Lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string(nil), t.lines...)
}

// String returns the lines, each with its end.
func (t *Trace) String() string { return strings.Join(t.Lines(), "\n") + "\n" }
