package strategytest

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

// runner is a [T] outside of a Go test: it runs one law in a goroutine of its own,
// which the law may end at any point.
type runner struct {
	ctx    context.Context
	folder string // for temporary folders; gone at the end

	mu       sync.Mutex // guards what follows
	prefix   string     // names of the parts that are under way
	failures []string
	notes    []string
	cleanups []func()
}

// run checks a law to its end, and returns its failures and notes.
func (r *runner) run(check func(t T)) (failures, notes []string) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.clean()
		defer r.catch()
		check(r)
	}()
	<-done
	if err := r.ctx.Err(); err != nil {
		r.Errorf("%v", err)
	}
	return r.failures, r.notes
}

// catch makes a failure of a panic: the next law is checked all the same.
func (r *runner) catch() {
	if value := recover(); value != nil {
		r.Errorf("panic: %v\n%s", value, debug.Stack())
	}
}

// clean undoes what the law has set up, last things first. Each step may end its
// goroutine, which must not keep the others from being done.
func (r *runner) clean() {
	for {
		r.mu.Lock()
		last := len(r.cleanups) - 1
		if last < 0 {
			r.mu.Unlock()
			return
		}
		step := r.cleanups[last]
		r.cleanups = r.cleanups[:last]
		r.mu.Unlock()
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer r.catch()
			step()
		}()
		<-done
	}
}

// part runs a part of the law. The law goes on when it fails, as in a Go test.
func (r *runner) part(name string, check func(t T)) {
	outer := r.prefix
	inner := &runner{ctx: r.ctx, folder: r.folder, prefix: outer + name + ": "}
	failures, notes := inner.run(check)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures, r.notes = append(r.failures, failures...), append(r.notes, notes...)
}

func (r *runner) Helper() {}

func (r *runner) Errorf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, r.prefix+fmt.Sprintf(format, args...))
}

func (r *runner) Logf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.notes = append(r.notes, r.prefix+fmt.Sprintf(format, args...))
}

func (r *runner) FailNow() { runtime.Goexit() }

func (r *runner) TempDir() string {
	folder, err := os.MkdirTemp(r.folder, "")
	must(r, err, "make a folder")
	r.Cleanup(func() { must(r, os.RemoveAll(folder), "remove a folder") })
	return folder
}

func (r *runner) Cleanup(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cleanups = append(r.cleanups, f)
}

func (r *runner) Context() context.Context { return r.ctx }

// firstLine is the first failure, in one line.
func firstLine(failures []string) string {
	if len(failures) == 0 {
		return ""
	}
	line, _, _ := strings.Cut(failures[0], "\n")
	if more := len(failures) - 1; more > 0 {
		line = fmt.Sprintf("%s (and %d more)", line, more)
	}
	return line
}
