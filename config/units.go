package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes. In the file it is an integer, or a string with a
// binary unit (KiB to TiB) or a decimal one (KB to TB), as in "64MiB".
type Size int64

// sizeUnits are in the order in which String tries them.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1},
}

// UnmarshalText accepts a whole number of bytes with or without a unit.
func (s *Size) UnmarshalText(text []byte) error {
	digits := strings.TrimRight(string(text), "BGKMTi")
	unit, ok := unitBytes(string(text[len(digits):]))
	n, err := strconv.ParseUint(digits, 10, 63)
	if !ok || err != nil {
		return refuse(`must be a size such as "64MiB" or "200MB", not %q`, text)
	}
	if int64(n) > math.MaxInt64/unit {
		return refuse("is too large: %s", text)
	}
	*s = Size(int64(n) * unit)
	return nil
}

func unitBytes(name string) (int64, bool) {
	for _, u := range sizeUnits {
		if u.name == name {
			return u.bytes, true
		}
	}
	return 1, name == ""
}

// String returns the size in the first unit of which it is a whole number.
func (s Size) String() string {
	for _, u := range sizeUnits {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return "0B"
}

// Rate is a number of bytes per second. In the file it is a size and "/s", as
// in "200MiB/s".
type Rate int64

// UnmarshalText accepts a [Size] followed by "/s".
func (r *Rate) UnmarshalText(text []byte) error {
	size, ok := strings.CutSuffix(string(text), "/s")
	var s Size
	if !ok || s.UnmarshalText([]byte(size)) != nil {
		return refuse(`must be a rate such as "200MiB/s", not %q`, text)
	}
	*r = Rate(s)
	return nil
}

// String returns the rate as it stands in the file.
func (r Rate) String() string { return Size(r).String() + "/s" }

// Duration is a time span, never negative. In the file it is a string as in
// "90s", "1h30m", "14d" or "1y2w"; a day is 24 hours, a week 7 days and a year
// 365. There is no unit for months, because m means minutes.
type Duration time.Duration

const day = 24 * time.Hour

// longUnits are those that time.ParseDuration lacks, in the order in which they
// may follow each other.
var longUnits = []struct {
	name string
	days int64
}{{"y", 365}, {"w", 7}, {"d", 1}}

// UnmarshalText accepts years, weeks and days, then what time.ParseDuration
// accepts; any of them may be missing, but not all.
func (d *Duration) UnmarshalText(text []byte) error {
	days, rest, err := cutDays(string(text))
	part, partErr := time.ParseDuration(rest)
	if err != nil || partErr != nil || strings.ContainsAny(rest, "+-") {
		return refuse(`must be a duration such as "90s", "1h", "14d" or "1y", not %q`, text)
	}
	if days > int64((math.MaxInt64-part)/day) {
		return refuse("is too long: %s", text)
	}
	*d = Duration(time.Duration(days)*day + part)
	return nil
}

// cutDays takes the long units off the front of a duration.
func cutDays(text string) (days int64, rest string, err error) {
	rest = text
	for _, unit := range longUnits {
		count, tail, found := strings.Cut(rest, unit.name)
		if !found {
			continue
		}
		n, err := strconv.ParseUint(count, 10, 31)
		if err != nil {
			return 0, "", err
		}
		days, rest = days+int64(n)*unit.days, tail
	}
	if rest == "" && text != "" {
		rest = "0s"
	}
	return days, rest, nil
}

// String returns the duration as it stands in the file.
func (d Duration) String() string {
	days, rest := time.Duration(d)/day, time.Duration(d)%day
	text := rest.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	switch {
	case days == 0:
		return text
	case rest == 0:
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd%s", days, text)
}

// KeyRange is a range of key groups, both ends inclusive. In the file it is a
// string, as in "0-127".
type KeyRange struct {
	First, Last uint32
}

// UnmarshalText accepts two numbers, of which the second is not the smaller,
// with a hyphen between them.
func (r *KeyRange) UnmarshalText(text []byte) error {
	left, right, _ := strings.Cut(string(text), "-")
	first, err := strconv.ParseUint(left, 10, 32)
	last, lastErr := strconv.ParseUint(right, 10, 32)
	if err != nil || lastErr != nil {
		return refuse(`must be a range such as "0-127", not %q`, text)
	}
	if first > last {
		return refuse("must not end before it starts: %s", text)
	}
	*r = KeyRange{uint32(first), uint32(last)}
	return nil
}

// String returns the range as it stands in the file.
func (r KeyRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }
