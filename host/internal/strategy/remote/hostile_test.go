package remote

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/child"
	"github.com/rocksnap/rocksnap/host/internal/strategy"
)

// Children that were taken over: they load and start like others, and then do
// something else.
func init() {
	child.Register("deaf", taken(func(*wire) { select {} }))
	child.Register("hoarder", taken(func(*wire) {
		hoard := []byte{1}
		for {
			hoard = append(hoard, hoard...)
		}
	}))
	child.Register("quitter", taken(func(*wire) { os.Exit(3) }))
	child.Register("mute", taken(func(*wire) {
		os.Stdout.Close()
		select {}
	}))
	child.Register("liar", taken(func(w *wire) {
		w.send(kindReply, func(row []byte) []byte { return append(row, "nonsense"...) })
		select {}
	}))
	child.Register("endless", taken(func(*wire) { // a frame that never ends
		os.Stdout.Write(binary.LittleEndian.AppendUint32(nil, 60<<20))
		for {
			os.Stdout.Write(make([]byte, 1<<20))
		}
	}))
	child.Register("prisoner", taken(prison))
}

// taken returns a task that does as it should until a phase is entered.
func taken(then func(*wire)) func() int {
	return func() int {
		w := newWire(os.Stdin, os.Stdout, math.MaxUint32)
		c := &inside{wire: w, session: newProxy(w)}
		if c.load() != nil {
			return 1
		}
		for {
			_, body, err := w.receive()
			if err != nil {
				return 0
			}
			if e, _ := parseEnter(body); e.phase != 0 {
				then(w)
			}
			c.done(strategy.Ending{})
		}
	}
}

// prison tries what a process can do to others, and reports what it could.
func prison(w *wire) {
	var could []string
	for name, try := range map[string]func() error{
		"read a file":  func() error { _, err := os.ReadFile("/etc/passwd"); return err },
		"list files":   func() error { _, err := os.ReadDir("/"); return err },
		"write a file": func() error { return os.WriteFile("/tmp/prisoner", nil, 0o600) },
		"connect":      func() error { _, err := net.Dial("tcp", "127.0.0.1:1"); return refusedByPeer(err) },
		"listen":       func() error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err },
		"run":          func() error { return exec.Command("/bin/true").Run() },
		"kill":         func() error { return syscall.Kill(os.Getppid(), 0) },
		"signal":       func() error { return unix.Tgkill(1, 1, 0) },
		"trace":        func() error { return unix.PtraceAttach(os.Getppid()) },
		"raise limits": func() error {
			return unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
		},
	} {
		if try() == nil {
			could = append(could, name)
		}
	}
	c := &inside{wire: w}
	c.done(strategy.Ending{Errno: abi.EINVAL, Text: "could: " + strings.Join(could, ", ")})
	select {}
}

// refusedByPeer takes a connection that nobody answered for one that was possible.
func refusedByPeer(err error) error {
	if errors.Is(err, syscall.ECONNREFUSED) {
		return nil
	}
	return err
}

func startAs(t *testing.T, task string, l strategy.Limits) *Instance {
	t.Helper()
	i, err := launchAs(t.Context(), task, "x", tiny{}.assemble(), options(l))
	require.NoError(t, err)
	t.Cleanup(func() { i.Close(t.Context()) })
	return i
}

func TestChildrenThatDie(t *testing.T) {
	for task, want := range map[string]string{
		"quitter": "its process ended with status 3",
		"hoarder": "its process ran out of memory",
		"mute":    "its process stopped talking",
		"liar":    "its process sent a broken frame",
		"endless": "its process sent a broken frame",
	} {
		t.Run(task, func(t *testing.T) {
			i := startAs(t, task, strategy.Limits{Memory: 32 << 20, Stack: 1 << 20})
			err := i.Init(t.Context(), &double{})
			require.ErrorIs(t, err, strategy.ErrCrashed)
			assert.ErrorContains(t, err, `strategy "x": init: `+want)
			assert.ErrorContains(t, i.Prepare(t.Context(), &double{}), "given up")
			_, err = os.Stat("/proc/self/stat")
			assert.NoError(t, err, "the host is well")
		})
	}
}

// TestEnclosed: what breaks out of WebAssembly is in a process that can do nothing.
func TestEnclosed(t *testing.T) {
	err := startAs(t, "prisoner", strategy.Limits{}).Init(t.Context(), &double{})
	require.ErrorIs(t, err, abi.EINVAL)
	assert.EqualError(t, err, `strategy "x": init: could: `)
}

