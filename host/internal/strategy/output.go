package strategy

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/rocksnap/rocksnap/abi"
)

const (
	ringSize     = 8 << 10 // bytes kept of what a guest prints
	maxErrorText = 4 << 10 // bytes of the text of an error
)

// ring keeps the end of what a guest prints: a panic's text is nowhere else.
type ring struct{ kept []byte }

// Write never fails.
func (r *ring) Write(p []byte) (int, error) {
	r.kept = append(r.kept, p[max(0, len(p)-ringSize):]...)
	if excess := len(r.kept) - ringSize; excess > 0 {
		r.kept = append(r.kept[:0], r.kept[excess:]...)
	}
	return len(p), nil
}

// String returns what was kept, safe to print.
func (r *ring) String() string { return strings.TrimSpace(printable(r.kept, true)) }

// head keeps the beginning of what a child prints: the first line says why it died.
type head struct{ kept []byte }

// Write never fails.
func (h *head) Write(p []byte) (int, error) {
	h.kept = append(h.kept, p[:min(len(p), ringSize-len(h.kept))]...)
	return len(p), nil
}

// String returns what was kept, safe to print.
func (h *head) String() string { return strings.TrimSpace(printable(h.kept, true)) }

// printable makes text of the guest harmless to a terminal and to a reader of
// logs: one line cannot look like two, and no escape sequence survives.
func printable(text []byte, keepLines bool) string {
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(string(text), "\uFFFD") {
		switch {
		case keepLines && (r == '\n' || r == '\t'):
			b.WriteRune(r)
		case unicode.IsPrint(r) || r == ' ':
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// shown makes a name that a module gave fit for a line of text.
func shown(name string) string {
	const most = 200 // bytes
	if len(name) > most {
		name = name[:most] + "…"
	}
	return printable([]byte(name), false)
}

// writeLog passes a line on, until the budget is used up. What counts is what
// reaches the log: an escaped byte takes six.
func (i *Instance) writeLog(level abi.Level, line []byte) {
	if level < i.module.level {
		return
	}
	if i.logged > i.module.limits.LogBytes {
		i.dropped++
		return
	}
	text := printable(line[:min(len(line), abi.MaxLogLine)], false)
	i.logged += len(text) + 1
	if i.logged > i.module.limits.LogBytes {
		i.dropped++
		i.session.Log(abi.LevelWarn, fmt.Sprintf("log limit of %d bytes reached, further lines are dropped", i.module.limits.LogBytes))
		return
	}
	i.session.Log(min(level, abi.LevelError), text)
}

// tellDropped says at the end of a phase how much of it is missing in the log.
func (i *Instance) tellDropped() {
	if i.dropped > 0 {
		i.session.Log(abi.LevelWarn, fmt.Sprintf("%d lines were dropped in %s", i.dropped, i.phase))
	}
	i.dropped = 0
}
