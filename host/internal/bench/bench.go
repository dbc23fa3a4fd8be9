// Package bench runs rocksnap's operations and those of other programs in turn, on
// the same database, and compares the medians. A machine that others use as well
// slows down both of a pair, so nothing here is judged by a time alone where there
// is something to compare it with.
package bench

import (
	"context"
	"time"
)

// Measure is what one run took.
type Measure struct {
	Took  time.Duration
	Bytes int64 // that were moved, where the contender knows
	Peak  int64 // bytes of memory at most, above those at rest; 0 where nobody looked
}

// Contender is one way to do the work of a [Case].
type Contender struct {
	Name    string                                 // as in the table: "rocksnap", "BackupEngine, 2 threads, sync"
	Missing string                                 // what has to be installed first, and how; "" when it can run
	Before  func(context.Context) error            // puts things back before each run, untimed; may be nil
	Run     func(context.Context) (Measure, error) // does the work and times what counts of it
}

// Case is a piece of work that several contenders do.
type Case struct {
	Name  string // "full-directory"
	About string // one line for readers: what is done, on what
	Bars  []Bar

	// Contenders sets the work up on the ground. The first is rocksnap.
	Contenders func(context.Context, *Ground) ([]Contender, error)
}

// Bar is what rocksnap must reach in a case: its time is at most Factor times that
// of the quickest of some others, and Slack. A bar for memory is judged by peaks.
type Bar struct {
	Of     []string      // names of contenders; none for a bar in time alone, or in Peak
	Factor float64       // 0.25 means four times as fast
	Slack  time.Duration // added to theirs
	Memory bool          // the peak is judged
	Peak   int64         // bytes of memory at most, without Of
	Size   int64         // bytes moved or stored at most, without Of
}