func TestKilledFromOutside(t *testing.T) {
	for _, signal := range []unix.Signal{unix.SIGKILL, unix.SIGTERM, unix.SIGSEGV} {
		t.Run(unix.SignalName(signal), func(t *testing.T) {
			i := there(t, tour(t), strategy.Limits{})
			d := &double{config: `{"mode":"loop"}`, quiet: true}
			require.NoError(t, i.Init(t.Context(), d))
			calls := 0
			d.onProgress = func() {
				if calls++; calls == 100 {
					unix.Kill(i.guest.process.cmd.Process.Pid, signal)
				}
			}
			err := i.Snapshot(t.Context(), d)
			require.ErrorIs(t, err, strategy.ErrCrashed)
			assert.ErrorContains(t, err, "its process ")
			if signal == unix.SIGKILL {
				assert.ErrorContains(t, err, "killed by SIGKILL")
			}
		})
	}
	t.Run("SIGSTOP", func(t *testing.T) {
		i := there(t, tour(t), strategy.Limits{Snapshot: 300 * time.Millisecond, Grace: 100 * time.Millisecond})
		d := &double{config: `{"mode":"loop"}`, quiet: true}
		require.NoError(t, i.Init(t.Context(), d))
		d.onProgress = func() { unix.Kill(i.guest.process.cmd.Process.Pid, unix.SIGSTOP) }
		start := time.Now()
		require.ErrorIs(t, i.Snapshot(t.Context(), d), context.DeadlineExceeded)
		assert.Less(t, time.Since(start), 700*time.Millisecond)
	})
	t.Run("stopped and closed", func(t *testing.T) {
		i := there(t, tiny{}.assemble(), strategy.Limits{})
		unix.Kill(i.guest.process.cmd.Process.Pid, unix.SIGSTOP)
		require.NoError(t, i.Close(t.Context()))
	})
}

// TestEndsWithTheHost closes the pipes as the end of the host does.
func TestEndsWithTheHost(t *testing.T) {
	for name, body := range map[string][]byte{"idle": nil, "busy": loopForEver} {
		t.Run(name, func(t *testing.T) {
			p := there(t, tiny{body: body}.assemble(), strategy.Limits{}).guest
			if body != nil {
				require.NoError(t, p.send(kindEnter, (&enter{run: 9, phase: abi.PhaseInit}).append))
				time.Sleep(50 * time.Millisecond)
			}
			p.process.disconnect()
			select {
			case <-p.process.dead:
			case <-time.After(5 * time.Second):
				t.Fatal("lives on")
			}
		})
	}
}

