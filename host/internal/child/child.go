// Package child runs parts of this program in processes of their own, which can
// be limited and killed. A child is the same executable, started again: its main
// function calls [Main] first, and everything else is left alone.
package child

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// variable names, in the environment of a child, the task that it is for.
const variable = "ROCKSNAP_CHILD"

// ErrUnavailable is returned by [Command] in a program whose main function does
// not call [Main].
var ErrUnavailable = errors.New("this program cannot start itself as a child")

var (
	tasks       = make(map[string]func() int)
	ready       atomic.Bool
	environment []string // of every child, besides its variable
)

// Register makes a task known under a name, from an init function. The task
// returns the status that the process exits with.
func Register(name string, task func() int) { tasks[name] = task }

// Main runs the task that this process was started for, and exits. In a process
// that is no child it returns.
func Main() {
	name, ok := os.LookupEnv(variable)
	if !ok {
		ready.Store(true)
		return
	}
	task, ok := tasks[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "unknown task %q of a child process\n", name)
		os.Exit(2)
	}
	os.Exit(task())
}

// Command returns a child for a task. It gets nothing of this process but what
// the caller sets: no environment, no arguments, no files. It is killed when ctx
// ends. Its task should end when its standard input does, for then this process
// is gone.
func Command(ctx context.Context, name string) (*exec.Cmd, error) {
	if !ready.Load() {
		return nil, ErrUnavailable
	}
	cmd := exec.CommandContext(ctx, "/proc/self/exe") // whatever lies at its path by now
	cmd.Args = []string{"rocksnap-" + name}
	cmd.Env = append([]string{variable + "=" + name}, environment...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	return cmd, nil
}
