package strategytest

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob/mem"
	"github.com/rocksnap/rocksnap/host/internal/tap"
)

const (
	manyFiles    = 10_000
	callsPerFile = 4 // a strategy that asks for each file by itself needs three
)

// tenThousandFiles takes a snapshot of a database of that many tables. The calls
// may grow with the files, and not faster.
func tenThousandFiles(t T, s Subject) {
	site := NewSite(t, s, Database{})
	site.ingestMany(manyFiles)
	site.store = mem.New()
	_, err := host.Init(t.Context(), site.cfg, host.InitOptions{SkipProbe: true}, host.WithStore(site.store))
	must(t, err, "make a repository")
	site.Host = site.open()
	var trace tap.Trace
	site.around = trace.Around
	m := site.Snapshot()
	holds(t, s.Records || s.Custom || m.Files > manyFiles, "the snapshot has %d files of more than %d", m.Files, manyFiles)
	holds(t, trace.Calls() <= callsPerFile*manyFiles, "%d calls of the host for %d files, at most %d are reasonable", trace.Calls(), manyFiles, callsPerFile*manyFiles)
	t.Logf("%d calls of the host for %d files", trace.Calls(), m.Files)
}

// ingestMany makes a database of count tables of one record each.
func (s *Site) ingestMany(count int) {
	dir := filepath.Join(s.t.TempDir(), "tables")
	must(s.t, os.Mkdir(dir, 0o755), "make a folder")
	var files []string
	for i := range count {
		block := canonical.AppendRecord(nil, fmt.Appendf(nil, "table-%06d", i), []byte("one record"))
		files = append(files, s.table("default", dir, block)...)
	}
	must(s.t, s.db.Ingest("default", files), "ingest tables")
}

const (
	fewRuns = 200     // in a Go test
	slack   = 8 << 20 // bytes of heap that come and go
	slackOS = 48 << 20
)

// memoryStaysFlat takes snapshots one after the other: an instance that is not
// freed, or a buffer that grows from run to run, shows. The first quarter is not
// counted, in which caches and pools fill.
func memoryStaysFlat(t T, s Subject) {
	runs := s.runs
	if runs == 0 {
		runs = fewRuns
	}
	site := NewSite(t, s, Database{})
	site.Fill("default", 1, 100)
	site.Flush()
	var heap, resident int64
	for i := range runs {
		if i == runs/4 {
			heap, resident = memory(t)
		}
		site.Snapshot()
	}
	laterHeap, laterResident := memory(t)
	holds(t, laterHeap-heap < slack, "the heap grew by %d KiB over %d runs", (laterHeap-heap)>>10, runs-runs/4)
	holds(t, laterResident-resident < slackOS, "resident memory grew by %d KiB over %d runs", (laterResident-resident)>>10, runs-runs/4)
	t.Logf("over %d runs the heap grew by %d KiB, resident memory by %d KiB", runs-runs/4, (laterHeap-heap)>>10, (laterResident-resident)>>10)
}

// memory returns the bytes of the heap that are in use, and those of the process
// that are in memory.
func memory(t T) (heap, resident int64) {
	runtime.GC()
	runtime.GC() // what finalizers have freed
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	text, err := os.ReadFile("/proc/self/statm")
	must(t, err, "read the size of the process")
	pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
	must(t, err, "read the size of the process")
	return int64(stats.HeapAlloc), pages * int64(os.Getpagesize())
}
