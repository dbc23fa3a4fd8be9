package strategytest

import (
	"context"
	"fmt"
	"testing"
)

// T is what a law needs of what runs it. [*testing.T] and [*testing.B] have it,
// and so has the runner of [Check].
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
	FailNow()
	TempDir() string
	Cleanup(f func())
	Context() context.Context
}

// part runs a part of a law under a name of its own.
func part(t T, name string, check func(t T)) {
	switch t := t.(type) {
	case *testing.T:
		t.Run(name, func(t *testing.T) { check(t) })
	case *runner:
		t.part(name, check)
	default:
		check(t)
	}
}

// fail ends a law.
func fail(t T, format string, args ...any) {
	t.Helper()
	t.Errorf(format, args...)
	t.FailNow()
}

// must ends a law when a step of it fails that is no part of what it is about.
func must(t T, err error, doing string) {
	t.Helper()
	if err != nil {
		fail(t, "%s: %v", doing, err)
	}
}

// same ends a law when a value is not the expected one.
func same[V comparable](t T, want, got V, what string) {
	t.Helper()
	if want != got {
		fail(t, "%s: %s, expected %s", what, quoted(got), quoted(want))
	}
}

// quoted is a value as it stands in an error: texts in quotes, numbers plain.
func quoted(value any) string {
	if text, ok := value.(string); ok {
		return fmt.Sprintf("%q", text)
	}
	return fmt.Sprint(value)
}

// holds ends a law that is broken.
func holds(t T, condition bool, format string, args ...any) {
	t.Helper()
	if !condition {
		fail(t, format, args...)
	}
}
