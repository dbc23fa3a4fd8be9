package child

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) {
	Main()
	os.Exit(m.Run())
}

// probes are what a child tries once it is confined.
var probes = map[string]func() string{
	"exec":   func() string { return fmt.Sprint(exec.Command("/bin/true").Run()) },
	"socket": func() string { _, err := net.Dial("udp", "127.0.0.1:9"); return fmt.Sprint(err) },
	"kill":   func() string { return fmt.Sprint(unix.Kill(os.Getppid(), 0)) },
	"ptrace": func() string { return fmt.Sprint(unix.PtraceAttach(os.Getppid())) },
	"status": status,
	"limits": func() string {
		var core, files unix.Rlimit
		unix.Getrlimit(unix.RLIMIT_CORE, &core)
		unix.Getrlimit(unix.RLIMIT_NOFILE, &files)
		return fmt.Sprint(core, files)
	},
	"self":  func() string { return fmt.Sprint(len(os.Environ())-len(environment), os.Getenv("SECRET"), os.Args) },
	"files": func() string { return fmt.Sprint(tooManyFiles()) },
	"memory": func() string {
		var kept [][]byte
		for {
			kept = append(kept, make([]byte, 1<<20))
			clear(kept[len(kept)-1])
		}
	},
	"file": func() string {
		dir, err := os.MkdirTemp("", "child-test-")
		if err != nil {
			return err.Error()
		}
		defer os.RemoveAll(dir)
		return fmt.Sprint(os.WriteFile(filepath.Join(dir, "big"), make([]byte, 2<<20), 0o600))
	},
	"cpu": func() string {
		for {
			runtime.Gosched()
		}
	},
}

// status tells, of every thread, that it cannot win privileges.
func status() string {
	threads, _ := filepath.Glob("/proc/self/task/*/status")
	for _, path := range threads {
		text, err := os.ReadFile(path)
		if err != nil || !strings.Contains(string(text), "NoNewPrivs:\t1") || !strings.Contains(string(text), "Seccomp:\t2") {
			return string(text)
		}
	}
	return fmt.Sprint(len(threads) > 2)
}

func tooManyFiles() error {
	for {
		if _, err := unix.Open("/dev/null", unix.O_RDONLY, 0); err != nil {
			return err
		}
	}
}

func init() {
	Register("probe", func() int {
		name, err := io.ReadAll(os.Stdin)
		if err != nil {
			return 1
		}
		for range 4 { // threads from before
			go func() { unix.Nanosleep(&unix.Timespec{Sec: 60}, nil) }()
		}
		time.Sleep(10 * time.Millisecond)
		if err := Confine(Limits{Memory: 64 << 20, CPU: time.Second, FileSize: 1 << 20, Files: 20}); err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Print(probes[string(name)]())
		return 0
	})
	Register("patient", func() int {
		io.Copy(io.Discard, os.Stdin)
		return 7
	})
}

// probe returns what a confined child said, and how it ended.
func probe(t *testing.T, name string) (string, error) {
	t.Helper()
	t.Setenv("SECRET", "1")
	cmd, err := Command(t.Context(), "probe")
	require.NoError(t, err)
	cmd.Stdin = strings.NewReader(name)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	return string(out) + stderr.String(), err
}

func TestConfinedChildIsHarmless(t *testing.T) {
	for name, want := range map[string]string{
		"exec":   "operation not permitted",
		"socket": "operation not permitted",
		"kill":   "operation not permitted",
		"ptrace": "operation not permitted",
		"status": "true",
		"limits": "{0 0} {20 20}",
		"self":   "1[rocksnap-probe]",
		"files":  "too many open files",
	} {
		said, err := probe(t, name)
		require.NoError(t, err, name)
		assert.Contains(t, said, want, name)
	}
}

func TestChildBeyondItsLimitsDies(t *testing.T) {
	for name, want := range map[string]string{"memory": "out of memory|failed to allocate", "cpu": "", "file": ""} {
		start := time.Now()
		said, err := probe(t, name)
		if name == "file" && err == nil {
			assert.Contains(t, said, "file too large")
			continue
		}
		var exit *exec.ExitError
		require.ErrorAs(t, err, &exit, name)
		assert.Regexp(t, want, said, name)
		assert.Less(t, time.Since(start), 20*time.Second, name)
	}
}

func TestChildEndsWithItsParent(t *testing.T) {
	cmd, err := Command(t.Context(), "patient")
	require.NoError(t, err)
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	in.Close()
	assert.EqualError(t, cmd.Wait(), "exit status 7")
}

func TestChildEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	cmd, err := Command(ctx, "patient")
	require.NoError(t, err)
	_, err = cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	assert.ErrorContains(t, cmd.Wait(), "killed")
}

func TestUnknownTask(t *testing.T) {
	cmd, err := Command(t.Context(), "dance")
	require.NoError(t, err)
	out, err := cmd.CombinedOutput()
	assert.EqualError(t, err, "exit status 2")
	assert.Equal(t, "unknown task \"dance\" of a child process\n", string(out))
}
