package config

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestOnError(t *testing.T) {
	standard := OnError{
		Mode: Retry, Attempts: 3, Backoff: Duration(time.Second), BackoffLimit: Duration(time.Minute),
		TripAfter: 5, CoolDown: Duration(10 * time.Minute),
	}
	fallback, slow := standard, standard
	fallback.Mode, fallback.To = Fallback, "native-full"
	slow.Backoff, slow.BackoffLimit = Duration(time.Hour), Duration(time.Hour)
	for more, want := range map[string]OnError{
		``:                       {Mode: Fail},
		`on_error = "fail"`:      {Mode: Fail},
		`on_error = "retry"`:     standard,
		`on_error = "fallback"`:  fallback,
		`on_error.mode = "fail"`: {Mode: Fail},
		`on_error = { mode = "retry", backoff = "1h" }`:  slow,
		`on_error = { mode = "fallback", attempts = 3 }`: fallback,
	} {
		c, err := Parse("rocksnap.toml", minimal("[strategies.incremental]\n"+more), nil)
		require.NoError(t, err, more)
		assert.Equal(t, want, c.Strategies["incremental"].OnError, more)
		assert.Equal(t, c, reparse(t, c), more)
	}
}

// TestOnErrorOfTheEnvironment overrides the whole of a table, or a key of it.
func TestOnErrorOfTheEnvironment(t *testing.T) {
	const table = "strategies.incremental.on_error = { mode = \"fallback\", to = \"canonical\", attempts = 9 }"
	const variable = "ROCKSNAP_STRATEGIES_INCREMENTAL_ON_ERROR"
	for _, test := range []struct {
		variable string
		mode     FailureMode
		to       string
		attempts int
	}{
		{variable + "=fail", Fail, "", 0},
		{variable + "=retry", Retry, "", 9},
		{variable + "_MODE=retry", Retry, "", 9},
		{variable + "_TO=native-full", Fallback, "native-full", 9},
		{variable + "_ATTEMPTS=1", Fallback, "canonical", 1},
	} {
		c, err := Parse("rocksnap.toml", minimal(table), []string{test.variable})
		require.NoError(t, err, test.variable)
		got := c.Strategies["incremental"].OnError
		assert.Equal(t, test.mode, got.Mode, test.variable)
		assert.Equal(t, test.to, got.To, test.variable)
		assert.Equal(t, test.attempts, got.Attempts, test.variable)
		assert.Equal(t, c, reparse(t, c), test.variable)
	}
	_, err := Parse("rocksnap.toml", minimal(""), []string{variable + "=retri", variable + "_ATTEMPTS=2", variable + "_TOO=x"})
	assert.EqualError(t, err, "environment: "+variable+": must be fail, retry or fallback, not \"retri\"\n"+
		"environment: "+variable+"_TOO: unknown variable")
	_, err = Parse("rocksnap.toml", minimal(""), []string{variable + "_MODE=fail", variable + "_ATTEMPTS=2"})
	assert.EqualError(t, err, "environment: "+variable+"_ATTEMPTS: makes sense in mode retry or fallback only")
}

func TestUsed(t *testing.T) {
	for more, want := range map[string][]string{
		``:                      {"incremental"},
		`on_error = "fallback"`: {"incremental", "native-full"},
		"on_error = { mode = \"fallback\", to = \"mine\" }\n" +
			"[strategies.mine]\nmodule = \"mine.wasm\"\non_error = { mode = \"fallback\", to = \"canonical\" }": {"canonical", "incremental", "mine"},
	} {
		c, err := Parse("rocksnap.toml", minimal("[strategies.incremental]\n"+more), nil)
		require.NoError(t, err, more)
		assert.Equal(t, want, c.Used(), more)
	}
}
