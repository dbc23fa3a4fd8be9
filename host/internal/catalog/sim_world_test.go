package catalog

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/mem"
)

// world runs processes against one store, one store call at a time. Which call
// comes next, and what goes wrong with it, follows from the seed alone, so that a
// seed replays exactly.
type world struct {
	random *rand.Rand
	nature nature
	spoil  spoiler // what a mutation hides from the protocol
	disk   *mem.Store
	model  *model
	script *script // decides instead of chance, if there is one

	arrivals chan *call
	pending  []*call
	actors   atomic.Int32 // that are not done

	calm  bool // nothing goes wrong any more, and actors come to their ends
	over  bool // the dead stay dead
	step  int
	last  *process
	late  []lateCreate
	trace []string
	ahead time.Duration // of the store's clock against that of the hosts
}

// nature is what may happen in a world, drawn from its seed.
type nature struct {
	steps  int
	stay   float64 // chance that the process which was last goes on
	fault  float64 // chance per call of an error, a lost answer, a late create
	crash  float64 // chance per call
	freeze float64 // chance per step that a process is suspended
	zombie float64 // chance that one is suspended for long when it is about to publish
	cancel float64 // chance per session that it fails before it commits
	jump   float64 // chance per step that the store's clock jumps
	coarse time.Duration
	paged  bool // a list may see the store at several instants
	graces []time.Duration
	hurry  bool // everything is pruned at once, so that slots are free again soon
}

func drawNature(r *rand.Rand) nature {
	n := nature{
		steps:  400 + r.IntN(800),
		stay:   pick(r, 0, 0.5, 0.9, 0.97),
		fault:  pick(r, 0, 0, 0.02, 0.08),
		crash:  pick(r, 0, 0, 0.003, 0.01),
		freeze: pick(r, 0, 0.01, 0.03),
		zombie: pick(r, 0, 0.1, 0.3),
		cancel: pick(r, 0, 0.1, 0.3),
		jump:   pick(r, 0, 0, 0.01),
		coarse: pick(r, time.Nanosecond, time.Second),
		paged:  r.IntN(2) == 0,
		graces: pick(r, []time.Duration{0}, []time.Duration{0, time.Minute}, []time.Duration{time.Second, time.Hour}),
		hurry:  r.IntN(4) == 0,
	}
	if n.hurry {
		n.graces, n.coarse, n.zombie, n.steps = []time.Duration{0}, time.Nanosecond, 0.3, 2*n.steps
		n.fault, n.crash = min(n.fault, 0.02), min(n.crash, 0.003)
	}
	return n
}

func pick[T any](r *rand.Rand, choices ...T) T { return choices[r.IntN(len(choices))] }

// process is one incarnation of an actor. When it crashes none of its calls has any
// effect any more, and all it knew is gone.
type process struct {
	*world
	name   string
	random *rand.Rand
	dead   bool
	frozen int  // the step until which it is suspended
	lonely bool // nobody else is there, and every call passes

	began int               // step at which its prune or its look at groups began
	made  string            // the last object that it created
	sent  map[string][]byte // that it wanted to create, in a spoiled world

	handed map[*simSession]bool // that nobody has adopted and committed yet

	walks  map[string]int // lists that it began, by prefix
	walked map[string]int // the step at which it began the last odd one
}

// call is a store call that waits for its turn.
type call struct {
	process *process
	verb    blob.Verb
	name    string
	resume  chan turn
	weighed bool // whether it is to be suspended for long
}

// turn is what happens to a call.
type turn int

const (
	pass turn = iota
	fail
	lose        // it is applied, and the answer is lost
	delay       // of a create: the answer is lost, and it is applied later or never
	crashBefore // the process dies
	crashAfter
)

func (f turn) String() string {
	return [...]string{"", " FAILS", " LOSES ITS ANSWER", " IS DELAYED", " DIES BEFORE", " DIES AFTER"}[f]
}

var (
	errCrashed = errors.New("crashed")
	errFault   = errors.New("the store failed")
)

// lateCreate is a request under way whose sender has given it up.
type lateCreate struct {
	process *process
	name    string
	body    []byte
}

// now is the store's clock.
func (w *world) now() time.Time { return time.Now().Add(w.ahead).Truncate(w.nature.coarse) }

func (w *world) tell(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf("%5d %s ", w.step, w.now().UTC().Format("02 15:04:05.000"))+fmt.Sprintf(format, args...))
}

// enter waits for the turn of a call.
func (p *process) enter(verb blob.Verb, name string) turn {
	if p.lonely {
		return pass
	}
	c := &call{process: p, verb: verb, name: name, resume: make(chan turn)}
	p.arrivals <- c
	return <-c.resume
}

