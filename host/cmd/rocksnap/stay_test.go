package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// stayer is a rocksnap that stays on while a script goes on. A script has one at
// a time.
type stayer struct {
	cmd      *exec.Cmd
	out, err tape
}

// tape is output that is searched while it grows. What was found is not found again.
type tape struct {
	mu   sync.Mutex
	text []byte
	all  []byte
}

func (s *tape) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.text, s.all = append(s.text, p...), append(s.all, p...)
	return len(p), nil
}

func (s *tape) find(pattern *regexp.Regexp) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := pattern.FindIndex(s.text)
	if at != nil {
		s.text = s.text[at[1]:]
	}
	return at != nil
}

func (s *tape) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(bytes.Clone(s.all))
}

// stayers are those of all scripts.
type stayers struct{ all sync.Map }

// stay ARGS... starts a rocksnap that stays.
func (l *stayers) stay(ts *testscript.TestScript, _ bool, args []string) {
	l.all.Store(ts, startStayer(ts, args))
}

// await out|err REGEXP waits until the one that stays says so, from now on.
func (l *stayers) await(ts *testscript.TestScript, _ bool, args []string) {
	l.of(ts).await(ts, args[0], args[1])
}

// tell SIGNAL [STATUS] sends a signal, and expects it to end with the status.
func (l *stayers) tell(ts *testscript.TestScript, _ bool, args []string) { l.of(ts).tell(ts, args) }

func (l *stayers) of(ts *testscript.TestScript) *stayer {
	s, ok := l.all.Load(ts)
	if !ok {
		ts.Fatalf("nothing stays")
	}
	return s.(*stayer)
}

func startStayer(ts *testscript.TestScript, args []string) *stayer {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	s := &stayer{cmd: exec.CommandContext(ctx, "rocksnap", args...)}
	s.cmd.Dir, s.cmd.Env, s.cmd.Stdout, s.cmd.Stderr = ts.MkAbs("."), os.Environ(), &s.out, &s.err
	for _, name := range []string{"ROCKSNAP_CACHE_DIR", "XDG_STATE_HOME"} {
		s.cmd.Env = append(s.cmd.Env, name+"="+ts.Getenv(name)) // as Setup has it
	}
	ts.Check(s.cmd.Start())
	ts.Defer(func() { cancel(); _ = s.cmd.Wait() })
	return s
}

func (s *stayer) await(ts *testscript.TestScript, stream, text string) {
	pattern, err := regexp.Compile(text)
	ts.Check(err)
	from := map[string]*tape{"out": &s.out, "err": &s.err}[stream]
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if from.find(pattern) {
			return
		}
	}
	ts.Fatalf("it never said %s: %s%s", text, &s.out, &s.err)
}

func (s *stayer) tell(ts *testscript.TestScript, args []string) {
	ts.Check(s.cmd.Process.Signal(unix.SignalNum("SIG" + args[0])))
	if len(args) < 2 {
		return
	}
	want, err := strconv.Atoi(args[1])
	ts.Check(err)
	_ = s.cmd.Wait() // the status says it
	if got := s.cmd.ProcessState.ExitCode(); got != want {
		ts.Fatalf("exit status %d, want %d: %s", got, want, &s.err)
	}
}
