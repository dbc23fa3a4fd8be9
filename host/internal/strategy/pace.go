package strategy

import (
	"context"
	"time"
)

// paceEvery is how many calls pass between two looks at the clock, which costs as
// much as a call.
const paceEvery = 1024

// pace slows down a guest that calls the host without end, so that what others
// ask of the host is served too. A guest that was slow may be fast for a second.
type pace struct {
	calls int       // since the last look at the clock
	due   time.Time // when the calls so far would have been made at the permitted rate
}

// call counts a call, and waits when there were too many in too short a time:
// until they are due, the run ends, or alive does.
func (p *pace) call(run, alive context.Context, perSecond int) {
	if p.calls++; p.calls < paceEvery {
		return
	}
	p.calls = 0
	if wait := p.owed(time.Now(), perSecond); wait > 0 {
		sleep(run, alive, wait)
	}
}

// owed returns how long to wait after another paceEvery calls.
func (p *pace) owed(now time.Time, perSecond int) time.Duration {
	if earliest := now.Add(-time.Second); p.due.Before(earliest) {
		p.due = earliest
	}
	p.due = p.due.Add(paceEvery * time.Second / time.Duration(perSecond))
	return p.due.Sub(now)
}

// sleep ends early when the run does, so that the guest gets to know. One that
// goes on calling after that is slowed down still, until it is killed.
func sleep(run, alive context.Context, d time.Duration) {
	done := run.Done()
	if run.Err() != nil {
		done = alive.Done()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
	}
}
