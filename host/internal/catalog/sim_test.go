package catalog

import (
	"context"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob/mem"
)

// simDatabases are those that a world may have.
var simDatabases = []string{"orders", "stock", "users"}

// simulate runs the world of a seed to its end, and everything is cleaned up.
func simulate(t *testing.T, seed uint64, spoil spoiler) (w *world) {
	return simulateThat(t, seed, spoil, (*world).populate)
}

func simulateThat(t *testing.T, seed uint64, spoil spoiler, populate func(*world)) (w *world) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(seed, 1))
		uuid.SetRand(random{rand.New(rand.NewPCG(seed, 2))})
		defer uuid.SetRand(nil)
		w = &world{random: r, nature: drawNature(r), spoil: spoil, arrivals: make(chan *call, 1000)}
		w.ahead = time.Duration(r.IntN(13)-6) * time.Hour
		w.disk = mem.New(mem.WithClock(w.now))
		w.model = newModel(w)
		populate(w)
		w.run()
		if len(w.model.wrong) == 0 {
			w.tidyUp()
		}
	})
	return w
}

func (w *world) populate() {
	r := w.random
	for i := range 2 + r.IntN(2) {
		w.start("host "+strconv.Itoa(i), host("orders"))
	}
	pruned := []string{"orders"}
	if r.IntN(3) == 0 {
		pruned = append(pruned, "users")
		w.start("host u", host("users"))
		w.start("reader u", reader("users"))
	}
	for i := range 1 + r.IntN(2) {
		w.start("pruner "+strconv.Itoa(i), pruner(pruned...))
		if !w.nature.hurry {
			w.start("reader "+strconv.Itoa(i), reader("orders"))
		}
	}
	w.start("operator", operator("orders"))
}

// tidyUp lets time pass, gives each database a last writer, so that all sessions
// are over, and prunes.
func (w *world) tidyUp() {
	w.calm = true
	w.alone("last", func(p *process) {
		for _, database := range w.databases() {
			_, _ = p.open(database).Acquire(context.Background(), owner)
		}
		for range 2 {
			w.ahead += 48 * time.Hour
			for _, database := range w.databases() {
				p.prune(p.open(database), PruneOptions{Sweep: true, Grace: time.Hour})
			}
		}
	})
	w.model.clean()
}

func (w *world) databases() []string {
	return slices.DeleteFunc(slices.Clone(simDatabases), func(database string) bool { return w.model.books[database].last == 0 })
}

// TestSimulation is the protocol against everything that may happen to it.
// ROCKSNAP_SEEDS says how many worlds are tried; ROCKSNAP_SEED=n tries one and
// shows all that happens in it.
func TestSimulation(t *testing.T) {
	if seed, err := strconv.ParseUint(os.Getenv("ROCKSNAP_SEED"), 10, 64); err == nil {
		w := simulate(t, seed, spoiler{})
		t.Log("\n" + strings.Join(w.trace, "\n"))
		require.Empty(t, w.model.wrong)
		return
	}
	done := map[string]int{}
	for seed := range seeds(200) {
		w := simulate(t, seed, spoiler{})
		require.Empty(t, w.model.wrong, "ROCKSNAP_SEED=%d", seed)
		for what, n := range w.model.done {
			done[what] += n
		}
	}
	for _, what := range slices.Sorted(maps.Keys(done)) {
		t.Log(what, done[what])
	}
}

func seeds(n uint64) uint64 {
	if more, err := strconv.ParseUint(os.Getenv("ROCKSNAP_SEEDS"), 10, 64); err == nil {
		return more
	}
	return n
}

func TestASeedReplaysExactly(t *testing.T) {
	for seed := range uint64(10) {
		one, two := simulate(t, seed, spoiler{}).trace, simulate(t, seed, spoiler{}).trace
		for i := range min(len(one), len(two)) {
			require.Equal(t, one[i], two[i], "seed %d", seed)
		}
	}
}
