package config

import "strings"

// Retention is the policy by which snapshots are pruned. What any of the rules
// keeps stays.
type Retention struct {
	KeepLast    int      // newest snapshots
	KeepHourly  int      // hours with a snapshot, the newest of each
	KeepDaily   int      // days
	KeepWeekly  int      // weeks
	KeepMonthly int      // months
	KeepYearly  int      // years
	KeepWithin  Duration // age up to which every snapshot stays
	KeepLabel   []string // labels, as "name" or "name=value", whose snapshots stay
	Grace       Duration // age of an unreferenced object before its removal; 1h unless given
}

// Empty reports whether there is no rule that keeps anything. Such a policy
// deletes nothing.
func (r Retention) Empty() bool {
	counts := r.KeepLast + r.KeepHourly + r.KeepDaily + r.KeepWeekly + r.KeepMonthly + r.KeepYearly
	return counts == 0 && r.KeepWithin == 0 && len(r.KeepLabel) == 0
}

func (l *loader) checkRetention() {
	for _, label := range l.config.Retention.KeepLabel {
		if name, _, _ := strings.Cut(label, "="); name == "" {
			l.wrong(dotted("retention.keep_label"), "", `must be of labels such as "release" or "env=prod", not %q`, label)
		}
	}
}
