package catalog

import (
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// start runs an actor. After a crash it begins anew, knowing nothing.
func (w *world) start(name string, live func(*process)) {
	w.actors.Add(1)
	seed := w.random.Uint64()
	go func() {
		defer w.actors.Add(-1)
		for life := uint64(0); ; life++ {
			p := w.process(name, rand.New(rand.NewPCG(seed, life)))
			p.enter("start", name)
			live(p)
			if !p.dead || w.over {
				return
			}
		}
	}()
}

func (w *world) process(name string, r *rand.Rand) *process {
	return &process{world: w, name: name, random: r, walks: map[string]int{}, walked: map[string]int{}, sent: map[string][]byte{}, handed: map[*simSession]bool{}}
}

// alone runs a process while there is no other.
func (w *world) alone(name string, live func(*process)) {
	p := w.process(name, rand.New(rand.NewPCG(w.random.Uint64(), 0)))
	p.lonely = true
	live(p)
	w.model.watch()
}

// rest lets time pass, except in a script: who sleeps is taken for being done.
func (p *process) rest(d time.Duration) {
	if p.script == nil {
		time.Sleep(d)
	}
	p.enter("wake", p.name)
}

// goes says whether a process has more to do.
func (p *process) goes() bool { return !p.dead && !p.calm }

func (p *process) open(database string) *Catalog { return &Catalog{store: p, database: database} }

func (p *process) uuid() string {
	id, _ := uuid.NewRandomFromReader(random{p.random})
	return id.String()
}

// random makes a reader of a source.
type random struct{ *rand.Rand }

func (r random) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return len(b), nil
}

// host takes snapshots until it is fenced, and then takes over again, perhaps.
func host(database string) func(*process) {
	return func(p *process) {
		for p.goes() {
			w, err := p.open(database).Acquire(context.Background(), Owner{Host: p.name})
			p.model.acquired(p, w, err)
			lives, rest := 12, 20*time.Minute
			if p.nature.hurry {
				lives, rest = 2, time.Minute
			}
			for range 1 + p.random.IntN(lives) {
				if err == nil && p.goes() {
					err = p.ahead(w)
				}
				if err == nil && p.goes() {
					err = p.sessions(w)
				}
			}
			p.rest(time.Duration(p.random.Int64N(int64(rest))))
		}
	}
}

// reader restores snapshots, slowly.
func reader(database string) func(*process) {
	return func(p *process) {
		ctx, c := context.Background(), p.open(database)
		for p.goes() {
			p.rest(time.Duration(p.random.IntN(20000)) * time.Millisecond)
			m := p.find(ctx, c)
			if m == nil {
				continue
			}
			release, err := c.Hold(ctx, &m.Summary, "restore", Owner{Host: p.name})
			if err != nil {
				continue
			}
			h := &hold{process: p, manifest: m}
			p.model.holds[h] = !p.dead
			p.read(ctx, h)
			delete(p.model.holds, h)
			p.enter("done", p.name)
			release()
		}
	}
}

// find picks the latest snapshot or any.
func (p *process) find(ctx context.Context, c *Catalog) *Manifest {
	id := Latest
	if p.random.IntN(2) == 0 {
		var ids []string
		for s, err := range c.Snapshots(ctx) {
			if err == nil {
				ids = append(ids, s.ID)
			}
		}
		if len(ids) > 0 {
			id = pick(p.random, ids...)
		}
	}
	m, err := c.Find(ctx, id)
	if err != nil {
		return nil
	}
	return m
}

func (p *process) read(ctx context.Context, h *hold) {
	p.model.watch()
	for range 1 + p.random.IntN(3) {
		for _, f := range h.manifest.Contents {
			data, err := readObject(ctx, p, f.Object, 1<<20)
			switch {
			case errors.Is(err, fs.ErrNotExist) && !h.expired:
				p.model.violated("%s misses object %s of snapshot %s in slot %d, which it holds", p.name, f.Object, h.manifest.ID, h.manifest.Slot)
			case err == nil && string(data) != content(f.Identity):
				p.model.violated("%s reads %q for %s", p.name, data, f.Identity)
			case err == nil:
				p.model.done["objects read"]++
			}
		}
		p.rest(time.Duration(p.random.IntN(40)) * time.Minute * time.Duration(p.random.IntN(2)))
	}
}

// pruner prunes with whatever policy.
func pruner(databases ...string) func(*process) {
	return func(p *process) {
		for p.goes() {
			p.rest(time.Duration(p.random.IntN(10000)) * time.Millisecond)
			o := PruneOptions{
				Policy: pick(p.random, Policy{Last: 1}, Policy{Last: 1}, Policy{Last: 2}, Policy{}), Sweep: p.random.IntN(2) == 0,
				Grace: pick(p.random, p.nature.graces...), DryRun: p.random.IntN(10) == 0, Owner: Owner{Host: p.name},
			}
			if p.nature.hurry {
				o.Policy, o.DryRun = Policy{Last: 1}, false
			}
			p.prune(p.open(pick(p.random, databases...)), o)
		}
	}
}

func (p *process) prune(c *Catalog, o PruneOptions) {
	p.began = p.step
	pruned, err := c.Prune(context.Background(), o)
	p.tell("%s: pruned %s: %d objects: %v", p.name, c.database, pruned.Objects, err)
	for _, err := range pruned.Damaged {
		if !p.dead && !errors.Is(err, errFault) {
			p.model.violated("%s finds damage: %v", p.name, err)
		}
	}
}

// operator pins, unpins and removes by name.
func operator(database string) func(*process) {
	return func(p *process) {
		ctx, c := context.Background(), p.open(database)
		mine := map[string]bool{}
		pinned := p.model.books[database].pinned
		for p.goes() {
			p.rest(time.Duration(p.random.IntN(10000)) * time.Millisecond)
			m := p.find(ctx, c)
			if m == nil {
				continue
			}
			switch {
			case mine[m.ID] && p.random.IntN(2) == 0:
				delete(mine, m.ID)
				delete(pinned, m.ID)
				_, err := c.Unpin(ctx, m.ID)
				p.tell("%s: unpinned %s: %v", p.name, m.ID, err)
			case p.random.IntN(4) == 0:
				p.prune(c, PruneOptions{Remove: []string{m.ID}, Grace: pick(p.random, p.nature.graces...), Owner: Owner{Host: p.name}})
			default:
				_, err := c.Pin(ctx, &m.Summary, "", Owner{Host: p.name})
				p.tell("%s: pinned %s in %d: %v", p.name, m.ID, m.Slot, err)
				if err == nil && !p.dead {
					mine[m.ID] = true
					pinned[m.ID]++
				}
			}
		}
	}
}
