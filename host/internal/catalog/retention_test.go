package catalog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// today is the store's time in these tests, a Friday.
var today = at("2026-11-20 18:00")

func at(date string) time.Time {
	t, err := time.Parse("2006-01-02 15:04", date)
	if err != nil {
		panic(err)
	}
	return t
}

// taken returns snapshots in slots from 1 up. A word behind the date is a label;
// "savepoint" makes it one.
func taken(dates ...string) []Summary {
	list := make([]Summary, len(dates))
	for i, line := range dates {
		words := strings.Fields(line)
		s := Summary{ID: fmt.Sprint("s", i+1), Slot: uint64(i + 1), Created: at(words[0] + " " + words[1])}
		for _, word := range words[2:] {
			name, value, _ := strings.Cut(word, "=")
			s.Savepoint = s.Savepoint || word == "savepoint"
			s.Labels = map[string]string{name: value}
		}
		list[i] = s
	}
	return list
}

// told writes verdicts as lines, "+" for keep and "-" for remove.
func told(verdicts []Verdict) []string {
	lines := make([]string, len(verdicts))
	for i, v := range verdicts {
		sign := "-"
		if v.Keep {
			sign = "+"
		}
		lines[i] = sign + v.Snapshot.ID + " " + strings.Join(v.Reasons, ", ")
	}
	return lines
}

func kept(verdicts []Verdict) []Summary {
	var list []Summary
	for _, v := range verdicts {
		if v.Keep {
			list = append(list, v.Snapshot)
		}
	}
	return list
}

func ids(list []Summary) []string {
	all := make([]string, len(list))
	for i, s := range list {
		all[i] = s.ID
	}
	return all
}

const none = " not kept by any rule"

