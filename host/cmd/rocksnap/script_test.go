package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// TestScripts runs the command line as its users do.
func TestScripts(t *testing.T) {
	var those stayers
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("ROCKSNAP_CACHE_DIR", dbtest.Cache())
			env.Setenv("XDG_STATE_HOME", filepath.Join(env.WorkDir, "state"))
			env.Setenv("GORACE", "atexit_sleep_ms=10") // not a second for each command
			executable, err := exec.LookPath("rocksnap")
			env.Setenv("PLUGINS", filepath.Join(filepath.Dir(executable), "plugins"))
			return err
		},
		Condition: func(name string) (bool, error) {
			if name != "hangup" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return !signal.Ignored(unix.SIGHUP), nil // children inherit what nohup and some build servers set
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":    status,
			"jsonfield": jsonField,
			"keep":      keep,
			"flip":      flip,
			"lock":      lock,
			"agekey":    ageKey,
			"s3server":  s3Server(t),
			"interrupt": interrupt,
			"stay":      those.stay,
			"await":     those.await,
			"tell":      those.tell,
		},
	})
}

// status N COMMAND... expects the exit status N.
func status(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// jsonfield FILE PATH WANT compares a field of the last document in a file, as in
// snapshots.0.kind; a last step of len stands for the length.
func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	got, err := field(ts.ReadFile(args[0]), args[1])
	ts.Check(err)
	if (got == args[2]) == neg {
		ts.Fatalf("%s is %q", args[1], got)
	}
}

// keep NAME FILE PATH puts a field into an environment variable.
func keep(ts *testscript.TestScript, _ bool, args []string) {
	got, err := field(ts.ReadFile(args[1]), args[2])
	ts.Check(err)
	ts.Setenv(args[0], got)
}

func field(text, path string) (string, error) {
	var doc any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	for {
		err := decoder.Decode(&doc)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
	}
	for step := range strings.SplitSeq(path, ".") {
		var err error
		if doc, err = descend(doc, step); err != nil {
			return "", err
		}
	}
	return fmt.Sprint(doc), nil
}

func descend(doc any, step string) (any, error) {
	switch v := doc.(type) {
	case map[string]any:
		if value, ok := v[step]; ok {
			return value, nil
		}
		if step == "len" {
			return len(v), nil
		}
	case []any:
		if step == "len" {
			return len(v), nil
		}
		if i, err := strconv.Atoi(step); err == nil && i < len(v) {
			return v[i], nil
		}
	}
	return nil, fmt.Errorf("no %s in %v", step, doc)
}

// flip PATTERN [OFFSET] damages one byte of the largest file that matches, in the
// middle unless an offset is given.
func flip(ts *testscript.TestScript, _ bool, args []string) {
	paths, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(paths) == 0 {
		ts.Fatalf("no file is %s", args[0])
	}
	contents := make([][]byte, len(paths))
	largest := 0
	for i, path := range paths {
		contents[i], err = os.ReadFile(path)
		ts.Check(err)
		if len(contents[i]) > len(contents[largest]) {
			largest = i
		}
	}
	content := bytes.Clone(contents[largest])
	at := len(content) / 2
	if len(args) > 1 {
		at, err = strconv.Atoi(args[1])
		ts.Check(err)
	}
	content[at] ^= 1
	ts.Check(os.Chmod(paths[largest], 0o600))
	ts.Check(os.WriteFile(paths[largest], content, 0o600))
}

// lock DB holds a database to the end of the script, as another process would.
func lock(ts *testscript.TestScript, _ bool, args []string) {
	db, err := rocks.OpenOffline(ts.MkAbs(args[0]))
	ts.Check(err)
	ts.Defer(func() { db.Close() })
}

// agekey FILE makes a private key, and sets RECIPIENT to its public one.
func ageKey(ts *testscript.TestScript, _ bool, args []string) {
	key, err := age.GenerateX25519Identity()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(key.String()+"\n"), 0o600))
	ts.Setenv("RECIPIENT", key.Recipient().String())
}

// s3Server makes a command, s3server, that gives a script a bucket of its own: the
// server's URL in ENDPOINT, s3://… in BUCKET, and the credentials. All scripts use
// one server, which runs from the first that asks to the end of t.
func s3Server(t *testing.T) func(*testscript.TestScript, bool, []string) {
	server := sync.OnceValue(func() storetest.Server { return storetest.Versity(t) })
	return func(ts *testscript.TestScript, _ bool, _ []string) {
		s := server().NewBucket(t)
		ts.Setenv("ENDPOINT", s.Endpoint)
		ts.Setenv("BUCKET", "s3://"+s.Bucket)
		ts.Setenv("AWS_ACCESS_KEY_ID", s.AccessKey)
		ts.Setenv("AWS_SECRET_ACCESS_KEY", s.SecretKey)
		ts.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	}
}

// interrupt SIGNAL PATTERN COMMAND... sends a signal as soon as a file matches, and
// expects the exit status 130.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	var stderr bytes.Buffer
	sig, pattern := unix.SignalNum(args[0]), ts.MkAbs(args[1])
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // for what ignores the signal
	defer cancel()
	cmd := exec.CommandContext(ctx, args[2], args[3:]...)
	cmd.Dir, cmd.Stderr, cmd.Env = ts.MkAbs("."), &stderr, os.Environ()
	for _, name := range []string{"ROCKSNAP_CACHE_DIR", "XDG_STATE_HOME"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name)) // as Setup has it
	}
	ts.Check(cmd.Start())
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Check(cmd.Process.Signal(sig))
	err := cmd.Wait()
	if cmd.ProcessState.ExitCode() != 130 || !strings.Contains(stderr.String(), "rocksnap: interrupted") {
		ts.Fatalf("ended with %v: %s", err, stderr.String())
	}
}
