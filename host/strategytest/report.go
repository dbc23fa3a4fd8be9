package strategytest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/host"
)

// Outcome says how a strategy stands to a law.
type Outcome string

// The outcomes.
const (
	Pass Outcome = "pass"
	Fail Outcome = "fail"
	Skip Outcome = "skip"
)

// Result is what became of one law.
type Result struct {
	Law     string  `json:"law"`
	Outcome Outcome `json:"outcome"`
	Detail  string  `json:"detail"`  // the first failure in one line, or why it was skipped, or what was measured
	Text    string  `json:"text"`    // the first failure in full, where that is more than a line: what a panic wrote
	Seconds float64 `json:"seconds"` // that it took
}

// Report is what an author can show of a strategy.
type Report struct {
	Name     string    `json:"name"`
	Version  string    `json:"version"` // of the module's metadata; "" without any
	SHA256   string    `json:"sha256"`  // of the module's file
	ABI      string    `json:"abi"`     // that the module imports
	Kind     string    `json:"kind"`    // of its snapshots, as in manifests
	Reuses   bool      `json:"reuses"`  // it takes over what an earlier snapshot shares
	Config   string    `json:"config"`  // that it was checked with, in TOML
	Rocksnap string    `json:"rocksnap"`
	RocksDB  string    `json:"rocksdb"`
	Platform string    `json:"platform"`
	Date     time.Time `json:"date"`
	Quick    bool      `json:"quick"` // laws that take many seconds were left out
	Laws     []Result  `json:"laws"`
	Passed   bool      `json:"passed"`
}

// Options says how laws are checked.
type Options struct {
	Quick  bool         // leave out the laws that take many seconds
	Cache  string       // folder of compiled modules; "" for that of tests
	Runs   int          // of the law about memory; 0 for 1,000
	Report func(Result) // hears of each law as it ends; nil for nobody
}

const manyRuns = 1000

// notInNames is what a name of a strategy does not consist of.
var notInNames = regexp.MustCompile(`[^a-z0-9._-]+`)

// FromModule returns the subject that a module is. Its name comes from the module
// or else from the file, its grants from what it imports. What kind of snapshots
// it takes is found out by [Check]. config holds lines of its own table, in TOML.
func FromModule(path, config string) (Subject, error) {
	info, err := host.InspectModule(path)
	if err != nil {
		return Subject{}, err
	}
	return Subject{Name: nameFrom(cmp.Or(info.Name, strings.TrimSuffix(filepath.Base(path), ".wasm"))), Module: path, Allow: info.Capabilities, Config: config, unknown: true}, nil
}

// nameFrom is a name for a configuration.
func nameFrom(text string) string {
	text = strings.TrimLeft(notInNames.ReplaceAllString(strings.ToLower(text), "-"), "._-")
	return cmp.Or(text[:min(len(text), 64)], "strategy")
}

// Check checks all laws on a subject, on its module where it has one, and makes a
// report of it. A law that is broken is no error; the report tells.
func Check(ctx context.Context, s Subject, o Options) (*Report, error) {
	if forms := s.forms(); len(forms) > 0 {
		s = forms[len(forms)-1]
	}
	s.cache, s.runs = o.Cache, o.Runs
	if s.runs == 0 {
		s.runs = manyRuns
	}
	folder, err := os.MkdirTemp("", "strategytest-")
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", s.Name, err)
	}
	report := newReport(s, o)
	err = errors.Join(report.fill(&runner{ctx: ctx, folder: folder}, s, o), os.RemoveAll(folder))
	if err != nil {
		return nil, fmt.Errorf("check %s: %w", s.Name, err)
	}
	return report, nil
}

