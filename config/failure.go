package config

import (
	"slices"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
)

// OnError says what follows when a strategy fails. In the file it is a table, or
// a string that is its mode. In mode [Fail] everything else is zero; otherwise
// what is not given has the default that stands beside it.
type OnError struct {
	Mode         FailureMode // [Fail] unless given
	To           string      // mode [Fallback] only: the strategy to take instead; native-full
	Attempts     int         // how often one snapshot is tried, 1 to 100; 3
	Backoff      Duration    // pause before the second attempt, doubled before each later one; 1s
	BackoffLimit Duration    // longest pause, at least Backoff; 1m
	TripAfter    int         // failures in a row after which the strategy rests, 1 or more; 5
	CoolDown     Duration    // how long it rests, longer than 0s; 10m
}

// FailureMode is what follows a strategy's failure.
type FailureMode string

// The modes.
const (
	Fail     FailureMode = "fail"     // the snapshot fails
	Retry    FailureMode = "retry"    // it is tried again
	Fallback FailureMode = "fallback" // it is tried again, and then taken with another strategy
)

// UnmarshalText accepts the name of a mode.
func (m *FailureMode) UnmarshalText(text []byte) error {
	return choose(m, text, Fail, Retry, Fallback)
}

// String returns the mode as it stands in the file.
func (m FailureMode) String() string { return string(m) }

const onError = "on_error"

// fields lists the mode first.
func (o *OnError) fields(strategy string) []field {
	key := func(name string) toml.Key { return strategyKey(strategy, onError, name) }
	return []field{
		{key("mode"), &o.Mode},
		{key("to"), &o.To},
		{key("attempts"), &o.Attempts},
		{key("backoff"), &o.Backoff},
		{key("backoff_limit"), &o.BackoffLimit},
		{key("trip_after"), &o.TripAfter},
		{key("cool_down"), &o.CoolDown},
	}
}

// completeOnError settles the defaults, which only a mode with a use for them
// has. A mode of the environment takes the use away from what the file says.
func (l *loader) completeOnError(strategy string, o *OnError) {
	if _, overridden := l.variables[strategyKey(strategy, onError, "mode").String()]; overridden {
		for _, f := range o.idle(strategy) {
			if _, also := l.variables[f.key.String()]; !also {
				delete(l.config.origins, f.key.String())
			}
		}
	}
	standard := OnError{Mode: o.Mode}
	if o.Mode != Fail {
		standard.Attempts, standard.TripAfter = 3, 5
		standard.Backoff, standard.BackoffLimit = Duration(time.Second), Duration(time.Minute)
		standard.CoolDown = Duration(10 * time.Minute)
	}
	if o.Mode == Fallback {
		standard.To = "native-full"
	}
	key := func(name string) toml.Key { return strategyKey(strategy, onError, name) }
	unlessGiven(l, key("to"), &o.To, standard.To)
	unlessGiven(l, key("attempts"), &o.Attempts, standard.Attempts)
	unlessGiven(l, key("backoff"), &o.Backoff, standard.Backoff)
	unlessGiven(l, key("backoff_limit"), &o.BackoffLimit, max(standard.BackoffLimit, o.Backoff))
	unlessGiven(l, key("trip_after"), &o.TripAfter, standard.TripAfter)
	unlessGiven(l, key("cool_down"), &o.CoolDown, standard.CoolDown)
}

func unlessGiven[T any](l *loader, key toml.Key, target *T, value T) {
	if !l.given(key) {
		*target = value
	}
}

// idle lists the fields of which the mode makes no use.
func (o *OnError) idle(strategy string) []field {
	switch fields := o.fields(strategy); o.Mode {
	case Fail:
		return fields[1:]
	case Retry:
		return fields[1:2]
	}
	return nil
}

func (l *loader) checkOnError(strategy string, o OnError) {
	key := func(name string) toml.Key { return strategyKey(strategy, onError, name) }
	if l.missesMode(strategy, o) {
		l.wrong(key("mode"), `add mode = "retry" or mode = "fallback"`, "missing")
	}
	if l.bad[key("mode").String()] || l.bad[strategyKey(strategy, onError).String()] {
		return
	}
	useful := "mode fallback"
	if o.Mode == Fail {
		useful = "mode retry or fallback"
	}
	for _, f := range o.idle(strategy) {
		if l.given(f.key) {
			l.wrong(f.key, "", "makes sense in %s only", useful)
		}
	}
	if o.Mode != Fail {
		between(l, key("attempts"), o.Attempts, 1, 100)
		if o.BackoffLimit < o.Backoff {
			l.wrong(key("backoff_limit"), "", "must be at least backoff, %s, not %s", o.Backoff, o.BackoffLimit)
		}
		atLeast(l, key("trip_after"), o.TripAfter, 1)
		l.positive(key("cool_down"), o.CoolDown)
	}
	if o.Mode == Fallback {
		l.checkFallback(strategy, o.To)
	}
}

// missesMode reports whether there is a table that does not say what to do.
func (l *loader) missesMode(strategy string, o OnError) bool {
	fields := o.fields(strategy)
	if l.given(fields[0].key) {
		return false
	}
	_, named := l.places[strategyKey(strategy, onError).String()]
	return named || slices.ContainsFunc(fields[1:], func(f field) bool { return l.given(f.key) })
}

// checkFallback refuses a target that is none, or from which the fallbacks lead
// back. A circle is reported once, of the first of its strategies by name.
func (l *loader) checkFallback(strategy, to string) {
	key := strategyKey(strategy, onError, "to")
	if message, hint := l.config.noStrategy(to); message != "" {
		l.wrong(key, hint, "%s", message)
		return
	}
	path, next := []string{strategy}, to
	for ; next != "" && !slices.Contains(path, next); next = l.config.Strategies[next].OnError.To {
		path = append(path, next)
	}
	if next == strategy && slices.Min(path) == strategy {
		l.wrong(key, `name another strategy, as in on_error = { mode = "fallback", to = "canonical" }`,
			"must not lead back: %s", strings.Join(append(path, strategy), " → "))
	}
}
