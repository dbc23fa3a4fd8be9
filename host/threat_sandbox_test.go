package host_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/pausetest"
)

// isolations are the ways to run a module.
var isolations = []string{"runtime", "process"}

// eachIsolation runs a test in both, with the line that says so.
func eachIsolation(t *testing.T, test func(t *testing.T, isolation string)) {
	for _, isolation := range isolations {
		t.Run(isolation, func(t *testing.T) { test(t, fmt.Sprintf("isolation = %q", isolation)) })
	}
}

// limits is the line with the limits of a module.
func limits(pairs string) string { return "limits = { " + pairs + " }" }

// quick are limits under which a module that never returns is soon gone.
const quick = `prepare = "200ms", snapshot = "200ms", control = "1s", grace = "0s"`

// looping is an export that never returns.
func looping(export string) string {
	return `(func (export "` + export + `") (result i32) (loop (br 0)) (i32.const 0))`
}

func threatLoop(t *testing.T) {
	for name, text := range map[string]string{
		"init":     looping("rocksnap_init"),
		"prepare":  looping("rocksnap_prepare"),
		"snapshot": looping("rocksnap_snapshot"),
		"version":  looping("rocksnap_abi"),
		"start":    `(func $start (loop (br 0))) (start $start)`,
		"runtime":  `(func (export "_initialize") (loop (br 0)))`,
	} {
		t.Run(name, func(t *testing.T) {
			eachIsolation(t, func(t *testing.T, isolation string) {
				newLab(t, intruder{file: hostileWAT(t, text), lines: []string{isolation, limits(quick)}}).requireFails("exceeded")
			})
		})
	}
	t.Run("C", func(t *testing.T) {
		eachIsolation(t, func(t *testing.T, isolation string) {
			newLab(t, intruder{file: hostileC(t, "loop.c"), lines: []string{isolation, limits(quick)}}).requireFails("snapshot exceeded 200ms")
		})
	})
	t.Run("Go", func(t *testing.T) {
		eachIsolation(t, func(t *testing.T, isolation string) {
			newLab(t, misdeed(t, "loop", isolation, limits(quick))).requireFails("snapshot exceeded 200ms")
		})
	})
}

// callTrees compute for hours and have no loop, at which a compiler could ask
// whether it is time to stop.
var callTrees = map[string]string{
	"recursion": `
(func $tree (param $depth i32) (result i32)
  (if (result i32) (i32.eqz (local.get $depth))
    (then (i32.const 1))
    (else (i32.add
      (call $tree (i32.sub (local.get $depth) (i32.const 1)))
      (call $tree (i32.sub (local.get $depth) (i32.const 1)))))))
(func (export "rocksnap_snapshot") (result i32) (call $tree (i32.const 44)))`,
	"layers": layers(44),
}

// layers are functions each of which calls the next one twice.
func layers(count int) string {
	var text strings.Builder
	for n := range count {
		fmt.Fprintf(&text, "(func $f%d (result i32) (i32.add (call $f%d) (call $f%d)))\n", n, n+1, n+1)
	}
	fmt.Fprintf(&text, "(func $f%d (result i32) (i32.const 1))\n", count)
	return text.String() + `(func (export "rocksnap_snapshot") (result i32) (call $f0))`
}

// threatCallTree demands that the host stays responsive meanwhile, too: machine
// code that asks nothing would hold up the collector, and with it every goroutine.
func threatCallTree(t *testing.T) {
	for name, text := range callTrees {
		t.Run(name, func(t *testing.T) {
			eachIsolation(t, func(t *testing.T, isolation string) {
				l := newLab(t, intruder{file: hostileWAT(t, text), lines: []string{isolation, limits(quick)}})
				l.requireFails("snapshot exceeded 200ms") // compiles it, too
				var took, pause time.Duration
				for range 5 { // the machine may be busy with something else
					begun, longest := time.Now(), pausetest.Collect()
					_, err := l.attack()
					took, pause = time.Since(begun), longest()
					l.requireRefused(err, "snapshot exceeded 200ms")
					if took < 500*time.Millisecond && pause < 50*time.Millisecond {
						break
					}
				}
				assert.Less(t, took, 500*time.Millisecond, "from the start to the kill, of which it was given 200 ms")
				assert.Less(t, pause, 50*time.Millisecond, "of the collector")
				l.requireHealthy()
			})
		})
	}
}

