package main

import (
	"fmt"
	"io"
	"os"
	"sync"

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
		_ = c.print(event{"progress", p.Phase, p.BytesDone, p.BytesTotal, p.FilesDone, p.FilesTotal}) // the result follows, or fails as well
	}
}

// bar draws one line on a terminal: done, total, rate, time left, and for a
// snapshot how much is new and how much reused.
type bar struct {
	w     io.Writer
	mu    sync.Mutex // guards the rest
	phase string
	line  *progressbar.ProgressBar
}

func (b *bar) show(p host.Progress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.line == nil || b.phase != p.Phase {
		b.erase()
		b.phase, b.line = p.Phase, progressbar.NewOptions64(p.BytesTotal,
			progressbar.OptionSetWriter(b.w), progressbar.OptionShowBytes(true), progressbar.OptionShowTotalBytes(true),
			progressbar.OptionUseIECUnits(true), progressbar.OptionSetPredictTime(true), progressbar.OptionSetWidth(20),
			progressbar.OptionClearOnFinish(), // without a throttle: reports are rare enough
		)
	}
	b.line.Describe(describe(p))
	if p.BytesTotal != b.line.GetMax64() {
		b.line.ChangeMax64(p.BytesTotal)
	}
	_ = b.line.Set64(min(p.BytesDone, p.BytesTotal)) // a bar that cannot be drawn is no reason to stop
}

func describe(p host.Progress) string {
	if p.Phase != "snapshot" {
		return p.Phase
	}
	return fmt.Sprintf("%s: %s new, %s reused", p.Phase, size(p.BytesDone-p.BytesReused), size(p.BytesReused))
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
