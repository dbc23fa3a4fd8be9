package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Spread is the median of some figures, and the least and the largest of them.
type Spread struct{ Median, Low, High float64 }

func spread(figures []float64) Spread {
	if len(figures) == 0 {
		return Spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	middle := sorted[len(sorted)/2]
	if len(sorted)%2 == 0 {
		middle = (middle + sorted[len(sorted)/2-1]) / 2
	}
	return Spread{middle, sorted[0], sorted[len(sorted)-1]}
}

// each returns a figure of every round.
func (r Row) each(figure func(Measure) float64) []float64 {
	list := make([]float64, len(r.Rounds))
	for i, m := range r.Rounds {
		list[i] = figure(m)
	}
	return list
}

func seconds(m Measure) float64 { return m.Took.Seconds() }
func peak(m Measure) float64    { return float64(m.Peak) }
func moved(m Measure) float64   { return float64(m.Bytes) }

// Seconds returns the spread of the times.
func (r Row) Seconds() Spread { return spread(r.each(seconds)) }

// Peak returns the spread of the peaks of memory, in bytes.
func (r Row) Peak() Spread { return spread(r.each(peak)) }

// Bytes returns how many bytes a run moved or stored; 0 where nobody knows.
func (r Row) Bytes() int64 { return int64(spread(r.each(moved)).Median) }

// Versus returns how many times as long as another, round by round, a contender
// took.
func (r Row) Versus(other Row) Spread { return spread(r.ratios(other, seconds, 0)) }

// ratios divides the figures of pairs. Off is what is left out of ours before.
func (r Row) ratios(other Row, figure func(Measure) float64, off float64) []float64 {
	ours, theirs := r.each(figure), other.each(figure)
	list := make([]float64, 0, len(ours))
	for i := range min(len(ours), len(theirs)) {
		if theirs[i] > 0 {
			list = append(list, max(ours[i]-off, 0)/theirs[i])
		}
	}
	return list
}

// Verdict is what came of a bar.
type Verdict struct {
	Bar     Bar
	Against string // the name of the contender that was the quickest; "" without one
	Missing string // why nothing was judged; "" when it was
	Figure  Spread // what is judged: a ratio to the other one, or else seconds or bytes
	Limit   float64
	Reached bool
}

// Verdicts judges the bars of the case.
func (r Result) Verdicts() []Verdict {
	verdicts := make([]Verdict, len(r.Case.Bars))
	for i, bar := range r.Case.Bars {
		verdicts[i] = r.judge(bar)
	}
	return verdicts
}

func (r Result) judge(bar Bar) Verdict {
	v := Verdict{Bar: bar}
	switch {
	case len(r.Rows) == 0:
		v.Missing = "the case did not come to its end"
		return v
	case r.Rows[0].Missing != "":
		v.Missing = r.Rows[0].Missing
		return v
	case len(bar.Of) == 0:
		v.Figure, v.Limit = bar.alone(r.Rows[0])
	default:
		against, missing := r.quickest(bar)
		if missing != "" {
			v.Missing = missing
			return v
		}
		v.Against, v.Limit = against.Name, bar.Factor
		v.Figure = spread(r.Rows[0].ratios(against, bar.figure(), bar.Slack.Seconds()))
	}
	v.Reached = v.Figure.Median <= v.Limit
	return v
}

func (b Bar) figure() func(Measure) float64 {
	if b.Memory {
		return peak
	}
	return seconds
}

// alone is what a bar without others judges, and its limit.
func (b Bar) alone(r Row) (Spread, float64) {
	switch {
	case b.Memory:
		return r.Peak(), float64(b.Peak)
	case b.Size > 0:
		return spread(r.each(moved)), float64(b.Size)
	}
	return r.Seconds(), b.Slack.Seconds()
}

// quickest returns the best of the bar's others. All of them must have run: the one
// that is missing might have been it.
func (r Result) quickest(b Bar) (best Row, missing string) {
	var rows []Row
	for _, name := range b.Of {
		i := slices.IndexFunc(r.Rows, func(row Row) bool { return row.Name == name })
		if i < 0 {
			return best, "there is no " + name
		}
		if r.Rows[i].Missing != "" {
			return best, r.Rows[i].Missing
		}
		rows = append(rows, r.Rows[i])
	}
	return slices.MinFunc(rows, func(a, c Row) int {
		return cmp.Compare(spread(a.each(b.figure())).Median, spread(c.each(b.figure())).Median)
	}), ""
}

// String says what must be reached, for people.
func (b Bar) String() string {
	switch {
	case len(b.Of) == 0 && b.Memory:
		return "peak <= " + volume(float64(b.Peak))
	case len(b.Of) == 0 && b.Size > 0:
		return "<= " + volume(float64(b.Size))
	case len(b.Of) == 0:
		return "<= " + span(b.Slack)
	}
	what := strings.Join(b.Of, " / ")
	if b.Memory {
		return fmt.Sprintf("peak <= %.2f x %s", b.Factor, what)
	}
	text := fmt.Sprintf(">= %.2f x as fast as %s", 1/b.Factor, what)
	if b.Factor >= 1 || b.Slack > 0 {
		text = fmt.Sprintf("<= %.2f x %s", b.Factor, what)
	}
	if b.Slack > 0 {
		text += " + " + span(b.Slack)
	}
	return text
}

// text says what was found, for people.
func (v Verdict) text() string {
	if v.Missing != "" {
		return v.Missing
	}
	show := func(f float64) string { return fmt.Sprintf("%.2f x", f) }
	s := v.Figure
	switch {
	case v.Against == "" && (v.Bar.Memory || v.Bar.Size > 0):
		show = volume
	case v.Against == "":
		show = func(f float64) string { return span(time.Duration(f * float64(time.Second))) }
	case v.Bar.Factor < 1 && v.Bar.Slack == 0:
		s = inverse(s)
	}
	return fmt.Sprintf("%s (%s to %s)", show(s.Median), show(s.Low), show(s.High))
}

func inverse(s Spread) Spread {
	over := func(f float64) float64 {
		if f == 0 {
			return 0
		}
		return 1 / f
	}
	return Spread{over(s.Median), over(s.High), over(s.Low)}
}

// span is a time for people, with three digits.
func span(d time.Duration) string {
	switch {
	case d >= 100*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d >= 100*time.Millisecond:
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	case d >= time.Millisecond:
		return fmt.Sprintf("%.2f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.0f us", float64(d)/float64(time.Microsecond))
}

// volume is a size for people.
func volume(n float64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.2f GiB", n/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", n/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", n/(1<<10))
	}
	return fmt.Sprintf("%.0f B", n)
}