func threatRecursion(t *testing.T) {
	most := map[string]int{isolations[0]: 256 << 20, isolations[1]: 64 << 20}
	for name, build := range map[string]func(*testing.T) string{
		"C": func(t *testing.T) string { return hostileC(t, "recursion.c") },
		"WAT": func(t *testing.T) string {
			return hostileWAT(t, `(func $f (export "rocksnap_snapshot") (result i32) (i32.add (call $f) (call $f)))`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachIsolation(t, func(t *testing.T, isolation string) {
				l := newLab(t, intruder{file: build(t), lines: []string{isolation, limits(`stack = "8MiB"`)}})
				stop := watchResident(t)
				_, err := l.attack()
				grown := stop() - l.resident
				if raced() { // whose own memory ends first in a process that has little
					l.requireRefused(err)
				} else {
					l.requireRefused(err, "stack")
				}
				bound := most[isolations[strings.Count(isolation, "process")]]
				assert.True(t, within(grown, bound), "%d bytes of memory that the host took meanwhile", grown)
				l.requireHealthy()
			})
		})
	}
}

// watchResident samples the memory of the process until it is told to stop.
func watchResident(t *testing.T) (most func() int) {
	stop, result := make(chan struct{}), make(chan int)
	go func() {
		highest := 0
		for {
			select {
			case <-stop:
				result <- highest
				return
			case <-time.After(time.Millisecond):
				highest = max(highest, residentNow())
			}
		}
	}()
	return func() int { close(stop); return <-result }
}

// growing grows its memory until there is no more, writes to all of it, and tells
// the pages that it got.
const growing = `
(import "rocksnap_v1" "error_set" (func $error_set (param i32 i32)))
(memory (export "memory") 1)
(func (export "rocksnap_snapshot") (result i32)
  (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
  (memory.fill (i32.const 0) (i32.const 120) (i32.shl (memory.size) (i32.const 16)))
  (i32.sub (i32.const 0) (i32.const 7)))`

func threatMemory(t *testing.T) {
	t.Run("at the start", func(t *testing.T) {
		file := hostileWAT(t, `(memory (export "memory") 4096)`)
		newLab(t, intruder{file: file}).requireFails("needs 262144 KiB of memory to start", "limits.memory")
	})
	t.Run("by and by", func(t *testing.T) {
		l := newLab(t, intruder{file: hostileWAT(t, growing), lines: []string{limits(`memory = "32MiB"`)}})
		stop := watchResident(t)
		_, err := l.attack()
		grown := stop() - l.resident
		l.requireRefused(err, "limit reached")
		assert.True(t, within(grown, 96<<20), "%d bytes of memory that the host took meanwhile", grown)
		l.requireHealthy()
	})
	t.Run("of all together", func(t *testing.T) {
		l := newLab(t, intruder{
			file:  hostileWAT(t, `(memory (export "memory") 640)`+looping("rocksnap_snapshot")),
			lines: []string{limits(`memory = "64MiB", grace = "0s"`)},
			also:  []string{"[plugins]", `memory = "64MiB"`},
		})
		first, err := l.Begin(t.Context(), host.SnapshotOptions{Strategy: "hostile"})
		require.NoError(t, err)
		_, err = l.attack() // 40 MiB beside 40 MiB
		l.requireRefused(err, "[plugins] memory")
		first.Cancel()
		_, err = first.Wait()
		require.ErrorIs(t, err, context.Canceled)
		l.requireHealthy()
	})
	t.Run("Go", func(t *testing.T) {
		newLab(t, misdeed(t, "hoard", limits(`memory = "32MiB"`))).requireFails("out of memory")
	})
}

func threatTables(t *testing.T) {
	for name, text := range map[string]struct{ text, reason string }{
		"large":    {`(table 100000000 funcref)`, "table"},
		"many":     {strings.Repeat("(table 60000 funcref)\n", 100), "table"},
		"grown":    {`(table 1 funcref) (func (export "grow") (result i32) (table.grow 0 (ref.null func) (i32.const 100000000)))`, ""},
		"imported": {`(import "env" "table" (table 1 funcref))`, "import env.table"},
	} {
		t.Run(name, func(t *testing.T) {
			newLab(t, intruder{file: hostileWAT(t, text.text)}).requireFails("load strategy", text.reason)
		})
	}
}

