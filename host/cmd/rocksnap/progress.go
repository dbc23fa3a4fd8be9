package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/rocksnap/rocksnap/host"
)

// event is a progress line, as the JSON contract has it.
type event struct {
	Event      string `json:"event"`
	Phase      string `json:"phase"`
	BytesDone  int64  `json:"bytes_done"`
	BytesTotal int64  `json:"bytes_total"`
	FilesDone  int    `json:"files_done"`
	FilesTotal int    `json:"files_total"`
	Resumed    int64  `json:"bytes_resumed"` // of those done
}

// progress returns what shows how far a verb has come: a bar on a terminal, or
// with --json, for the verbs whose contract has them, lines. A nil report shows
// nothing. Call done before the result is printed.
func (c *cli) progress(lines bool) (report func(host.Progress), done func()) {
	switch {
	case c.quiet, c.json && !lines:
	case c.json:
		return c.events(), func() {}
	case isTerminal(c.err):
		b := &bar{w: c.err}
		return b.show, b.clear
	}
	return nil, func() {}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func (c *cli) events() func(host.Progress) {
	var mu sync.Mutex // reports come from any goroutine
	return func(p host.Progress) {
		mu.Lock()
		defer mu.Unlock()
		_ = c.print(event{"progress", p.Phase, p.BytesDone, p.BytesTotal, p.FilesDone, p.FilesTotal, p.BytesResumed}) // the result follows, or fails as well
	}
}

// resumption passes progress on, if report is not nil, and remembers how much of a
// snapshot an earlier attempt had stored, of which the manifest says nothing.
type resumption struct {
	report func(host.Progress)
	bytes  atomic.Int64
}

func (r *resumption) watch(p host.Progress) {
	r.bytes.Store(p.BytesResumed)
	if r.report != nil {
		r.report(p)
	}
}

// bar draws one line on a terminal: done, total, rate and time left of what has to
// be moved, and before it how much does not: it is reused, or an earlier attempt
// moved it.
type bar struct {
	w     io.Writer
	mu    sync.Mutex // guards the rest
	phase string
	line  *progressbar.ProgressBar
}

func (b *bar) show(p host.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	skipped := p.BytesReused + p.BytesResumed // it takes no time, and would spoil the rate
	total := p.BytesTotal - skipped
	if b.line == nil || b.phase != p.Phase {
		b.erase()
		b.phase, b.line = p.Phase, progressbar.NewOptions64(total,
			progressbar.OptionSetWriter(b.w), progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true),
			progressbar.OptionUseIECUnits(true), progressbar.OptionSetPredictTime(true), progressbar.OptionSetWidth(20),
			progressbar.OptionClearOnFinish(), // without a throttle: reports are rare enough
		)
	}
	b.line.Describe(describe(p))
	if total != b.line.GetMax64() {
		b.line.ChangeMax64(total)
	}
	_ = b.line.Set64(min(p.BytesDone-skipped, total)) // a bar that cannot be drawn is no reason to stop
}

func describe(p host.Progress) string {
	text := p.Phase
	if p.Phase == "snapshot" {
		text += fmt.Sprintf(": %s new, %s reused", size(p.BytesDone-p.BytesReused), size(p.BytesReused))
	}
	if p.BytesResumed > 0 {
		text += fmt.Sprintf(", %s resumed", size(p.BytesResumed))
	}
	return text
}

// clear removes the bar, so that the result starts on an empty line.
func (b *bar) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.erase()
}

func (b *bar) erase() {
	if b.line != nil {
		_ = b.line.Clear()
	}
}
