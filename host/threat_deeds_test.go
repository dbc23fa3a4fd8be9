package host_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// refusals runs deeds, each of which has to fail for its reasons.
func refusals(t *testing.T, deeds map[string][]string, also ...string) {
	for name, reasons := range deeds {
		t.Run(name, func(t *testing.T) {
			in := misdeed(t, name)
			in.also = also
			newLab(t, in).requireFails(reasons...)
		})
	}
}

// again opens the host anew, after the configuration of the module was changed.
func (l *lab) again(table map[string]any) {
	l.t.Helper()
	require.NoError(l.t, l.Close())
	own := l.cfg.Strategies["hostile"]
	own.Config = asJSON(l.t, table)
	l.cfg.Strategies["hostile"] = own
	l.reopen(dbtest.Cache())
}

func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

func threatClaims(t *testing.T) {
	refusals(t, map[string][]string{
		"upload nothing":           {"files were neither uploaded nor reused", "CURRENT"},
		"a file of its own making": {"file 4000000000", "not found"},
		"upload twice":             {"was submitted twice"},
	})
}

// threatForeignObjects has a module refer to what another database has stored in
// the same repository, and to what its base does not share.
func threatForeignObjects(t *testing.T) {
	l := newLab(t, misdeed(t, "foreign base"))
	other := dbtest.New(t, rocks.Creation{})
	dbtest.Fill(t, other, "default", 9, 500)
	require.NoError(t, l.Close())
	foreign := snapshot(t, at(l.cfg, other), "incremental")
	l.list = append(l.list, foreign.ID)
	for _, slot := range []uint64{foreign.Slot, 1 << 40} {
		l.again(map[string]any{"deed": "foreign base", "slot": slot})
		l.requireFails(fmt.Sprintf("base %d", slot), "not found")
	}
	refusals(t, map[string][]string{"reuse without a base": {"is not in the base"}})
}

// threatOrder makes random calls. Whatever comes of it is refused, or restores.
func threatOrder(t *testing.T) {
	refusals(t, map[string][]string{
		"capture nothing": {"files_read before checkpoint"},
		"close nothing":   {"streams were not closed"},
	})
	l := newLab(t, misdeed(t, "random"))
	seeds, committed := 60, 0
	if raced() { // which takes seconds for each
		seeds = 10
	}
	for seed := range seeds {
		l.again(map[string]any{"deed": "random", "seed": seed})
		m, err := l.attack()
		if err != nil {
			continue
		}
		committed++
		l.list = append(l.list, m.ID)
		if m.Kind != "custom" {
			assert.Equal(t, l.want, dbtest.Digest(t, restore(t, l.cfg, m.ID)), "seed %d", seed)
		}
	}
	t.Logf("%d of %d were committed", committed, seeds)
	l.requireHealthy()
}

// threatScope has tables stored for one snapshot alone: no later one may refer to
// them, and what it has stored itself survives the first.
func threatScope(t *testing.T) {
	refusals(t, map[string][]string{"share what changes": {"cannot be shared"}})
	t.Run("keeps what others would share", func(t *testing.T) {
		l := newLab(t, misdeed(t, "none"))
		private, err := l.attack()
		require.NoError(t, err)
		for _, f := range private.Contents {
			assert.Equal(t, abi.ScopePrivate, f.Scope, f.Name)
		}
		later, err := l.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
		require.NoError(t, err)
		assert.Zero(t, later.BytesReused)
		_, err = l.Prune(t.Context(), host.PruneOptions{Remove: []string{private.ID}})
		require.NoError(t, err)
		assert.Equal(t, l.want, dbtest.Digest(t, restore(t, l.cfg, later.ID)))
		l.list = append(l.list, later.ID)
		l.requireHealthy()
	})
}

func threatSkips(t *testing.T) {
	refusals(t, map[string][]string{
		"forget a table": {"1 of ", "neither uploaded nor reused", ".sst"},
		"forget CURRENT": {"neither uploaded nor reused: CURRENT"},
	})
}