// bomb is a small module that takes a compiler very long: one function with
// loops in loops, in which thousands of locals are alive.
func bomb(locals, depth int) string {
	var text strings.Builder
	text.WriteString("(func (export \"bomb\") (result i32) (local" + strings.Repeat(" i32", locals) + ")\n")
	for n := range depth {
		fmt.Fprintf(&text, "(loop $l%d (local.set %d (i32.add (local.get %d) (local.get %d)))\n", n, n%locals, (n*7+1)%locals, (n*13+2)%locals)
	}
	for n := range locals {
		fmt.Fprintf(&text, "(local.set %d (i32.add (local.get %d) (i32.const 1)))\n", n, (n+1)%locals)
	}
	for n := depth - 1; n >= 0; n-- {
		fmt.Fprintf(&text, "(br_if $l%d (local.get %d)))\n", n, n%locals)
	}
	return text.String() + "(local.get 0))"
}

func threatCompileBomb(t *testing.T) {
	for name, text := range map[string]string{
		"the largest": bomb(3000, 400),
		"many small":  strings.Repeat(strings.Replace(bomb(500, 100), `(export "bomb")`, "", 1)+"\n", 200),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, intruder{file: hostileWAT(t, text), lines: []string{limits(`compile = "2s"`)}})
			begun, stop := time.Now(), watchResident(t)
			_, err := l.attack()
			took, grown := time.Since(begun), stop()-l.resident
			assert.True(t, within(grown, 256<<20), "%d bytes of memory that the host took meanwhile", grown)
			assert.Less(t, took, 10*time.Second)
			if err != nil { // a fast machine may even compile the small ones
				l.requireRefused(err, "load strategy")
			}
			l.requireHealthy()
		})
	}
}

func threatMalformed(t *testing.T) {
	good, err := os.ReadFile(hostileWAT(t, ""))
	require.NoError(t, err)
	flipped := append([]byte{}, good...)
	flipped[len(flipped)/2] ^= 0xff
	for name, file := range map[string][]byte{
		"empty":                 {},
		"text":                  []byte("#!/bin/sh\necho I am no module\n"),
		"cut":                   good[:len(good)-5],
		"flipped":               flipped,
		"with more at the end":  append(append([]byte{}, good...), 1, 2, 3),
		"a component":           []byte("\x00asm\x0d\x00\x01\x00"),
		"of a later version":    []byte("\x00asm\x02\x00\x00\x00"),
		"of endless sections":   append(append([]byte{}, good[:8]...), 0xff, 0xff, 0xff, 0xff, 0x0f),
		"of 100 million types":  append(append([]byte{}, good[:8]...), 1, 6, 0x80, 0xc2, 0xd7, 0x2f, 0x60, 0),
		"with a wrong prepare":  nil,
		"without any snapshot":  nil,
		"of a wrong import":     nil,
		"of an unknown import":  nil,
		"a command, no reactor": nil,
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "hostile.wasm")
			switch name {
			case "with a wrong prepare":
				path = hostileWAT(t, `(func (export "rocksnap_prepare") (param i64) (result i32) (i32.const 0))`)
			case "without any snapshot":
				path = assembled(t, `(module (memory (export "memory") 1))`)
			case "of a wrong import":
				path = hostileWAT(t, `(import "rocksnap_v1" "wait" (func (param i64) (result i32)))`)
			case "of an unknown import":
				path = hostileWAT(t, `(import "rocksnap_v1" "open_path" (func (param i32 i32) (result i32)))`)
			case "a command, no reactor":
				path = assembled(t, `(module (memory (export "memory") 1) (func (export "_start")))`)
			default:
				require.NoError(t, os.WriteFile(path, file, 0o600))
			}
			l := newLab(t, intruder{file: path})
			begun := time.Now()
			l.requireFails("hostile")
			assert.Less(t, time.Since(begun), time.Minute)
		})
	}
}

// reading is a module that hands a pointer and a length to the host.
func reading(call, params, args string) string {
	return fmt.Sprintf(`(import "rocksnap_v1" %q (func $call (param %s) (result i32)))
(func (export "rocksnap_prepare") (result i32) (call $call %s))`, call, params, args)
}

