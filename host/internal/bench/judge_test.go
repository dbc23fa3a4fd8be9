package bench

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// row is a contender with times in milliseconds.
func row(name string, times ...int) Row {
	r := Row{Name: name}
	for _, t := range times {
		r.Rounds = append(r.Rounds, Measure{Took: time.Duration(t) * time.Millisecond, Bytes: int64(t), Peak: int64(t) << 20})
	}
	return r
}

func TestJudge(t *testing.T) {
	rows := []Row{
		row(ours, 10, 20, 30, 40, 500),
		row("slow", 40, 80, 90, 160, 1000),
		row("quick", 30, 30, 30, 30, 30),
		{Name: "absent", Missing: "is not installed"},
	}
	tests := []struct {
		about   string
		bar     Bar
		figure  float64
		against string
		reached bool
		text    string
	}{
		{"median of ratios, not ratio of medians", Bar{Of: []string{"slow"}, Factor: 1 / 4.0}, 1 / 4.0, "slow", true, "4.00 x (2.00 x to 4.00 x)"},
		{"a bit too slow", Bar{Of: []string{"slow"}, Factor: 1 / 4.1}, 1 / 4.0, "slow", false, "4.00 x (2.00 x to 4.00 x)"},
		{"the quickest counts", Bar{Of: []string{"slow", "quick"}, Factor: 1}, 1, "quick", true, "1.00 x (0.33 x to 16.67 x)"},
		{"slack goes before the ratio", Bar{Of: []string{"quick"}, Factor: 0.4, Slack: 20 * time.Millisecond}, 1 / 3.0, "quick", true, "0.33 x (0.00 x to 16.00 x)"},
		{"time alone", Bar{Slack: 29 * time.Millisecond}, 0.030, "", false, "30.00 ms (10.00 ms to 500 ms)"},
		{"memory alone", Bar{Memory: true, Peak: 30 << 20}, 30 << 20, "", true, "30.0 MiB (10.0 MiB to 500.0 MiB)"},
		{"memory of another", Bar{Of: []string{"quick"}, Memory: true, Factor: 1.1}, 1, "quick", true, "1.00 x (0.33 x to 16.67 x)"},
		{"size", Bar{Size: 29}, 30, "", false, "30 B (10 B to 500 B)"},
	}
	for _, test := range tests {
		v := Result{Case: Case{Bars: []Bar{test.bar}}, Rows: rows}.Verdicts()[0]
		assert.Empty(t, v.Missing, test.about)
		assert.InDelta(t, test.figure, v.Figure.Median, 1e-9, test.about)
		assert.Equal(t, test.against, v.Against, test.about)
		assert.Equal(t, test.reached, v.Reached, test.about)
		assert.Equal(t, test.text, v.text(), test.about)
	}
}

// Where one of the others is missing, nothing is claimed: it might have been the best.
func TestMissingIsNotReached(t *testing.T) {
	rows := []Row{row(ours, 1), row("slow", 100), {Name: "absent", Missing: "is not installed"}}
	for _, of := range []string{"absent", "nobody"} {
		v := Result{Case: Case{Bars: []Bar{{Of: []string{"slow", of}, Factor: 1}}}, Rows: rows}.Verdicts()[0]
		assert.NotEmpty(t, v.Missing)
		assert.False(t, v.Reached)
	}
	v := Result{Case: Case{Bars: []Bar{{Slack: time.Hour}}}}.Verdicts()[0]
	assert.False(t, v.Reached, "the case has failed")
}

func TestSpread(t *testing.T) {
	assert.Equal(t, Spread{}, spread(nil))
	assert.Equal(t, Spread{2, 1, 9}, spread([]float64{9, 1, 2}))
	assert.Equal(t, Spread{3, 1, 9}, spread([]float64{9, 1, 2, 4}), "of an even number")
}

func TestFiguresForPeople(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"123 s": 123 * time.Second, "1.50 s": 1500 * time.Millisecond, "200 ms": 200 * time.Millisecond, "1.25 ms": 1250 * time.Microsecond, "7 us": 7 * time.Microsecond,
	} {
		assert.Equal(t, want, span(d))
	}
	for want, n := range map[string]float64{"1.50 GiB": 1.5 * (1 << 30), "2.0 MiB": 2 << 20, "1.0 KiB": 1 << 10, "12 B": 12} {
		assert.Equal(t, want, volume(n))
	}
}

// Every bar names contenders that its case has, and says what it wants.
func TestBarsOfAllCases(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range Cases() {
		assert.False(t, seen[c.Name], c.Name)
		seen[c.Name] = true
		assert.NotEmpty(t, c.About, c.Name)
		assert.NotEmpty(t, c.Bars, c.Name)
		for _, bar := range c.Bars {
			assert.NotContains(t, bar.String(), "Inf", c.Name)
			assert.True(t, bar.Factor > 0 || bar.Slack > 0 || bar.Peak > 0 || bar.Size > 0, "%s: %s", c.Name, bar)
		}
	}
	_, err := Choose([]string{"none"})
	assert.Error(t, err)
}
