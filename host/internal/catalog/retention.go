package catalog

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Policy says which snapshots stay: those that any of its rules keeps. The zero
// Policy keeps every snapshot. Numbers and durations below 1 are rules that are
// not there.
//
// Of two snapshots the one in the later slot is the newer, whatever their dates
// say: clocks jump, slots do not; see [Order] for those that were copied. Periods are those of the calendar in UTC, so
// that the answer is the same on every host and no day has 23 hours.
type Policy struct {
	Last int // keeps that many of the newest snapshots

	// Each of these keeps the newest snapshot of every period, for that many of
	// the newest periods that have one. A period without a snapshot is not counted.
	Hourly, Daily, Weekly, Monthly, Yearly int

	// Within keeps what is no older than that, counted back from the newest
	// snapshot and not from today: a database of which no more snapshots are taken
	// does not lose those that it has.
	Within time.Duration

	Labels []string // "name" or "name=value"; keeps every snapshot that bears one
}

// Empty says whether the policy has no rule at all. Such a policy removes nothing.
func (p Policy) Empty() bool {
	return max(p.Last, p.Hourly, p.Daily, p.Weekly, p.Monthly, p.Yearly) <= 0 && p.Within <= 0 && len(p.Labels) == 0
}

// Verdict is what a policy says of one snapshot, and why, in words for people.
type Verdict struct {
	Snapshot Summary
	Keep     bool
	Reasons  []string // at least one
}

// futureTolerance is how far ahead of the store a host's clock may be before its
// dates are not believed. S3 itself refuses requests that are further off
// (RequestTimeTooSkewed).
const futureTolerance = 15 * time.Minute

// Apply judges the snapshots of one database, given in any order, and returns the
// verdicts oldest first. now is the store's time. pinned holds the ids of the
// snapshots that a pin keeps, each with the reason that was given for it.
//
// Whatever the rules say, Apply keeps the newest snapshot, those that are pinned,
// savepoints, and those that are dated in the future. The last three do not count
// towards the numbers: what an operator keeps, or a wrong clock has dated, takes
// no place from what was taken on schedule.
//
// To judge again what was kept removes nothing more. A larger number, a longer
// Within or a further label in a policy that is not empty never removes what was
// kept without it; nor does a further pin.
func (p Policy) Apply(list []Summary, pinned map[string]string, now time.Time) []Verdict {
	trials := inOrder(list)
	for i, t := range trials {
		if i == len(trials)-1 {
			t.keep("newest")
		}
		t.exempt(pinned, now)
	}
	p.judgeAge(trials)
	for _, r := range p.rules() {
		r.judge(trials)
	}
	p.judgeLabels(trials)
	verdicts := make([]Verdict, len(trials))
	for i, t := range trials {
		verdicts[i] = t.verdict(p.Empty())
	}
	return verdicts
}

// inOrder returns the snapshots for trial, oldest first.
func inOrder(list []Summary) []*trial {
	list = slices.Clone(list)
	Order(list)
	trials := make([]*trial, len(list))
	for i, s := range list {
		trials[i] = &trial{Summary: s}
	}
	return trials
}

// trial is a snapshot on which the rules have not all spoken yet.
type trial struct {
	Summary
	future bool     // its date is not believed
	counts bool     // it counts towards the numbers
	kept   []string // reasons to keep it
	beyond string   // the coarsest rule that does not reach back to it
	behind string   // the finest rule that keeps a newer one of the same period
}

func (t *trial) keep(format string, args ...any) {
	t.kept = append(t.kept, fmt.Sprintf(format, args...))
}

// exempt keeps what no rule can remove.
func (t *trial) exempt(pinned map[string]string, now time.Time) {
	reason, isPinned := pinned[t.ID]
	switch {
	case isPinned && reason != "":
		t.keep("pinned: %s", reason)
	case isPinned:
		t.keep("pinned")
	}
	if t.Savepoint {
		t.keep("savepoint")
	}
	if t.future = t.Created.After(now.Add(futureTolerance)); t.future {
		t.keep("dated in the future (%s)", t.Created.UTC().Format(time.DateOnly))
	}
	t.counts = !isPinned && !t.Savepoint && !t.future
}