func newReport(s Subject, o Options) *Report {
	r := &Report{
		Name: s.Name, Config: s.Config, RocksDB: host.RocksDBVersion(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		Date: time.Now().UTC().Truncate(time.Second), Quick: o.Quick, Passed: true, Rocksnap: "(devel)",
	}
	if build, ok := debug.ReadBuildInfo(); ok && build.Main.Version != "" {
		r.Rocksnap = build.Main.Version
	}
	if info, err := host.InspectModule(s.Module); err == nil {
		r.Version, r.SHA256, r.ABI = info.Version, info.SHA256, info.ABI
	}
	return r
}

// fill checks the laws. Without a snapshot there is nothing to check them on.
func (r *Report) fill(with *runner, s Subject, o Options) error {
	start := law{name: "takes snapshots", check: func(t T, _ Subject) { learn(t, &s) }}
	for _, l := range append([]law{start}, laws...) {
		result := Result{Law: l.name, Outcome: Skip, Detail: l.outside(s)}
		switch {
		case result.Detail != "":
		case !r.Passed && len(r.Laws) > 0 && r.Laws[0].Outcome == Fail:
			result.Detail = "it takes no snapshot"
		case l.slow && o.Quick:
			result.Detail = "takes many seconds; leave out --quick"
		default:
			result = check(with, l, s)
		}
		if err := with.ctx.Err(); err != nil {
			return err
		}
		r.Laws = append(r.Laws, result)
		r.Passed = r.Passed && result.Outcome != Fail
		if o.Report != nil {
			o.Report(result)
		}
	}
	r.Kind, r.Reuses = s.kind(), s.Reuses
	return nil
}

func check(with *runner, l law, s Subject) Result {
	began := time.Now()
	failures, notes := (&runner{ctx: with.ctx, folder: with.folder}).run(func(t T) { l.check(t, s) })
	result := Result{Law: l.name, Outcome: Pass, Detail: strings.Join(notes, "; "), Seconds: time.Since(began).Round(time.Millisecond).Seconds()}
	if len(failures) > 0 {
		result.Outcome, result.Detail = Fail, firstLine(failures)
		if strings.Contains(failures[0], "\n") {
			result.Text = failures[0]
		}
	}
	return result
}

// learn finds out what kind of snapshots a subject takes, where its author has not
// said so.
func learn(t T, s *Subject) {
	site := NewSite(t, *s, Database{})
	first, second := site.increment()
	if !s.unknown {
		return
	}
	s.unknown = false
	s.Records, s.Custom = first.Kind == "canonical", first.Kind == "custom"
	s.Reuses = second.BytesReused > 0
}

// Verdict is the report in one line.
func (r *Report) Verdict() string {
	count := make(map[Outcome]int)
	for _, l := range r.Laws {
		count[l.Outcome]++
	}
	text := fmt.Sprintf("%d laws hold, %d broken, %d skipped", count[Pass], count[Fail], count[Skip])
	if r.Passed {
		return "PASSED: " + text
	}
	return "FAILED: " + text
}

// Markdown is the report as a document.
func (r *Report) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Conformance of %s %s\n\n%s.\n\n", r.Name, r.Version, r.Verdict())
	fmt.Fprintf(&b, "| | |\n|---|---|\n| module sha256 | `%s` |\n| ABI | %s |\n| snapshots | %s, reuse %t |\n", r.SHA256, r.ABI, r.Kind, r.Reuses)
	fmt.Fprintf(&b, "| rocksnap | %s |\n| RocksDB | %s |\n| platform | %s |\n| date | %s |\n\n", r.Rocksnap, r.RocksDB, r.Platform, r.Date.Format(time.RFC3339))
	if r.Config != "" {
		fmt.Fprintf(&b, "```toml\n%s\n```\n\n", r.Config)
	}
	b.WriteString("| law | result | seconds | |\n|---|---|---|---|\n")
	for _, l := range r.Laws {
		fmt.Fprintf(&b, "| %s | %s | %.1f | %s |\n", l.Law, l.Outcome, l.Seconds, strings.ReplaceAll(l.Detail, "|", "\\|"))
	}
	for _, l := range r.Laws {
		if l.Text != "" {
			fmt.Fprintf(&b, "\n%s:\n\n    %s\n", l.Law, strings.ReplaceAll(l.Text, "\n", "\n    ")) // no text ends such a block
		}
	}
	return b.String()
}