func TestPolicy(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		list   []Summary
		pinned map[string]string
		want   []string
	}{
		"nothing": {policy: Policy{Last: 1}, want: []string{}},
		"an empty policy removes nothing": {
			list:   taken("2020-01-01 00:00", "2020-01-01 00:00 savepoint", "2026-11-20 12:00"),
			pinned: map[string]string{"s2": "audit"},
			want:   []string{"+s1 the policy is empty", "+s2 pinned: audit, savepoint", "+s3 newest"},
		},
		"numbers below 1 are no rules": {
			policy: Policy{Last: -1, Daily: -5, Within: -time.Hour},
			list:   taken("2020-01-01 00:00", "2026-11-20 12:00"),
			want:   []string{"+s1 the policy is empty", "+s2 newest"},
		},
		"last": {
			policy: Policy{Last: 2},
			list:   taken("2026-11-18 12:00", "2026-11-19 12:00", "2026-11-20 12:00"),
			want:   []string{"-s1" + none + ", beyond last 2", "+s2 last 2 of 2", "+s3 newest, last 1 of 2"},
		},
		"last of equal dates": {
			policy: Policy{Last: 1},
			list:   taken("2026-11-20 12:00", "2026-11-20 12:00"),
			want:   []string{"-s1" + none + ", beyond last 1", "+s2 newest, last 1 of 1"},
		},
		"hourly": {
			policy: Policy{Hourly: 2},
			list:   taken("2026-11-20 10:10", "2026-11-20 11:00", "2026-11-20 11:59", "2026-11-20 13:00"),
			want: []string{
				"-s1" + none + ", beyond hourly 2 (2026-11-20 10:00 UTC)",
				"-s2" + none + ", hourly 2026-11-20 11:00 UTC is held by s3",
				"+s3 hourly 2 of 2 (2026-11-20 11:00 UTC)",
				"+s4 newest, hourly 1 of 2 (2026-11-20 13:00 UTC)",
			},
		},
		"daily passes over days without a snapshot, and one on leap day": {
			policy: Policy{Daily: 3},
			list:   taken("2024-02-28 23:59", "2024-02-29 00:00", "2024-02-29 23:59", "2024-03-01 00:00", "2026-11-20 12:00"),
			want: []string{
				"-s1" + none + ", beyond daily 3 (2024-02-28)",
				"-s2" + none + ", daily 2024-02-29 is held by s3",
				"+s3 daily 3 of 3 (2024-02-29)",
				"+s4 daily 2 of 3 (2024-03-01)",
				"+s5 newest, daily 1 of 3 (2026-11-20)",
			},
		},
		"weekly, by ISO: week 53 goes on into January": {
			policy: Policy{Weekly: 2},
			list:   taken("2020-12-27 12:00", "2020-12-28 12:00", "2021-01-03 23:59", "2021-01-04 00:00"),
			want: []string{
				"-s1" + none + ", beyond weekly 2 (2020-W52)",
				"-s2" + none + ", weekly 2020-W53 is held by s3",
				"+s3 weekly 2 of 2 (2020-W53)",
				"+s4 newest, weekly 1 of 2 (2021-W01)",
			},
		},
		"weekly: week 1 begins in December": {
			policy: Policy{Weekly: 1},
			list:   taken("2024-12-30 00:00", "2025-01-05 23:00"),
			want:   []string{"-s1" + none + ", weekly 2025-W01 is held by s2", "+s2 newest, weekly 1 of 1 (2025-W01)"},
		},
		"monthly: a month of another year is another month": {
			policy: Policy{Monthly: 2},
			list:   taken("2025-11-30 12:00", "2026-10-31 23:59", "2026-11-01 00:00"),
			want: []string{
				"-s1" + none + ", beyond monthly 2 (2025-11)",
				"+s2 monthly 2 of 2 (2026-10)",
				"+s3 newest, monthly 1 of 2 (2026-11)",
			},
		},
		"yearly": {
			policy: Policy{Yearly: 2},
			list:   taken("2024-12-31 23:59", "2025-01-01 00:00", "2025-12-31 23:59", "2026-01-01 00:00"),
			want: []string{
				"-s1" + none + ", beyond yearly 2 (2024)",
				"-s2" + none + ", yearly 2025 is held by s3",
				"+s3 yearly 2 of 2 (2025)",
				"+s4 newest, yearly 1 of 2 (2026)",
			},
		},
		"within counts from the newest, both ends included": {
			policy: Policy{Within: 30 * 24 * time.Hour},
			list:   taken("2019-12-02 11:59", "2019-12-02 12:00", "2020-01-01 12:00"),
			want:   []string{"-s1" + none + ", not within 30d", "+s2 within 30d", "+s3 newest, within 30d"},
		},
		"labels": {
			policy: Policy{Labels: []string{"env=prod", "release"}},
			list: taken("2026-11-15 12:00 env=prod", "2026-11-16 12:00 env=test", "2026-11-17 12:00 release=7",
				"2026-11-18 12:00 env", "2026-11-19 12:00", "2026-11-20 12:00"),
			want: []string{"+s1 label env=prod", "-s2" + none, "+s3 label release", "-s4" + none, "-s5" + none, "+s6 newest"},
		},
		"an empty value is a value": {
			policy: Policy{Labels: []string{"env="}},
			list:   taken("2026-11-15 12:00 env=prod", "2026-11-16 12:00 env", "2026-11-20 12:00"),
			want:   []string{"-s1" + none, "+s2 label env=", "+s3 newest"},
		},
		"pins and savepoints take no place": {
			policy: Policy{Last: 1, Daily: 1},
			list: taken("2026-11-19 11:00", "2026-11-19 12:00", "2026-11-19 13:00", "2026-11-20 13:00 savepoint",
				"2026-11-20 14:00"),
			pinned: map[string]string{"s5": "by alice", "s1": ""},
			want: []string{
				"+s1 pinned",
				"-s2" + none + ", daily 2026-11-19 is held by s3",
				"+s3 last 1 of 1, daily 1 of 1 (2026-11-19)",
				"+s4 savepoint",
				"+s5 newest, pinned: by alice",
			},
		},
		"a labelled one takes its place": {
			policy: Policy{Last: 1, Labels: []string{"a"}},
			list:   taken("2026-11-19 12:00", "2026-11-20 12:00 a"),
			want:   []string{"-s1" + none + ", beyond last 1", "+s2 newest, last 1 of 1, label a"},
		},
		"rules add up, and the nearest miss is told": {
			policy: Policy{Last: 1, Daily: 2, Monthly: 2, Within: time.Hour},
			list: taken("2026-08-01 12:00", "2026-10-01 12:00", "2026-11-18 12:00", "2026-11-19 11:00", "2026-11-19 12:00",
				"2026-11-20 12:00"),
			want: []string{
				"-s1" + none + ", beyond monthly 2 (2026-08)",
				"+s2 monthly 2 of 2 (2026-10)",
				"-s3" + none + ", monthly 2026-11 is held by s6",
				"-s4" + none + ", daily 2026-11-19 is held by s5",
				"+s5 daily 2 of 2 (2026-11-19)",
				"+s6 newest, within 1h, last 1 of 1, daily 1 of 2 (2026-11-20), monthly 1 of 2 (2026-11)",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, told(c.policy.Apply(c.list, c.pinned, today)))
		})
	}
}

