// Package loopback runs servers on the loopback, for tests and for the benchmark.
package loopback

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"syscall"
	"time"
)

// What every server that speaks S3 is told.
const (
	AccessKey = "rocksnap-test"
	SecretKey = "rocksnap-test-secret"
	Region    = "us-east-1"
)

// startTime is how long a server may take until it answers.
const startTime = 30 * time.Second

// Server is a server that runs.
type Server struct {
	Address string // host and port

	cmd   *exec.Cmd
	ended chan error
}

// Versity returns the command of versitygw, at a path, for an address and a folder
// that holds a folder for each bucket.
func Versity(path, address, root string) *exec.Cmd {
	return exec.Command(path, "--quiet", "--port", address, "--access", AccessKey, "--secret", SecretKey, "posix", root)
}

// Start runs a server and waits until it answers. The command gets the address on
// which the server is to listen.
func Start(ctx context.Context, command func(address string) *exec.Cmd) (*Server, error) {
	address, err := FreeAddress()
	if err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	var output bytes.Buffer
	s := &Server{Address: address, cmd: command(address), ended: make(chan error, 1)}
	s.cmd.Stdout, s.cmd.Stderr = &output, &output
	if err := s.run(); err != nil {
		return nil, fmt.Errorf("start server: %w", err)
	}
	for deadline := time.Now().Add(startTime); !answers(address); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-s.ended:
			return nil, fmt.Errorf("%s ended: %v\n%s", s.cmd.Path, err, output.String())
		default:
		}
		if ctx.Err() != nil || time.Now().After(deadline) {
			s.Close()
			return nil, fmt.Errorf("%s does not answer on %s: %w", s.cmd.Path, address, context.Cause(ctx))
		}
	}
	return s, nil
}

// run starts the command, so that it is killed when this process dies. For that the
// kernel watches the thread that started the command, which has to live as long.
func (s *Server) run() error {
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.ended <- s.cmd.Wait()
			close(s.ended)
		}
	}()
	return <-started
}

// Close ends the server and waits until it has gone.
func (s *Server) Close() {
	_ = s.cmd.Process.Kill() // it may have ended
	for range s.ended {
	}
}

// FreeAddress returns an address of the loopback that nobody listens on.
func FreeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}

// answers reports that somebody listens and does not hang up.
func answers(address string) bool {
	conn, err := net.DialTimeout("tcp", address, time.Second)
	if err != nil {
		return false
	}
	return conn.Close() == nil
}