// threatPointers picks one call of each form; package hostkit has them all.
func threatPointers(t *testing.T) {
	for name, text := range map[string]string{
		"past the end":           reading("config_get", "i32 i32", "(i32.const 65537) (i32.const 1)"),
		"across the end":         reading("config_get", "i32 i32", "(i32.const 65530) (i32.const 100)"),
		"wraps around":           reading("config_get", "i32 i32", "(i32.const 8) (i32.const -1)"),
		"both at most":           reading("state_delete", "i32 i32", "(i32.const -1) (i32.const -1)"),
		"second pointer":         reading("meta_put", "i32 i32 i32 i32", "(i32.const 0) (i32.const 1) (i32.const -1) (i32.const 9)"),
		"records beyond the end": reading("bases_read", "i32 i32 i32 i32", "(i32.const 0) (i32.const 65000) (i32.const 960) (i32.const 48)"),
	} {
		t.Run(name, func(t *testing.T) {
			newLab(t, intruder{file: hostileWAT(t, text)}).requireFails("was given offset", "outside the 65536 bytes of memory")
		})
	}
	t.Run("count that overflows", func(t *testing.T) {
		newLab(t, intruder{file: hostileWAT(t, `(import "rocksnap_v1" "upload" (func $upload (param i32 i32 i32) (result i32)))
(func (export "rocksnap_snapshot") (result i32) (call $upload (i32.const 0) (i32.const 0x10000001) (i32.const 16)))`)}).
			requireFails("upload was given offset")
	})
}

// handling is a module that takes a view, and whose snapshot ends with a result.
func handling(snapshot string) string {
	return `(import "rocksnap_v1" "view" (func $view (result i32)))
(import "rocksnap_v1" "scan_open" (func $scan_open (param i32 i32 i32) (result i32)))
(import "rocksnap_v1" "scan_next" (func $scan_next (param i32 i32 i32) (result i32)))
(import "rocksnap_v1" "scan_close" (func $scan_close (param i32) (result i32)))
(import "rocksnap_v1" "stream_write" (func $stream_write (param i32 i32 i32) (result i32)))
(import "rocksnap_v1" "stream_close" (func $stream_close (param i32) (result i32)))
(func (export "rocksnap_prepare") (result i32) (call $view))
(func (export "rocksnap_snapshot") (result i32) (local $scan i32)
  (local.set $scan (call $scan_open (i32.const 0) (i32.const 0) (i32.const 0)))
` + snapshot + ")"
}

func threatHandles(t *testing.T) {
	for name, snapshot := range map[string]string{
		"guessed":            `(call $scan_next (i32.const 12345) (i32.const 0) (i32.const 65536))`,
		"of another slot":    `(call $scan_next (i32.add (local.get $scan) (i32.const 1)) (i32.const 0) (i32.const 65536))`,
		"of another time":    `(call $scan_next (i32.add (local.get $scan) (i32.const 64)) (i32.const 0) (i32.const 65536))`,
		"of another type":    `(call $stream_write (local.get $scan) (i32.const 0) (i32.const 0))`,
		"used when closed":   `(drop (call $scan_close (local.get $scan))) (call $scan_next (local.get $scan) (i32.const 0) (i32.const 65536))`,
		"closed twice":       `(drop (call $scan_close (local.get $scan))) (call $scan_close (local.get $scan))`,
		"closed as a stream": `(call $stream_close (local.get $scan))`,
		"negative":           `(call $scan_next (i32.const -1) (i32.const 0) (i32.const 65536))`,
	} {
		t.Run(name, func(t *testing.T) {
			newLab(t, intruder{file: hostileWAT(t, handling(snapshot))}).requireFails("bad handle")
		})
	}
	t.Run("too many", func(t *testing.T) {
		newLab(t, intruder{file: hostileWAT(t, handling(`(loop $more
    (local.set $scan (call $scan_open (i32.const 0) (i32.const 0) (i32.const 0)))
    (br_if $more (i32.ge_s (local.get $scan) (i32.const 0))))
  (local.get $scan)`))}).requireFails("limit reached")
	})
}

