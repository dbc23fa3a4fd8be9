package remote

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/host/internal/child"
)

// process is a child and the two pipes to it.
type process struct {
	cmd    *exec.Cmd
	in     *os.File // what the child reads
	out    *os.File // what it writes
	stderr tail
	dead   chan struct{} // closed when it was waited for
}

// launch starts a child for a task. It lives until kill, whatever becomes of the
// context that its instance was made in.
func launch(task string) (*process, error) {
	cmd, err := child.Command(context.Background(), task)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, dead: make(chan struct{})}
	theirs, err := p.connect()
	if err == nil {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs[0], theirs[1], &p.stderr
		cmd.WaitDelay = time.Second
		err = cmd.Start()
		theirs[0].Close()
		theirs[1].Close()
	}
	if err != nil {
		p.disconnect()
		return nil, fmt.Errorf("start a process: %w", err)
	}
	go func() {
		cmd.Wait() // its state says more
		close(p.dead)
	}()
	return p, nil
}

// connect makes the pipes and returns the child's ends of them.
func (p *process) connect() (theirs [2]*os.File, err error) {
	toChild, ours, err := os.Pipe()
	if err != nil {
		return theirs, err
	}
	back, fromChild, err := os.Pipe()
	if err != nil {
		toChild.Close()
		ours.Close()
		return theirs, err
	}
	p.in, p.out = ours, back
	return [2]*os.File{toChild, fromChild}, nil
}

func (p *process) disconnect() {
	for _, end := range []*os.File{p.in, p.out} {
		if end != nil {
			end.Close()
		}
	}
}

// kill ends the child at once, even a stopped one.
func (p *process) kill() { p.cmd.Process.Kill() }

// close kills the child, waits until nothing is left of it, and frees the pipes.
func (p *process) close() {
	p.kill()
	<-p.dead
	p.disconnect()
}

// how tells how a child died that did not answer, in one line.
func (p *process) how() string {
	select {
	case <-p.dead:
	case <-time.After(200 * time.Millisecond): // it closed its pipe, yet lives
		p.kill()
		<-p.dead
		return "its process stopped talking"
	}
	status, _ := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	switch {
	case p.stderr.tells("out of memory"), p.stderr.tells("cannot allocate memory"), p.stderr.tells("failed to allocate"): // the last: race detector
		return "its process ran out of memory"
	case status.Signaled():
		return "its process was killed by " + unix.SignalName(status.Signal())
	}
	return fmt.Sprintf("its process ended with status %d", status.ExitStatus())
}

// tail keeps the beginning and the end of what a child prints: the end has a
// panic's text, but the Go runtime says first that there is no memory.
type tail struct{ first, last []byte }

const tailSize = 8 << 10 // bytes

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	if room := 1<<10 - len(t.first); room > 0 {
		t.first = append(t.first, p[:min(len(p), room)]...)
	}
	t.last = append(t.last, p[max(0, len(p)-tailSize):]...)
	t.last = t.last[max(0, len(t.last)-tailSize):]
	return len(p), nil
}

func (t *tail) tells(text string) bool { return strings.Contains(string(t.first), text) }
