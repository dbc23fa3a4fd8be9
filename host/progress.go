package host

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/rocksnap/rocksnap/abi"
)

// Progress is how far a long operation has come.
type Progress struct {
	Phase         string // "snapshot", "restore", "verify", "digest"
	BytesDone     int64  // including reused ones
	BytesTotal    int64  // an estimate where records are exported
	BytesReused   int64
	BytesResumed  int64 // that an earlier attempt had moved
	FilesDone     int
	FilesTotal    int
	StrategyDone  uint64 // what the strategy reports of itself, in its own units
	StrategyTotal uint64
}

// progressEvery is the pause between two reports: often enough for an eye,
// seldom enough to cost nothing.
const progressEvery = 100 * time.Millisecond

// throttle returns a report function that passes on at most one call per
// progressEvery, and the one that completes the bytes. A nil report stays nil.
func throttle(phase string, report func(Progress)) func(Progress) {
	if report == nil {
		return nil
	}
	var mu sync.Mutex
	var last time.Time
	var shown int64 // bytes
	return func(p Progress) {
		mu.Lock()
		defer mu.Unlock()
		completes := p.BytesDone == p.BytesTotal && p.BytesDone > shown
		if now := time.Now(); now.Sub(last) >= progressEvery || completes {
			last, shown, p.Phase = now, p.BytesDone, phase
			report(p)
		}
	}
}

// tally counts the progress of parallel work.
type tally struct {
	mu     sync.Mutex
	done   Progress
	report func(Progress)
}

func newTally(phase string, bytes int64, files int, report func(Progress)) *tally {
	return &tally{done: Progress{BytesTotal: bytes, FilesTotal: files}, report: throttle(phase, report)}
}

func (t *tally) bytes(n int) { t.add(int64(n), 0) }
func (t *tally) file()       { t.add(0, 1) }

func (t *tally) add(bytes int64, files int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done.BytesDone += bytes
	t.done.FilesDone += files
	if t.report != nil {
		t.report(t.done)
	}
}

// leastLevel is the lowest level that a logger listens to: what is below it need not
// leave the sandbox.
func leastLevel(log *slog.Logger) abi.Level {
	level := abi.LevelDebug
	for level < abi.LevelError && !log.Enabled(context.Background(), slogLevel(level)) {
		level++
	}
	return level
}

func slogLevel(level abi.Level) slog.Level {
	switch level {
	case abi.LevelDebug:
		return slog.LevelDebug
	case abi.LevelInfo:
		return slog.LevelInfo
	case abi.LevelWarn:
		return slog.LevelWarn
	}
	return slog.LevelError
}

// discard is the logger of a host that was given none.
var discard = slog.New(slog.DiscardHandler)