// threatFlood has a module call the host as fast as it can, while others work.
func threatFlood(t *testing.T) {
	text := `(import "rocksnap_v1" "cancelled" (func $cancelled (result i32)))
(func (export "rocksnap_snapshot") (result i32) (local $n i32)
  (loop $more
    (drop (call $cancelled))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 10000000))))
  (i32.const -7))`
	eachIsolation(t, func(t *testing.T, isolation string) {
		l := newLab(t, intruder{file: hostileWAT(t, text), lines: []string{isolation, limits(`snapshot = "3s", grace = "0s", calls = 10000`)}})
		op, err := l.Begin(t.Context(), host.SnapshotOptions{Strategy: "hostile"})
		require.NoError(t, err)
		for range 5 {
			begun := time.Now()
			l.requireGoesOn()
			assert.Less(t, time.Since(begun), 5*time.Second, "a snapshot beside the flood")
		}
		_, err = op.Wait()
		l.requireRefused(err, "snapshot exceeded 3s") // at 10,000 calls in a second it takes 1,000 seconds
		l.requireHealthy()
	})
}

// threatLog writes a million lines that pretend to be lines of the host.
func threatLog(t *testing.T) {
	text := `(import "rocksnap_v1" "log" (func $log (param i32 i32 i32)))
(import "rocksnap_v1" "progress" (func $progress (param i64 i64)))
(memory (export "memory") 1)
(data (i32.const 0) "\1b[2Jharmless\0d\0atime=2030-01-01 level=ERROR msg=\22the database is gone\22\00\e2\80\ae")
(func (export "rocksnap_snapshot") (result i32) (local $n i32)
  (loop $more
    (call $log (local.get $n) (i32.const 0) (i32.const 90))
    (call $progress (i64.const -1) (i64.const -1))
    (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1000000))))
  (i32.const -7))`
	l := newLab(t, intruder{file: hostileWAT(t, text), lines: []string{limits(`log = "64KiB", calls = 100000000`)}})
	_, err := l.attack()
	l.requireRefused(err)
	written := l.log.String()
	assert.Less(t, len(written), 512<<10, "bytes of the log")
	assert.Contains(t, written, "dropped")
	assert.NotContains(t, written, "\x1b")
	assert.NotContains(t, written, "\u202e")
	for line := range strings.Lines(written) {
		assert.False(t, strings.HasPrefix(line, "time=2030"), line)
		if strings.Contains(line, "harmless") {
			assert.Contains(t, line, "strategy=hostile", "who says it")
		}
	}
	l.requireHealthy()
}

func threatStalls(t *testing.T) {
	eachIsolation(t, func(t *testing.T, isolation string) {
		l := newLab(t, intruder{file: hostileWAT(t, looping("rocksnap_prepare")), lines: []string{isolation, limits(quick)}})
		l.requireFails("prepare exceeded 200ms") // compiles it, too
		begun := time.Now()
		_, err := l.Begin(t.Context(), host.SnapshotOptions{Strategy: "hostile"})
		assert.Less(t, time.Since(begun), 2*time.Second, "what writers of the application would wait")
		l.requireRefused(err, "prepare exceeded 200ms")
		l.requireHealthy()
	})
}

// threatIgnoresCancel cancels modules that do not look, or sleep.
func threatIgnoresCancel(t *testing.T) {
	sleeping := `(import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
(memory (export "memory") 1)
(data (i32.const 24) "\00\00\10\63\2d\5e\c7\6b") ;; a timeout of centuries
(func (export "rocksnap_snapshot") (result i32)
  (loop $again (drop (call $poll (i32.const 0) (i32.const 256) (i32.const 1) (i32.const 512))) (br $again)) (i32.const 0))`
	for name, build := range map[string]func(*testing.T) intruder{
		"computes": func(t *testing.T) intruder { return intruder{file: hostileWAT(t, looping("rocksnap_snapshot"))} },
		"sleeps":   func(t *testing.T) intruder { return intruder{file: hostileWAT(t, sleeping)} },
		"Go":       func(t *testing.T) intruder { return misdeed(t, "sleep") },
	} {
		t.Run(name, func(t *testing.T) {
			eachIsolation(t, func(t *testing.T, isolation string) {
				in := build(t)
				in.lines = []string{isolation, limits(`grace = "200ms"`)}
				l := newLab(t, in)
				ctx, cancel := context.WithCancel(t.Context())
				op, err := l.Begin(ctx, host.SnapshotOptions{Strategy: "hostile"})
				require.NoError(t, err)
				time.Sleep(100 * time.Millisecond)
				begun := time.Now()
				cancel()
				_, err = op.Wait()
				assert.Less(t, time.Since(begun), 1200*time.Millisecond, "after a cancel with 200 ms of grace")
				assert.ErrorIs(t, err, context.Canceled)
				l.requireHealthy()
			})
		})
	}
}
