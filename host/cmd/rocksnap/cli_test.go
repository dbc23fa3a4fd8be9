package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

// Every verb explains itself: one line, exit statuses, and an example of itself.
func TestHelp(t *testing.T) {
	root := (&cli{out: io.Discard, err: io.Discard}).root()
	verbs := 0
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return // programs call it, and nobody else
		}
		verbs++
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			assert.NotEmpty(t, cmd.Short)
			assert.NotRegexp(t, `\.$`, cmd.Short)
			assert.Contains(t, cmd.Long, "Exit status: 0 ok, 1 failed, 2 ")
			assert.Contains(t, cmd.Example, cmd.CommandPath())
			for line := range strings.Lines(cmd.Long) {
				assert.LessOrEqual(t, len(line), 82, line)
			}
		})
		for _, below := range cmd.Commands() {
			walk(below)
		}
	}
	walk(root)
	assert.Equal(t, 37, verbs) // the groups and the root among them
}

func TestReport(t *testing.T) {
	problem := &host.Problem{Code: host.CodeNoRepository, Err: errors.New("no repository at x"), Hint: "create it"}
	misconfigured := config.Errors{
		{File: "f", Line: 1, Column: 2, Message: "first", Hint: "do a"},
		{File: "f", Line: 3, Column: 4, Message: "second"},
	}
	for _, c := range []struct {
		name   string
		err    error
		status int
		text   string
		json   string
	}{
		{"none", nil, 0, "", ""},
		{"plain", errors.New("a <b>"), 1, "rocksnap: a <b>\n", `{"schema":"rocksnap.error/1","code":"failed","message":"a <b>","hint":""}` + "\n"},
		{"wrapped", fmt.Errorf("open: %w", problem), 10, "rocksnap: open: no repository at x\n  hint: create it\n",
			`{"schema":"rocksnap.error/1","code":"no-repository","message":"open: no repository at x","hint":"create it"}` + "\n"},
		{"configuration", misconfigured, 2, "rocksnap: f:1:2: first\n  hint: do a\nrocksnap: f:3:4: second\n",
			`{"schema":"rocksnap.error/1","code":"usage","message":"f:1:2: first\nf:3:4: second","hint":"do a"}` + "\n"},
		{"joined", errors.Join(problem, errors.New("and this")), 10, "rocksnap: no repository at x\n  hint: create it\nrocksnap: and this\n",
			`{"schema":"rocksnap.error/1","code":"no-repository","message":"no repository at x\nand this","hint":"create it"}` + "\n"},
		{"several lines", errors.New("panic: x\ngoroutine 1"), 1, "rocksnap: panic: x\n  goroutine 1\n",
			`{"schema":"rocksnap.error/1","code":"failed","message":"panic: x\ngoroutine 1","hint":""}` + "\n"},
		{"interrupted", interrupted(problem), 130, "rocksnap: interrupted: no repository at x\n",
			`{"schema":"rocksnap.error/1","code":"interrupted","message":"interrupted: no repository at x","hint":""}` + "\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var text, document bytes.Buffer
			assert.Equal(t, c.status, (&cli{err: &text}).report(c.err))
			assert.Equal(t, c.text, text.String())
			assert.Equal(t, c.status, (&cli{err: &document, json: true}).report(c.err))
			if c.json != "" {
				assert.JSONEq(t, c.json, document.String())
			}
		})
	}
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB", 1<<63 - 1: "8.0 EiB",
	} {
		assert.Equal(t, want, size(n), n)
	}
}

func TestRate(t *testing.T) {
	assert.Empty(t, rate(111, 999*time.Millisecond))
	assert.Equal(t, ", 0.5 MB/s", rate(1e6, 2*time.Second))
}

// What others wrote cannot steer the terminal.
func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"":            "",
		`a "b" \ é 名`: `a "b" \ é 名`,
		"a\nb":        `"a\nb"`,
		"\x1b[2J":     `"\x1b[2J"`,
		"\xff":        `"\xff"`,
		"a\u202eb":    `"a\u202eb"`,
	} {
		assert.Equal(t, want, plain(text))
	}
}