// run gives turns until every actor is done.
func (w *world) run() {
	for {
		time.Sleep(w.pause())
		w.settle()
		w.model.watch()
		switch {
		case len(w.model.wrong) > 0:
			w.abandon()
			return
		case w.actors.Load() == 0 && len(w.pending) == 0:
			return
		}
		w.step++
		w.calm = w.calm || w.step > w.nature.steps
		w.happen()
		if c := w.next(); c != nil {
			w.grant(c)
		} else {
			time.Sleep(time.Minute) // everybody waits for a timer
		}
	}
}

// abandon lets everything end that is left after a violation.
func (w *world) abandon() {
	for w.over = true; w.actors.Load() > 0 || len(w.pending) > 0; {
		if len(w.pending) > 0 {
			w.pending[0].process.dead = true
			w.grant(w.pending[0])
		}
		time.Sleep(time.Hour)
		w.settle()
	}
}

// settle waits until every process waits.
func (w *world) settle() {
	synctest.Wait()
	for len(w.arrivals) > 0 {
		w.pending = append(w.pending, <-w.arrivals)
	}
}

// pause is how long a step takes. No two are equal, so that no two timers fire at
// once.
func (w *world) pause() time.Duration {
	if w.script != nil {
		return time.Millisecond
	}
	d := time.Duration(1+w.random.IntN(1e6)) * time.Nanosecond
	switch w.random.IntN(100) {
	case 0:
		d += time.Duration(w.random.IntN(30)) * time.Minute
	case 1, 2, 3, 4, 5:
		d += time.Duration(w.random.IntN(3000)) * time.Millisecond
	}
	return d
}

// happen is what happens to the world apart from calls.
func (w *world) happen() {
	if i := len(w.late); i > 0 && (w.calm || w.random.IntN(20) == 0) {
		i = w.random.IntN(i)
		l := w.late[i]
		w.late = slices.Delete(w.late, i, i+1)
		if w.random.IntN(3) > 0 {
			w.tell("%s: create %s arrives late", l.process.name, l.name)
			_ = l.process.apply(l.name, l.body)
		}
	}
	if !w.calm && w.random.Float64() < w.nature.jump {
		w.ahead += pick(w.random, time.Minute, 50*time.Minute, 3*time.Hour, -time.Minute)
		w.tell("the store's clock jumps")
	}
	if !w.calm && len(w.pending) > 0 && w.random.Float64() < w.nature.freeze {
		w.suspend(w.pending[w.random.IntN(len(w.pending))].process, 1<<w.random.IntN(9))
	}
	for _, c := range w.pending {
		if !c.weighed && !w.calm && w.random.Float64() < w.nature.zombie*c.moment() {
			w.suspend(c.process, 50+w.random.IntN(700))
		}
		c.weighed = true
	}
}

// moment says how good a moment this is to be suspended: between having looked and
// acting upon it.
func (c *call) moment() float64 {
	switch {
	case c.verb == blob.VerbCreate && strings.Contains(c.name, "/entries/"):
		return 1
	case c.verb == blob.VerbCreate && strings.HasPrefix(c.name, "db/"), strings.Contains(c.name, "/notes/"):
		return 0.3
	case c.verb == blob.VerbDelete:
		return 0.1
	}
	return 0
}

func (w *world) suspend(p *process, steps int) {
	p.frozen = max(p.frozen, w.step+steps)
	w.tell("%s is suspended for %d steps", p.name, steps)
}

// next picks the call whose turn it is, or nil.
func (w *world) next() *call {
	slices.SortStableFunc(w.pending, func(a, b *call) int {
		return cmp.Or(cmp.Compare(a.process.name, b.process.name), cmp.Compare(a.verb, b.verb), cmp.Compare(a.name, b.name))
	})
	awake := slices.DeleteFunc(slices.Clone(w.pending), func(c *call) bool { return c.process.frozen > w.step && !w.calm })
	if len(awake) == 0 {
		return nil
	}
	if w.script != nil {
		return w.script.next(awake)
	}
	if w.random.Float64() < w.nature.stay {
		same := slices.DeleteFunc(slices.Clone(awake), func(c *call) bool { return c.process != w.last })
		if len(same) > 0 {
			awake = same
		}
	}
	return awake[w.random.IntN(len(awake))]
}

// grant lets a call go on.
func (w *world) grant(c *call) {
	f := w.draw(c)
	w.tell("%s: %s %s%v", c.process.name, c.verb, c.name, f)
	w.last = c.process
	w.pending = slices.DeleteFunc(w.pending, func(o *call) bool { return o == c })
	c.process.dead = c.process.dead || f == crashBefore || f == crashAfter
	c.resume <- f
}

func (w *world) draw(c *call) turn {
	switch {
	case c.process.dead:
		return crashBefore
	case w.calm:
		return pass
	case w.random.Float64() < w.nature.crash:
		return pick(w.random, crashBefore, crashAfter)
	case w.random.Float64() >= w.nature.fault:
		return pass
	case c.verb == blob.VerbCreate:
		return pick(w.random, fail, lose, lose, delay)
	}
	return pick(w.random, fail, lose)
}
