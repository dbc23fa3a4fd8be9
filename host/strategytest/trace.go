package strategytest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var updateTraces = flag.Bool("strategytest.update", false, "write golden traces of strategies instead of comparing them")

// sameTrace records what each form calls for a fixed small database. The forms
// must do the same, and the same as the golden file says: the order of effects
// is part of what a strategy is.
func sameTrace(t *testing.T, forms []Subject) {
	traces := make([]string, len(forms))
	for i, form := range forms {
		traces[i] = trace(t, form)
		require.Equal(t, traces[0], traces[i], "calls of the %s form", form.form())
	}
	golden := forms[0].Trace
	if golden == "" {
		return
	}
	if *updateTraces {
		require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
		require.NoError(t, os.WriteFile(golden, []byte(traces[0]), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err, "make it with -strategytest.update")
	require.Equal(t, string(want), traces[0])
}

// trace takes two snapshots and returns the calls of both, one a line: its name
// and the number of what it returned. Waiting is one line however often the host
// wakes the strategy, since that depends on its workers.
func trace(t *testing.T, s Subject) string {
	site := NewSite(t, s, Database{Families: []string{"orders"}, Flush: "always"})
	var lines []string
	site.around = func(call string, do func() (int, error)) (int, error) {
		n, err := do()
		line := fmt.Sprintf("%s %d", call, n)
		switch {
		case err != nil:
			line = fmt.Sprintf("%s: %v", call, err)
		case call == "wait":
			line = call
		}
		if line != "wait" || lines[len(lines)-1] != line {
			lines = append(lines, line)
		}
		return n, err
	}
	for i, title := range []string{"# first", "# second"} {
		lines = append(lines, title)
		site.Fill("default", uint64(i), 100)
		site.Fill("orders", uint64(i), 100)
		site.Snapshot()
	}
	return strings.Join(lines, "\n") + "\n"
}
