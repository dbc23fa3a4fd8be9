package strategytest

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/tap"
)

var updateTraces = flag.Bool("strategytest.update", false, "write golden traces of strategies instead of comparing them")

// sameTrace records what each form calls for a fixed small database. The forms
// must do the same, and the same as the golden file says: the order of effects
// is part of what a strategy is. What one form did, the other does on replay.
func sameTrace(t *testing.T, forms []Subject) {
	traces := make([]string, len(forms))
	for i, form := range forms {
		traces[i] = trace(t, form)
		same(t, traces[0], traces[i], "calls of the "+form.form()+" form")
	}
	recording := record(t, forms[0])
	for _, form := range forms {
		replay(t, form, recording)
	}
	golden := forms[0].Trace
	if golden == "" {
		return
	}
	if *updateTraces {
		must(t, os.MkdirAll(filepath.Dir(golden), 0o755), "make a folder for traces")
		must(t, os.WriteFile(golden, []byte(traces[0]), 0o644), "write the trace")
	}
	want, err := os.ReadFile(golden)
	must(t, err, "read the trace; make it with -strategytest.update")
	same(t, string(want), traces[0], "calls of the strategy")
}

// trace takes two snapshots and returns the calls of both.
func trace(t T, s Subject) string {
	var trace tap.Trace
	site := fixedSite(t, s)
	site.around = trace.Around
	for i, title := range []string{"# first", "# second"} {
		trace.Title(title)
		site.Fill("default", uint64(i), 100)
		site.Fill("orders", uint64(i), 100)
		site.Snapshot()
	}
	return trace.String()
}

func fixedSite(t T, s Subject) *Site {
	return NewSite(t, s, Database{Families: []string{"orders"}, Flush: "always"})
}

// replays records a snapshot and has the subject take it again, twice, from the
// recording alone: it may depend on nothing but its session.
func replays(t T, s Subject) {
	recording := record(t, s)
	for range 2 {
		replay(t, s, recording)
	}
}

// record takes two snapshots and records the second.
func record(t T, s Subject) []byte {
	var recording bytes.Buffer
	site := fixedSite(t, s)
	site.Fill("default", 1, 100)
	site.Snapshot()
	site.Fill("orders", 2, 100)
	recorder, err := tap.NewRecorder(&recording, tap.Header{Strategy: s.Name})
	must(t, err, "record a snapshot")
	site.around = recorder.Around
	site.Snapshot()
	must(t, recorder.Err(), "record a snapshot")
	return recording.Bytes()
}

func replay(t T, s Subject, recording []byte) {
	recorded, err := tap.ReadRecording(bytes.NewReader(recording))
	must(t, err, "read the recording")
	var options []host.Option
	if s.Open != nil {
		options = append(options, host.WithStrategy(s.Name, s.Open))
	}
	compiled, err := s.compiled()
	must(t, err, "find a folder for compiled modules")
	cfg := configure(t, s, Database{}, t.TempDir(), t.TempDir())
	err = host.Drive(t.Context(), cfg, s.Name, func(p abi.Phase) abi.Session { return recorded.Session(p) },
		append(options, host.WithModuleCache(compiled))...)
	must(t, recorded.Err(), "the same run again")
	must(t, err, "replay the snapshot")
}
