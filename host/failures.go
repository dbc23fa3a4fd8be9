package host

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
)

// parallel runs tasks side by side. The first that fails cancels the others, and
// what fails by itself before it hears of that is told as well: three files that
// three disks have lost should not take three attempts to find.
type parallel struct {
	*errgroup.Group
	ctx      context.Context // of the tasks
	mu       sync.Mutex
	failures []error
}

func newParallel(ctx context.Context, limit int) *parallel {
	p := new(parallel)
	p.Group, p.ctx = errgroup.WithContext(ctx)
	p.SetLimit(limit)
	return p
}

// run starts a task as soon as there is room for it.
func (p *parallel) run(task func(ctx context.Context) error) {
	p.Go(func() error {
		err := task(p.ctx)
		if err != nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.failures = append(p.failures, err)
		}
		return err
	})
}

// wait returns when all tasks have ended, with what went wrong.
func (p *parallel) wait() error {
	first := p.Wait()
	if first == nil || errors.Is(first, context.Canceled) {
		return first
	}
	distinct := failures{first}
	for _, err := range p.failures {
		same := func(other error) bool { return other.Error() == err.Error() }
		if !errors.Is(err, context.Canceled) && !slices.ContainsFunc(distinct, same) {
			distinct = append(distinct, err)
		}
	}
	if len(distinct) == 1 {
		return first
	}
	return distinct
}

// failures are several errors in one line, the first of which came first.
type failures []error

func (f failures) Error() string {
	texts := make([]string, len(f))
	for i, err := range f {
		texts[i] = err.Error()
	}
	return fmt.Sprintf("%d failures: %s", len(f), strings.Join(texts, "; "))
}

func (f failures) Unwrap() []error { return f }