func TestWithinIsToldAsConfigured(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Second: "10s", 10 * time.Minute: "10m", 10 * time.Hour: "10h", 240 * time.Hour: "10d",
		36 * time.Hour: "1d12h", 90 * time.Minute: "1h30m", 24*time.Hour + 20*time.Minute: "1d20m",
		24*time.Hour + time.Second: "1d1s", 61 * time.Second: "1m1s",
	} {
		now := today.Add(2 * d)
		list := []Summary{{ID: "s1", Slot: 1, Created: now.Add(-d - 1)}, {ID: "s2", Slot: 2, Created: now}}
		assert.Equal(t, []string{"-s1" + none + ", not within " + want, "+s2 newest, within " + want},
			told(Policy{Within: d}.Apply(list, nil, now)))
	}
}

// TestPolicyIsInUTC: an hour that a clock shows twice is two hours, and a day is
// the same one on every host.
func TestPolicyIsInUTC(t *testing.T) {
	berlin := time.FixedZone("CET", 3600)
	summer := time.FixedZone("CEST", 7200)
	list := taken("2026-11-20 12:00", "2026-11-20 12:00", "2026-11-20 12:00")
	list[0].Created = time.Date(2026, 10, 25, 2, 30, 0, 0, summer) // 00:30 UTC
	list[1].Created = time.Date(2026, 10, 25, 2, 30, 0, 0, berlin) // 01:30 UTC
	list[2].Created = time.Date(2026, 10, 26, 0, 30, 0, 0, berlin) // the 25th in UTC
	assert.Equal(t, []string{"s1", "s2", "s3"}, ids(kept(Policy{Hourly: 3}.Apply(list, nil, today))))
	assert.Equal(t, []string{"s3"}, ids(kept(Policy{Daily: 3}.Apply(list, nil, today))))

	monday := list[1:]
	monday[0].Created = time.Date(2026, 10, 26, 0, 30, 0, 0, berlin) // Sunday in UTC
	monday[1].Created = time.Date(2026, 10, 26, 1, 30, 0, 0, berlin)
	assert.Equal(t, []string{"s2", "s3"}, ids(kept(Policy{Weekly: 2}.Apply(monday, nil, today))))
}