// judgeAge applies Within. All that follows the first snapshot it keeps is kept
// too: a clock that was set back does not make a snapshot older than those before
// it.
func (p Policy) judgeAge(trials []*trial) {
	dated := slices.DeleteFunc(slices.Clone(trials), func(t *trial) bool { return t.future })
	if p.Within <= 0 || len(dated) == 0 {
		return
	}
	limit := dated[len(dated)-1].Created.Add(-p.Within)
	within := false
	for _, t := range dated {
		if within = within || !t.Created.Before(limit); within {
			t.keep("within %s", inDays(p.Within))
		} else {
			t.beyond = "not within " + inDays(p.Within)
		}
	}
}

// inDays writes a duration as a configuration does, as in "1d12h": time.Duration
// stops at hours, and writes all that is zero below them.
func inDays(d time.Duration) string {
	const day = 24 * time.Hour
	days, rest := "", (d % day).String()
	if d >= day {
		days = fmt.Sprintf("%dd", d/day)
	}
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(rest, zero) {
			rest = rest[:len(rest)-2]
		}
	}
	if days != "" && rest == "0s" {
		return days
	}
	return days + rest
}

// judgeLabels applies Labels.
func (p Policy) judgeLabels(trials []*trial) {
	for _, label := range p.Labels {
		name, value, exact := strings.Cut(label, "=")
		for _, t := range trials {
			if got, ok := t.Summary.Labels[name]; ok && (!exact || got == value) {
				t.keep("label %s", label)
			}
		}
	}
}

// rule keeps the newest snapshot of each of the newest periods.
type rule struct {
	name   string
	count  int
	period func(time.Time) string // nil: each snapshot is a period by itself
}

// rules returns those of the policy that count, from the finest to the coarsest.
func (p Policy) rules() []rule {
	all := []rule{
		{"last", p.Last, nil},
		{"hourly", p.Hourly, calendar("2006-01-02 15:00 UTC")},
		{"daily", p.Daily, calendar("2006-01-02")},
		{"weekly", p.Weekly, isoWeek},
		{"monthly", p.Monthly, calendar("2006-01")},
		{"yearly", p.Yearly, calendar("2006")},
	}
	return slices.DeleteFunc(all, func(r rule) bool { return r.count <= 0 })
}

func calendar(layout string) func(time.Time) string {
	return func(t time.Time) string { return t.UTC().Format(layout) }
}

// isoWeek names a week by ISO 8601: it begins on Monday, and belongs to the year
// that its Thursday is in.
func isoWeek(t time.Time) string {
	year, week := t.UTC().ISOWeek()
	return fmt.Sprintf("%d-W%02d", year, week)
}

// judge walks from the newest snapshot back. So the order of periods is that of
// their newest slots, and a date from before the clock was set right is one period
// among others, not the oldest of all.
func (r rule) judge(trials []*trial) {
	holders := make(map[string]string) // period -> id of the snapshot that stands for it
	for _, t := range slices.Backward(trials) {
		if !t.counts {
			continue
		}
		period, note := t.ID, ""
		if r.period != nil {
			period = r.period(t.Created)
			note = " (" + period + ")"
		}
		holder, held := holders[period]
		switch {
		case held:
			t.behind = cmp.Or(t.behind, fmt.Sprintf("%s %s is held by %s", r.name, period, holder))
		case len(holders) < r.count:
			holders[period] = t.ID
			t.keep("%s %d of %d%s", r.name, len(holders), r.count, note)
		default:
			t.beyond = fmt.Sprintf("beyond %s %d%s", r.name, r.count, note)
		}
	}
}

// verdict sums up what the rules have said. Of the rules that a removed snapshot
// missed it names the nearest: one that keeps another of the same period, rather
// than one that does not reach back to it. all says that nothing is to be removed.
func (t *trial) verdict(all bool) Verdict {
	switch miss := cmp.Or(t.behind, t.beyond); {
	case len(t.kept) > 0:
		return Verdict{Snapshot: t.Summary, Keep: true, Reasons: t.kept}
	case all:
		return Verdict{Snapshot: t.Summary, Keep: true, Reasons: []string{"the policy is empty"}}
	case miss != "":
		return Verdict{Snapshot: t.Summary, Reasons: []string{"not kept by any rule", miss}}
	}
	return Verdict{Snapshot: t.Summary, Reasons: []string{"not kept by any rule"}}
}
