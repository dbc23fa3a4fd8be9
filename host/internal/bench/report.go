package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Schema names the form of [Report] as JSON.
const Schema = "rocksnap.bench/1"

// Report is what a run of the cases found.
type Report struct {
	Schema  string    `json:"schema"`
	Date    time.Time `json:"date"`
	Command string    `json:"command"`
	Small   bool      `json:"small"` // too small to say much
	Bytes   int64     `json:"database_bytes"`
	Rounds  int       `json:"rounds"`
	Machine Machine   `json:"machine"`
	Cases   []Outcome `json:"cases"`
}

// Outcome is a case in a report.
type Outcome struct {
	Name       string    `json:"name"`
	About      string    `json:"about"`
	Error      string    `json:"error,omitempty"`
	Contenders []Figures `json:"contenders,omitempty"`
	Bars       []Check   `json:"bars,omitempty"`
}

// Figures are those of a contender. Low and high are the least and the largest.
type Figures struct {
	Name      string    `json:"name"`
	Missing   string    `json:"missing,omitempty"`
	MedianMs  float64   `json:"median_ms"`
	LowMs     float64   `json:"low_ms"`
	HighMs    float64   `json:"high_ms"`
	RoundsMs  []float64 `json:"rounds_ms,omitempty"`
	Bytes     int64     `json:"bytes,omitempty"`
	PeakBytes int64     `json:"peak_bytes,omitempty"`
	Ratio     float64   `json:"ratio,omitempty"` // of its time to rocksnap's: the median of the rounds
	RatioLow  float64   `json:"ratio_low,omitempty"`
	RatioHigh float64   `json:"ratio_high,omitempty"`
}

// Check is a bar in a report.
type Check struct {
	Bar     string `json:"bar"`
	Found   string `json:"found,omitempty"`
	Missing string `json:"missing,omitempty"`
	Reached bool   `json:"reached"`
}

// NewReport sums results up.
func NewReport(g *Ground, results []Result, rounds int, command, version string) *Report {
	r := &Report{
		Schema: Schema, Date: time.Now().UTC().Truncate(time.Second), Command: command, Bytes: g.Size,
		Rounds: rounds, Machine: g.Machine(version), Small: g.Size < 256<<20 || rounds < MinRounds,
	}
	for _, result := range results {
		r.Cases = append(r.Cases, result.outcome())
	}
	return r
}

func (r Result) outcome() Outcome {
	o := Outcome{Name: r.Case.Name, About: r.Case.About}
	if r.Err != nil {
		o.Error = r.Err.Error()
	}
	for _, row := range r.Rows {
		o.Contenders = append(o.Contenders, row.figures(r.Rows[0]))
	}
	for _, v := range r.Verdicts() {
		c := Check{Bar: v.Bar.String(), Missing: v.Missing, Reached: v.Reached}
		if v.Missing == "" {
			c.Found = v.text()
		}
		o.Bars = append(o.Bars, c)
	}
	return o
}

func (r Row) figures(first Row) Figures {
	const ms = 1000
	times, ratio := r.Seconds(), r.Versus(first)
	f := Figures{
		Name: r.Name, Missing: r.Missing, MedianMs: times.Median * ms, LowMs: times.Low * ms, HighMs: times.High * ms,
		Bytes: r.Bytes(), PeakBytes: int64(r.Peak().Median), Ratio: ratio.Median, RatioLow: ratio.Low, RatioHigh: ratio.High,
	}
	for _, s := range r.each(seconds) {
		f.RoundsMs = append(f.RoundsMs, s*ms)
	}
	return f
}

// Write writes results.md, results.json and results.svg into a folder.
func (r *Report) Write(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	var table, plot bytes.Buffer
	r.Markdown(&table)
	r.plot(&plot)
	for name, content := range map[string][]byte{"results.json": append(doc, '\n'), "results.md": table.Bytes(), "results.svg": plot.Bytes()} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	return nil
}

// Markdown writes the report as tables.
func (r *Report) Markdown(w io.Writer) {
	fmt.Fprintf(w, "# Results\n\n`%s`, %s\n\n%s\n\n", r.Command, r.Date.Format(time.DateOnly), r.Machine)
	fmt.Fprintf(w, "Databases of %s, where a case does not say another; %d rounds. A time is the median, with the least and the largest;\na ratio is the median of the rounds' ratios.\n", volume(float64(r.Bytes)), r.Rounds)
	if r.Small {
		fmt.Fprint(w, "\n**This was a small run, to see that every case works. Its figures say little.**\n")
	}
	r.bars(w)
	for i := range r.Cases {
		r.Cases[i].markdown(w)
	}
}

// bars writes what had to be reached in all cases.
func (r *Report) bars(w io.Writer) {
	fmt.Fprint(w, "\n## What it must show\n\n| case | bar | found | |\n|---|---|---|---|\n")
	for _, o := range r.Cases {
		for _, b := range o.Bars {
			mark := "**missed**"
			switch {
			case b.Missing != "":
				mark = "not judged"
			case b.Reached:
				mark = "reached"
			}
			fmt.Fprintf(w, "| %s | %s | %s | %s |\n", o.Name, b.Bar, b.Found+b.Missing, mark)
		}
	}
}

func (o Outcome) markdown(w io.Writer) {
	fmt.Fprintf(w, "\n## %s\n\n%s\n\n", o.Name, o.About)
	if o.Error != "" {
		fmt.Fprintf(w, "Failed: %s\n", o.Error)
		return
	}
	fmt.Fprint(w, "| | time | times that of rocksnap | bytes | peak of memory |\n|---|---|---|---|---|\n")
	for _, f := range o.Contenders {
		fmt.Fprintf(w, "| %s |\n", strings.Join(f.cells(), " | "))
	}
}

// cells are the columns of a contender's line.
func (f Figures) cells() []string {
	if f.Missing != "" {
		return []string{f.Name, f.Missing, "", "", ""}
	}
	cells := []string{f.Name, fmt.Sprintf("%s (%s to %s)", ms(f.MedianMs), ms(f.LowMs), ms(f.HighMs)), fmt.Sprintf("%.2f (%.2f to %.2f)", f.Ratio, f.RatioLow, f.RatioHigh), "", ""}
	if f.Bytes > 0 {
		cells[3] = volume(float64(f.Bytes))
	}
	if f.PeakBytes > 0 {
		cells[4] = volume(float64(f.PeakBytes))
	}
	return cells
}

func ms(t float64) string { return span(time.Duration(t * float64(time.Millisecond))) }

// String describes the machine in a line.
func (m Machine) String() string {
	text := fmt.Sprintf("%d cores, %s of memory, %s, %s", m.Cores, volume(float64(m.Memory)), m.FileSystem, m.Kernel)
	for _, name := range []string{"rocksnap", "RocksDB", "Go", "restic", "rclone", "versitygw"} {
		if version := m.Versions[name]; version != "" {
			text += ", " + name + " " + version
		}
	}
	return text
}
