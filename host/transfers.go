package host

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/rocksnap/rocksnap/abi"
)

// queueSize bounds the requests that a session has under way. A strategy is told
// how many were accepted and waits before it offers more.
const queueSize = 4096

// transfers runs a session's requests on a fixed number of workers. submit and
// wait belong to the goroutine that runs the strategy.
type transfers struct {
	ctx     context.Context
	cancel  context.CancelFunc
	tasks   chan func(context.Context)
	done    chan abi.Completion
	running sync.WaitGroup
	queued  atomic.Int64 // tasks submitted and not finished
	pending int          // requests whose completion has not been read
	held    int          // of these, accepted and not queued yet
}

// task is a part of a request; it says in the completion what it moved.
type task func(context.Context, *abi.Completion) error

// request is one line of work for the workers: its tasks run in parallel, and
// the last to end yields the completion.
type request struct {
	completion abi.Completion
	tasks      []task
	failed     func(error)
}

func newTransfers(ctx context.Context, workers int) *transfers {
	t := &transfers{
		tasks: make(chan func(context.Context), queueSize),
		done:  make(chan abi.Completion, queueSize),
	}
	t.ctx, t.cancel = context.WithCancel(ctx)
	for range workers {
		t.running.Go(t.work)
	}
	return t
}

func (t *transfers) work() {
	for {
		select {
		case <-t.ctx.Done():
			return
		case task := <-t.tasks:
			task(t.ctx)
			t.queued.Add(-1)
		}
	}
}

// submit queues a request, or reports that there is no room for it now. An idle
// queue takes any request.
func (t *transfers) submit(r *request) bool {
	room := queueSize - int(t.queued.Load())
	if t.pending == queueSize || len(r.tasks) > room {
		return false
	}
	var (
		mu   sync.Mutex // guards r.completion and left
		left = len(r.tasks)
	)
	t.pending++
	t.queued.Add(int64(left))
	for _, run := range r.tasks {
		t.tasks <- func(ctx context.Context) {
			var part abi.Completion
			err := run(ctx, &part)
			mu.Lock()
			defer mu.Unlock()
			left--
			r.merge(part, err)
			if left == 0 {
				t.done <- r.completion
			}
		}
	}
	return true
}

// hold accepts a request whose work is queued later, together with that of others,
// or reports that there is no room for it now.
func (t *transfers) hold() bool {
	if t.pending == queueSize {
		return false
	}
	t.pending++
	t.held++
	return true
}

// onlyHeld says whether nothing can end unless what is held is queued.
func (t *transfers) onlyHeld() bool { return t.held > 0 && t.held == t.pending }

// queue has a worker do the work of requests that were held. It must complete each
// of them.
func (t *transfers) queue(requests int, work func(context.Context)) {
	t.held -= requests
	t.queued.Add(1)
	select {
	case t.tasks <- work:
	case <-t.ctx.Done():
	}
}

// complete ends a request that was held.
func (t *transfers) complete(r *request, err error) {
	r.merge(abi.Completion{}, err)
	t.done <- r.completion
}

func (r *request) merge(part abi.Completion, err error) {
	r.completion.Bytes += part.Bytes
	r.completion.Records += part.Records
	if err != nil && r.completion.Status == 0 {
		r.completion.Status = -int32(abi.ErrnoOf(err))
		r.failed(err)
	}
}

// wait blocks until at least one request has ended and returns how many
// completions it stored; 0 when nothing is under way.
func (t *transfers) wait(dst []abi.Completion) (int, error) {
	if t.pending == 0 || len(dst) == 0 {
		return 0, nil
	}
	select {
	case <-t.ctx.Done():
		return 0, context.Cause(t.ctx)
	case dst[0] = <-t.done:
	}
	n := 1
	for n < len(dst) && len(t.done) > 0 {
		dst[n] = <-t.done
		n++
	}
	t.pending -= n
	return n, nil
}

// stop cancels what is under way and returns when no worker runs any more.
func (t *transfers) stop() {
	t.cancel()
	t.running.Wait()
}