func threatState(t *testing.T) {
	refusals(t, map[string][]string{
		"fill the state":    {"limit reached", "state of "},
		"fill the metadata": {"limit reached", "metadata of "},
	})
	t.Run("of a run that fails", func(t *testing.T) {
		l := newLab(t, misdeed(t, "remember and fail"))
		l.requireFails("changed my mind")
		l.again(map[string]any{"deed": "recall"})
		m, err := l.attack()
		require.NoError(t, err)
		assert.Empty(t, m.Meta["note"], "it was never committed")
		assert.Empty(t, m.State)
	})
	t.Run("of another strategy", func(t *testing.T) {
		l := newLab(t, misdeed(t, "remember"))
		m, err := l.attack()
		require.NoError(t, err)
		assert.Equal(t, "remember", string(m.State["note"]))
		m, err = l.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
		require.NoError(t, err)
		assert.NotContains(t, m.State, "note")
	})
}

// threatForgedRecords has a module move the records itself, and cheat.
func threatForgedRecords(t *testing.T) {
	deeds := map[string][]string{
		"drop records":       {"records written", "scanned"},
		"double records":     {"does not come after key"},
		"swap records":       {"does not come after key"},
		"change a value":     {"content differs"},
		"half a record":      {"end within a record"},
		"huge record":        {"end within a record"},
		"stop half way":      {"not scanned to their end"},
		"export one family":  {`column family "orders"`, "were not exported"},
		"export twice":       {`column family "orders"`},
		"write into another": {"column family"},
	}
	t.Run("without key groups", func(t *testing.T) { refusals(t, deeds) })
	deeds["forge a group"] = []string{"key"}
	t.Run("with key groups", func(t *testing.T) { refusals(t, deeds, "[keygroups]", "count = 128") })
}

// threatAfterCrash demands that nothing runs in what a crash has left.
func threatAfterCrash(t *testing.T) {
	t.Run("Go", func(t *testing.T) {
		l := newLab(t, misdeed(t, "crash"))
		l.requireFails("all is lost")
		assert.NotContains(t, l.log.String(), "hears of", "it would have been told in an instance that crashed")
	})
	t.Run("an error is no crash", func(t *testing.T) {
		l := newLab(t, misdeed(t, "remember and fail"))
		l.requireFails("changed my mind")
		assert.Contains(t, l.log.String(), "hears of aborted")
	})
	t.Run("memory is new", func(t *testing.T) {
		l := newLab(t, intruder{file: hostileWAT(t, `(memory (export "memory") 1)
(func (export "rocksnap_snapshot") (result i32)
  (if (i32.load (i32.const 0)) (then (return (i32.const -16))))
  (i32.store (i32.const 0) (i32.const 1))
  (unreachable))`)})
		for range 3 {
			l.requireFails("unreachable")
		}
	})
}

// threatRestore steers a restore into a database that lacks something.
func threatRestore(t *testing.T) {
	for name, reason := range map[string]string{
		"omit a file":       "did not fetch",
		"omit everything":   "did not fetch",
		"fetch twice":       "",
		"fetch the unknown": "not found",
		"fail a restore":    "will not",
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, misdeed(t, name))
			m, err := l.attack()
			require.NoError(t, err)
			l.list = append(l.list, m.ID)
			target := filepath.Join(t.TempDir(), "restored")
			_, err = l.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
			require.ErrorContains(t, err, reason)
			assert.NoDirExists(t, target)
			requireAlone(t, filepath.Dir(target))
			l.requireHealthy()

			trusted := *l.cfg // an operator takes the capability away, and has the data back
			trusted.Strategies = map[string]config.Strategy{}
			assert.Equal(t, l.want, dbtest.Digest(t, restore(t, &trusted, m.ID)))
		})
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return content
}
