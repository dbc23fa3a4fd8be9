package catalog

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob/mem"
)

// script lets one process do some calls, another some, and then the first and the
// second the rest. Tried with all numbers, that shows every way in which the one
// can be suspended in the other.
type script struct {
	first, second string
	some, others  int
	granted       map[string]int
}

func (s *script) next(pending []*call) *call {
	turn := s.second
	if n := s.granted[s.first]; n < s.some || s.granted[s.second] >= s.others {
		turn = s.first
	}
	i := slices.IndexFunc(pending, func(c *call) bool { return c.process.name == turn })
	i = max(i, 0) // the other one, when this one is done
	s.granted[pending[i].process.name]++
	return pending[i]
}

// play runs two processes in those ways, each in a new world, which setup has
// prepared and check looks at in the end. With ROCKSNAP_SEEDS it tries every one of
// them, otherwise one of each stride.
func play(t *testing.T, stride int, setup, a, b func(*process), check func(*testing.T, *world)) {
	t.Helper()
	if seeds(0) > 0 {
		stride = 1
	}
	for _, swap := range []bool{false, true} {
		first, second := a, b
		if swap {
			first, second = b, a
		}
		for some, calls := 0, 1; some <= calls; some++ {
			for others, more := 1+some%stride, 1+some%stride; others <= more; others += stride {
				s := &script{first: "first", second: "second", some: some, others: others, granted: map[string]int{}}
				playOnce(t, s, setup, first, second, check)
				calls, more = s.granted["first"], s.granted["second"]
			}
		}
	}
}

func playOnce(t *testing.T, s *script, setup, first, second func(*process), check func(*testing.T, *world)) {
	synctest.Test(t, func(t *testing.T) {
		uuid.SetRand(random{rand.New(rand.NewPCG(1, 2))})
		defer uuid.SetRand(nil)
		w := &world{random: rand.New(rand.NewPCG(1, 1)), calm: true, arrivals: make(chan *call, 1000)}
		w.disk = mem.New(mem.WithClock(w.now))
		w.model = newModel(w)
		w.alone("setup", setup)
		w.script = s
		w.start("first", first)
		w.start("second", second)
		w.run()
		w.script = nil
		check(t, w)
		if len(w.model.wrong) == 0 {
			w.tidyUp()
		}
		require.Empty(t, w.model.wrong, "%s\n%+v", strings.Join(w.trace, "\n"), *s)
	})
}