func TestNothingIsLeft(t *testing.T) {
	runs := 200
	if testing.Short() {
		runs = 20
	}
	file := tiny{}.assemble()
	cycle := func() {
		i, err := New(t.Context(), "x", file, options(strategy.Limits{}))
		require.NoError(t, err)
		require.NoError(t, i.Init(t.Context(), &double{}))
		require.NoError(t, i.Close(t.Context()))
	}
	cycle()
	before := left(t)
	for range runs {
		cycle()
	}
	var after [2]int
	for range 50 { // goroutines take a moment to end
		if after = left(t); after == before {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	assert.Equal(t, before, after, "open files, goroutines")
	var status unix.WaitStatus
	_, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
	assert.ErrorIs(t, err, unix.ECHILD, "no child, not even a dead one")
}

// phases that the host enters.
var phases = []abi.Phase{abi.PhaseInit, abi.PhasePrepare, abi.PhaseSnapshot, abi.PhaseNotify, abi.PhaseRestore}

// A child that was taken over can do no more than its module could: phases and
// grants hold at the host's end of the pipe.
func TestHostChecksEveryCallItself(t *testing.T) {
	for n := range abi.Imports {
		f := &abi.Imports[n]
		if _, ok := served[f.Name]; !ok {
			continue
		}
		for _, p := range phases {
			if f.Phases&p == 0 {
				r, _ := serveOne(t, p, abi.Grants, call{op: byte(n)}, nil)
				assert.Equal(t, abi.EPHASE, r.errno, "%s in %s", f.Name, p)
			} else if f.Grant != "" {
				r, _ := serveOne(t, p, nil, call{op: byte(n)}, nil)
				assert.Equal(t, abi.EPERM, r.errno, "%s in %s", f.Name, p)
			}
		}
	}
	for op := range 256 {
		if op < len(abi.Imports) && served[abi.Imports[op].Name] != nil {
			continue
		}
		_, err := parseCall((&call{op: byte(op)}).append(nil))
		if op < len(abi.Imports) {
			_, err = serveOne(t, abi.PhaseSnapshot, abi.Grants, call{op: byte(op)}, nil)
		}
		assert.ErrorIs(t, err, errBroken, "function %d", op)
	}
}

// script is a guest that makes the calls of a test.
type script func() error

func (s script) Enter(context.Context, context.Context, abi.Phase, abi.Notification) (strategy.Ending, error) {
	return strategy.Ending{}, s()
}

// serveOne has one call served in a phase, after others that open things.
func serveOne(t *testing.T, p abi.Phase, grants []abi.Grant, c call, before []call) (r reply, err error) {
	t.Helper()
	s := server{memory: 1 << 20, open: make(map[uint64]any)}
	s.outside, err = strategy.NewOutside("x", nil, strategy.Options{Grants: grants}, script(func() error {
		for _, c := range before {
			_, err := s.serve(&c)
			require.NoError(t, err)
		}
		r, err = s.serve(&c)
		s.release()
		return nil
	}))
	require.NoError(t, err)
	require.NoError(t, s.outside.Run(t.Context(), p, &double{files: 3}, abi.Notification{}))
	return r, err
}

func TestCallsThatAChildWouldNotMake(t *testing.T) {
	op := func(name string) byte { return index[name] }
	scan, stream := call{op: op("scan_open")}, call{op: op("stream_open"), data: make([]byte, abi.Size[abi.StreamSpec]())}
	for name, c := range map[string]call{
		"room for more records than memory": {op: op("wait"), a: [3]uint64{1 << 40}},
		"room for more bytes than memory":   {op: op("scan_next"), a: [3]uint64{1, 1 << 21}},
		"all the room":                      {op: op("scan_next"), a: [3]uint64{1, math.MaxUint64}},
		"an odd number of bytes":            {op: op("upload"), data: make([]byte, 17)},
		"no handle":                         {op: op("scan_close")},
		"a handle not yet given":            {op: op("scan_need"), a: [3]uint64{3}},
		"a stream for a scan":               {op: op("scan_next"), a: [3]uint64{2, 10}},
		"a scan for a stream":               {op: op("stream_write"), a: [3]uint64{1}, data: []byte(record)},
		"pump the wrong way":                {op: op("pump"), a: [3]uint64{2, 1, 10}},
		"half a spec":                       {op: op("stream_open"), data: make([]byte, 8)},
		"two specs":                         {op: op("stream_open"), data: make([]byte, 2*abi.Size[abi.StreamSpec]())},
		"a family of 64 bits":               {op: op("family_name"), a: [3]uint64{1 << 32}},
	} {
		_, err := serveOne(t, abi.PhaseSnapshot, abi.Grants, c, []call{scan, stream})
		assert.ErrorIs(t, err, errBroken, name)
	}
	_, err := serveOne(t, abi.PhaseSnapshot, abi.Grants, scan, slices.Repeat([]call{scan}, 65))
	assert.ErrorIs(t, err, errBroken, "scans without end")
}

// FuzzFrames gives the host's end of the wire whatever a child may send.
func FuzzFrames(f *testing.F) {
	require.NotEmpty(f, abi.Imports, "the corpus is made of them")
	frame := func(k kind, body []byte) []byte {
		row := binary.LittleEndian.AppendUint32(nil, uint32(len(body)))
		return append(append(row, byte(k)), body...)
	}
	done := frame(kindDone, appendEnding(nil, strategy.Ending{Errno: abi.EIO, Text: "no", Call: "upload", Cause: "why"}))
	f.Add(done)
	f.Add([]byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, byte(kindCall)})
	for n := range abi.Imports {
		c := call{op: byte(n), a: [3]uint64{1, 2, 3}, key: "key", data: make([]byte, 48)}
		f.Add(slices.Concat(frame(kindCall, c.append(nil)), done))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		g := &guest{wire: newWire(bytes.NewReader(sent), io.Discard, 1<<20), run: 1}
		limits := strategy.Limits{Memory: 1 << 20}
		g.server = server{memory: 1 << 20, open: make(map[uint64]any)}
		var err error
		g.server.outside, err = strategy.NewOutside("x", nil, strategy.Options{Limits: limits, Grants: abi.Grants}, fuzzed{g})
		require.NoError(t, err)
		for _, p := range phases {
			err := g.server.outside.Run(t.Context(), p, &double{files: 3, quiet: true}, abi.Notification{})
			var e *strategy.Error
			if err != nil && !errors.As(err, &e) {
				assert.ErrorContains(t, err, "given up")
			}
			assert.Empty(t, g.server.open)
		}
	})
}

// fuzzed reads what was sent without a process behind it.
type fuzzed struct{ *guest }

func (f fuzzed) Enter(context.Context, context.Context, abi.Phase, abi.Notification) (strategy.Ending, error) {
	defer f.server.release()
	return f.await()
}

// left counts open files and goroutines.
func left(t *testing.T) [2]int {
	files, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	return [2]int{len(files), runtime.NumGoroutine()}
}