func TestPolicyDoubtsClocks(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		list   []Summary
		want   []string
	}{
		"dates from the future are kept and take no place": {
			policy: Policy{Last: 1, Daily: 1},
			list:   taken("2026-11-18 12:00", "2040-01-01 12:00", "2040-01-02 12:00", "2026-11-20 12:00", "2040-01-03 12:00"),
			want: []string{
				"-s1" + none + ", beyond daily 1 (2026-11-18)",
				"+s2 dated in the future (2040-01-01)",
				"+s3 dated in the future (2040-01-02)",
				"+s4 last 1 of 1, daily 1 of 1 (2026-11-20)",
				"+s5 newest, dated in the future (2040-01-03)",
			},
		},
		"within does not count from the future": {
			policy: Policy{Within: 24 * time.Hour},
			list:   taken("2026-11-18 12:00", "2026-11-20 12:00", "2040-01-01 12:00"),
			want:   []string{"-s1" + none + ", not within 1d", "+s2 within 1d", "+s3 newest, dated in the future (2040-01-01)"},
		},
		"a clock that is a little ahead is believed": {
			policy: Policy{Last: 1},
			list:   taken("2026-11-20 18:15", "2026-11-20 18:15", "2026-11-20 18:16"),
			want: []string{"-s1" + none + ", beyond last 1", "+s2 last 1 of 1",
				"+s3 newest, dated in the future (2026-11-20)"},
		},
		"the newest is that of the latest slot": {
			policy: Policy{Last: 1},
			list:   taken("2026-11-20 12:00", "2026-11-19 12:00"),
			want:   []string{"-s1" + none + ", beyond last 1", "+s2 newest, last 1 of 1"},
		},
		"the latest slot stands for its period": {
			policy: Policy{Daily: 1},
			list:   taken("2026-11-20 12:00", "2026-11-20 11:00"),
			want:   []string{"-s1" + none + ", daily 2026-11-20 is held by s2", "+s2 newest, daily 1 of 1 (2026-11-20)"},
		},
		"a period that comes back is one period": {
			policy: Policy{Daily: 2},
			list:   taken("2026-11-18 12:00", "2026-11-19 23:59", "2026-11-20 00:00", "2026-11-19 23:58", "2026-11-20 00:01"),
			want: []string{
				"-s1" + none + ", beyond daily 2 (2026-11-18)",
				"-s2" + none + ", daily 2026-11-19 is held by s4",
				"-s3" + none + ", daily 2026-11-20 is held by s5",
				"+s4 daily 2 of 2 (2026-11-19)",
				"+s5 newest, daily 1 of 2 (2026-11-20)",
			},
		},
		"a clock without a battery does not lose new snapshots to old ones": {
			policy: Policy{Daily: 2},
			list:   taken("2026-11-17 12:00", "2026-11-18 12:00", "1970-01-01 00:01", "1970-01-01 00:02", "1970-01-02 00:00"),
			want: []string{
				"-s1" + none + ", beyond daily 2 (2026-11-17)",
				"-s2" + none + ", beyond daily 2 (2026-11-18)",
				"-s3" + none + ", daily 1970-01-01 is held by s4",
				"+s4 daily 2 of 2 (1970-01-01)",
				"+s5 newest, daily 1 of 2 (1970-01-02)",
			},
		},
		"within: what follows a snapshot is no older than it": {
			policy: Policy{Within: 24 * time.Hour},
			list:   taken("2026-11-18 12:00", "2026-11-20 11:00", "1970-01-01 00:00", "2026-11-20 12:00"),
			want:   []string{"-s1" + none + ", not within 1d", "+s2 within 1d", "+s3 within 1d", "+s4 newest, within 1d"},
		},
		"within: a newest one from 1970 removes nothing": {
			policy: Policy{Within: 24 * time.Hour},
			list:   taken("2026-11-18 12:00", "1970-01-01 00:00"),
			want:   []string{"+s1 within 1d", "+s2 newest, within 1d"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, told(c.policy.Apply(c.list, nil, today)))
		})
	}
	t.Run("a store whose clock is in the past", func(t *testing.T) {
		list := taken("2026-11-18 12:00", "2026-11-19 12:00", "2026-11-20 12:00")
		assert.Equal(t, list, kept(Policy{Last: 1}.Apply(list, nil, time.Unix(0, 0))))
	})
	t.Run("a snapshot without a date", func(t *testing.T) {
		list := []Summary{{ID: "s1", Slot: 1}, {ID: "s2", Slot: 2}}
		assert.Equal(t, []string{"s2"}, ids(kept(Policy{Weekly: 5, Within: 1 << 62}.Apply(list[1:], nil, today))))
		assert.Equal(t, []string{"s2"}, ids(kept(Policy{Yearly: 5}.Apply(list, nil, today))))
	})
}

// TestPolicyHoldsItsLaws judges random histories.
func TestPolicyHoldsItsLaws(t *testing.T) {
	for seed := range uint64(1000) {
		holdsLaws(t, seed)
		if t.Failed() {
			t.Fatal("seed", seed)
		}
	}
}

func FuzzPolicy(f *testing.F) {
	for seed := range uint64(10) {
		f.Add(seed)
	}
	f.Fuzz(holdsLaws)
}

func holdsLaws(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 7))
	list, pinned, policy := history(random, true), map[string]string{}, randomPolicy(random)
	for _, s := range list {
		if random.IntN(10) == 0 {
			pinned[s.ID] = "by seed"
		}
	}
	given := slices.Clone(list)
	verdicts := policy.Apply(list, pinned, today)
	stay := kept(verdicts)

	assert.Equal(t, given, list, "the list is left alone")
	require.Len(t, verdicts, len(list))
	for i, v := range verdicts {
		assert.NotEmpty(t, v.Reasons)
		assert.True(t, i == 0 || verdicts[i-1].Snapshot.Slot < v.Snapshot.Slot, "oldest first")
		_, isPinned := pinned[v.Snapshot.ID]
		if isPinned || v.Snapshot.Savepoint || v.Snapshot.Created.After(today.Add(time.Hour)) || i == len(list)-1 {
			assert.True(t, v.Keep, "%v", v)
		}
	}
	if policy.Empty() {
		assert.Len(t, stay, len(list))
	}
	assert.LessOrEqual(t, counted(stay, pinned), places(policy, list), "no more than there are places")

	shuffled := slices.Clone(list)
	random.Shuffle(len(list), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	assert.Equal(t, verdicts, policy.Apply(shuffled, pinned, today), "the order of the list is nothing")
	assert.Equal(t, stay, kept(policy.Apply(stay, pinned, today)), "once is enough")
	if !policy.Empty() {
		assert.Subset(t, ids(kept(wider(policy, random).Apply(list, pinned, today))), ids(stay), "more keeps more")
	}
	if len(list) > 0 {
		pinned[list[random.IntN(len(list))].ID] = "as well"
		assert.Subset(t, ids(kept(policy.Apply(list, pinned, today))), ids(stay), "a pin keeps more")
	}
}

