package host

import (
	"fmt"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// ledger is the host's own record of what a session did. The manifest is written
// from it and from nothing that the guest says.
type ledger struct {
	mu       sync.Mutex
	files    []fileState // of the checkpoint, by file id
	records  []coverage  // ranges of records that are stored
	scans    []coverage  // ranges of records that the guest has read to their end
	streams  []catalog.File
	open     int // streams not yet closed
	numbered int // file names given out
	failure  error
	progress Progress
	report   func(Progress)
}

// fileState is what became of one file of the checkpoint.
type fileState struct {
	phase filePhase
	entry catalog.File
}

type filePhase uint8

const (
	fileMissing filePhase = iota
	fileUnderWay
	fileStored
)

// coverage is a range of a column family's records, with their sum.
type coverage struct {
	family      uint32
	first, last uint32 // key groups, inclusive
	sum         canonical.Sum
	streamed    bool // written by the guest, not exported by the host
	transformed bool
	entries     []catalog.File // objects that hold the range
}

func (c coverage) sameRange(d coverage) bool {
	return c.family == d.family && c.first == d.first && c.last == d.last
}

// expect enters the files of the checkpoint.
func (l *ledger) expect(files []capturedFile) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.files = make([]fileState, len(files))
	for _, f := range files {
		l.progress.BytesTotal += f.entry.Size
	}
	l.progress.FilesTotal = len(files)
}

// begin claims a file: each is stored exactly once.
func (l *ledger) begin(id uint32, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.files[id].phase != fileMissing {
		return fmt.Errorf("%s was submitted twice: %w", name, abi.ECONFLICT)
	}
	l.files[id].phase = fileUnderWay
	return nil
}

// end enters the outcome of a claimed file; after a failure it may be tried again.
func (l *ledger) end(id uint32, entry catalog.File, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.files[id].phase = fileMissing
		return
	}
	l.files[id] = fileState{fileStored, entry}
	l.progress.FilesDone++
	if entry.Reused {
		l.progress.BytesDone += entry.Size
		l.progress.BytesReused += entry.Size
	}
	l.show()
}

// cover enters a stored range of records.
func (l *ledger) cover(c coverage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.records = append(l.records, c)
	l.progress.FilesDone += len(c.entries)
	l.show()
}

// scanned enters a range that the guest has read to its end.
func (l *ledger) scanned(c coverage) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.scans = append(l.scans, c)
}

// streamed enters a stored raw stream.
func (l *ledger) streamed(entry catalog.File) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams = append(l.streams, entry)
}

// opened counts streams that are open, so that a forgotten one is noticed.
func (l *ledger) opened(change int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open += change
}

// fail remembers the first failure, since only its number reaches the guest.
func (l *ledger) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failure == nil {
		l.failure = err
	}
}

// note is for failures that a strategy is expected to deal with.
func (l *ledger) note(err error) {
	if abi.ErrnoOf(err) != abi.ENOENT {
		l.fail(err)
	}
}

func (l *ledger) cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failure
}

// moved counts bytes on their way to the store.
func (l *ledger) moved(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress.BytesDone += int64(n)
	l.show()
}

// resumed counts bytes that an earlier session had stored.
func (l *ledger) resumed(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress.BytesDone += n
	l.progress.BytesResumed += n
	l.show()
}

// expectBytes raises the total, for data whose size is an estimate.
func (l *ledger) expectBytes(n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress.BytesTotal += n
}

func (l *ledger) strategyProgress(done, total uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.progress.StrategyDone, l.progress.StrategyTotal = done, total
	l.show()
}

func (l *ledger) show() {
	if l.report != nil {
		l.report(l.progress)
	}
}

// number returns the next number for the file of a range or stream.
func (l *ledger) number() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.numbered++
	return l.numbered
}