// Warnings are for people; with --json, stderr has JSON only.
func TestLogger(t *testing.T) {
	for _, c := range []struct {
		cli   cli
		lines int
	}{
		{cli{}, 1},
		{cli{quiet: true}, 0},
		{cli{json: true}, 0},
		{cli{verbose: true}, 2},
		{cli{verbose: true, quiet: true}, 2},
		{cli{verbose: true, json: true}, 2},
	} {
		var out bytes.Buffer
		c.cli.err = &out
		log := c.cli.logger()
		log.Warn("odd", "slot", 1)
		log.Debug("usual")
		assert.Equal(t, c.lines, strings.Count(out.String(), "\n"), "%+v", c.cli)
		for line := range strings.Lines(out.String()) {
			assert.Equal(t, c.cli.json, json.Valid([]byte(line)), line)
		}
	}
}

// The bar shows rate and time left, and what is new and reused; it leaves an
// empty line behind. Reports come from any goroutine.
func TestBar(t *testing.T) {
	var out bytes.Buffer
	b := &bar{w: &out}
	const total = 100 << 20
	b.show(host.Progress{Phase: "snapshot", BytesTotal: total})
	time.Sleep(10 * time.Millisecond) // there is no rate without time
	var reports sync.WaitGroup
	for range 4 {
		reports.Go(func() {
			b.show(host.Progress{Phase: "snapshot", BytesDone: 60 << 20, BytesReused: 30 << 20, BytesResumed: 10 << 20, BytesTotal: total})
		})
	}
	reports.Wait()
	assert.Contains(t, out.String(), "snapshot: 30.0 MiB new, 30.0 MiB reused, 10.0 MiB resumed")
	assert.Regexp(t, `33% .*/s\) \[\d+s:\d+s\]`, out.String()) // 20 of 60 MiB
	b.show(host.Progress{Phase: "digest", BytesDone: 1 << 20, BytesTotal: total})
	assert.Contains(t, out.String(), "digest")
	b.show(host.Progress{Phase: "restore", BytesDone: total, BytesResumed: total, BytesTotal: total}) // nothing is left to do
	assert.NotContains(t, out.String(), "NaN")
	b.clear()
	lines := strings.Split(out.String(), "\r")
	require.Greater(t, len(lines), 2)
	assert.Empty(t, strings.TrimSpace(lines[len(lines)-1]))
}

// A snapshot's manifest does not say what was resumed; its progress does, whether
// anybody looks at it or not.
func TestResumption(t *testing.T) {
	var passed host.Progress
	for _, r := range []*resumption{{}, {report: func(p host.Progress) { passed = p }}} {
		r.watch(host.Progress{BytesResumed: 2})
		r.watch(host.Progress{BytesResumed: 5})
		assert.EqualValues(t, 5, r.bytes.Load())
	}
	assert.EqualValues(t, 5, passed.BytesResumed)
}

func TestStateDir(t *testing.T) {
	t.Setenv("HOME", "/home/a")
	t.Setenv("XDG_STATE_HOME", "relative")
	t.Setenv("ROCKSNAP_STATE_DIR", "")
	assert.Equal(t, "/home/a/.local/state/rocksnap", stateDir())
	t.Setenv("XDG_STATE_HOME", "/state")
	assert.Equal(t, "/state/rocksnap", stateDir())
	t.Setenv("ROCKSNAP_STATE_DIR", "here")
	assert.Equal(t, "here", stateDir())
}

// Progress is lines only where the contract has them.
func TestProgress(t *testing.T) {
	for _, c := range []struct {
		cli   cli
		lines bool
		shown bool
	}{
		{cli{json: true}, true, true},
		{cli{json: true}, false, false},
		{cli{json: true, quiet: true}, true, false},
		{cli{}, true, false}, // a buffer is no terminal
	} {
		var out bytes.Buffer
		c.cli.out, c.cli.err = &out, &out
		report, done := c.cli.progress(c.lines)
		assert.Equal(t, c.shown, report != nil)
		if report != nil {
			report(host.Progress{Phase: "verify", BytesDone: 1, BytesTotal: 2, FilesTotal: 3})
			assert.Equal(t, `{"event":"progress","phase":"verify","bytes_done":1,"bytes_total":2,"files_done":0,"files_total":3,"bytes_resumed":0}`+"\n", out.String())
		}
		done()
	}
}