// history returns snapshots in order of slots, about every seven hours. A wild
// clock is wrong at times.
func history(random *rand.Rand, wild bool) []Summary {
	list := make([]Summary, random.IntN(60))
	clock, slot := today.Add(-time.Duration(len(list))*7*time.Hour), uint64(0)
	for i := range list {
		clock = clock.Add(time.Duration(random.IntN(14*60)) * time.Minute)
		slot += 1 + random.Uint64N(3)
		list[i] = Summary{ID: fmt.Sprint("s", slot), Slot: slot, Created: clock}
		if wild && random.IntN(8) == 0 {
			list[i].Created = clock.Add(time.Duration(random.IntN(20000)-10000) * time.Hour)
		}
		list[i].Savepoint = random.IntN(15) == 0
		if random.IntN(5) == 0 {
			list[i].Labels = map[string]string{"env": []string{"prod", "test"}[random.IntN(2)]}
		}
	}
	return list
}

func randomPolicy(random *rand.Rand) Policy {
	var p Policy
	for _, n := range []*int{&p.Last, &p.Hourly, &p.Daily, &p.Weekly, &p.Monthly, &p.Yearly} {
		*n = max(0, random.IntN(8)-4)
	}
	p.Within = max(0, time.Duration(random.IntN(200)-100)*time.Hour)
	p.Labels = [][]string{nil, nil, {"env"}, {"env=prod"}, {"other", "env=test"}}[random.IntN(5)]
	return p
}

// wider returns a policy that asks for more in one rule or in several.
func wider(p Policy, random *rand.Rand) Policy {
	for _, n := range []*int{&p.Last, &p.Hourly, &p.Daily, &p.Weekly, &p.Monthly, &p.Yearly} {
		*n += max(0, random.IntN(6)-3)
	}
	p.Within += time.Duration(random.IntN(100)) * time.Hour
	p.Labels = append(slices.Clone(p.Labels), []string{"env=test", "other"}[random.IntN(2)])
	return p
}

// counted returns how many snapshots the numbers alone have to answer for.
func counted(list []Summary, pinned map[string]string) int {
	n := 0
	for _, s := range list {
		_, isPinned := pinned[s.ID]
		if !isPinned && !s.Savepoint && !s.Created.After(today) && len(s.Labels) == 0 {
			n++
		}
	}
	return n
}

// places returns how many snapshots may stay by number, and the newest; no bound
// when another rule may keep any number.
func places(p Policy, list []Summary) int {
	if p.Empty() || p.Within > 0 {
		return len(list)
	}
	return 1 + p.Last + p.Hourly + p.Daily + p.Weekly + p.Monthly + p.Yearly
}

// TestPruningOftenIsPruningOnce: what a policy keeps does not wear away when it is
// applied after every snapshot, with whatever dates.
func TestPruningOftenIsPruningOnce(t *testing.T) {
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 11))
		list, policy := history(random, seed%2 == 0), randomPolicy(random)
		if seed%2 == 0 {
			policy.Within = 0 // it goes by the date of the newest, which may be any
		}
		if policy.Empty() {
			continue
		}
		now := today.AddDate(10, 0, 0)
		var often []Summary
		for _, s := range list {
			often = kept(policy.Apply(append(often, s), nil, now))
		}
		require.Equal(t, kept(policy.Apply(list, nil, now)), often, "seed %d, %+v", seed, policy)
	}
}

func ExamplePolicy_Apply() {
	list := taken("2026-10-31 12:00", "2026-11-19 12:00", "2026-11-20 06:00", "2026-11-20 12:00")
	for _, v := range (Policy{Last: 1, Daily: 2}).Apply(list, nil, today) {
		fmt.Println(v.Snapshot.ID, v.Keep, v.Reasons)
	}
	// Output:
	// s1 false [not kept by any rule beyond daily 2 (2026-10-31)]
	// s2 true [daily 2 of 2 (2026-11-19)]
	// s3 false [not kept by any rule daily 2026-11-20 is held by s4]
	// s4 true [newest last 1 of 1 daily 1 of 2 (2026-11-20)]
}
