package catalog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// populateGroup gives every database a host or two that takes part in group
// snapshots, with prunes and readers beside.
func (w *world) populateGroup() {
	w.nature.steps += w.nature.steps / 2
	w.nature.cancel /= 4 // three have to come
	for i, database := range simDatabases {
		w.start("member "+strconv.Itoa(i), member(database))
	}
	if w.random.IntN(3) == 0 {
		w.start("member again", member(pick(w.random, simDatabases...)))
	}
	w.start("pruner", pruner(simDatabases...))
	w.start("group reader", groupReader("users"))
	if !w.nature.hurry && w.random.IntN(3) == 0 {
		w.start("reader", reader(pick(w.random, simDatabases...)))
	}
}

// member takes snapshots, most of them as part of a group.
func member(database string) func(*process) {
	return func(p *process) {
		for p.goes() {
			w, err := p.open(database).Acquire(context.Background(), Owner{Host: p.name})
			p.model.acquired(p, w, err)
			for range 1 + p.random.IntN(6) {
				if err == nil && p.goes() {
					err = p.takePart(w)
				}
			}
			p.rest(time.Duration(p.random.Int64N(int64(time.Minute))))
		}
	}
}

func (p *process) takePart(w *Writer) error {
	if p.random.IntN(6) == 0 {
		return p.sessions(w)
	}
	barrier := p.model.barrier
	s := p.session(w, p.uuid(), make(chan bool, 1))
	s.group = fmt.Sprintf("shop/%d", barrier)
	s.origins = p.origins(s.database)
	err := s.take()
	if p.model.outcomes[s.group] != nil {
		p.model.barrier = max(p.model.barrier, barrier+1)
	}
	if errors.Is(err, ErrFenced) || p.dead {
		return err
	}
	return nil
}

// join takes part in the group of a session. over says that nothing is left to do.
func (s *simSession) join(ctx context.Context) (part *Membership, over bool, err error) {
	if s.group == "" {
		return nil, false, nil
	}
	part, err = s.writer.catalog.Join(ctx, GroupPlan{
		Group: s.group, Members: simDatabases, Owner: Owner{Host: s.name},
		TimeoutMs: pick(s.random, 20*time.Minute, 6*time.Hour, 12*time.Hour).Milliseconds(),
	})
	if err != nil {
		s.learned(err)
		return nil, true, err
	}
	if _, ok := part.Posted(); ok {
		s.model.done["rejoined"]++
		_, err := part.Await(ctx)
		s.learned(err)
		return nil, true, err
	}
	return part, false, nil
}

func (s *simSession) announce(ctx context.Context, part *Membership) (*Session, error) {
	if part == nil {
		return s.writer.BeginBy(ctx, s.id, "", s.origins...)
	}
	return part.Begin(ctx, s.writer, s.id, "", s.origins...)
}

func (s *simSession) publish(ctx context.Context, part *Membership, m *Manifest) error {
	if part == nil {
		return s.run.Commit(ctx, m)
	}
	if s.random.IntN(15) == 0 {
		limited, cancel := context.WithTimeout(ctx, pick(s.random, time.Second, time.Minute, 20*time.Minute))
		defer cancel()
		ctx = limited
	}
	err := part.Commit(ctx, s.run, m)
	s.learned(err)
	return err
}

// learned compares what a member was told with what is so.
func (s *simSession) learned(err error) {
	o := s.model.outcomes[s.group]
	switch {
	case s.dead:
	case err == nil && (o == nil || !o.Committed):
		s.model.violated("%s was told that group %s is committed", s.name, s.group)
	case errors.Is(err, ErrGroupCommitted) && (o == nil || !o.Committed):
		s.model.violated("%s was told that group %s is committed", s.name, s.group)
	case errors.Is(err, ErrGroupAborted) && (o == nil || o.Committed):
		s.model.violated("%s was told that group %s is aborted", s.name, s.group)
	}
}

// groupReader looks at the groups as anybody can.
func groupReader(database string) func(*process) {
	return func(p *process) {
		for p.goes() {
			p.rest(time.Duration(p.random.IntN(20)) * time.Minute)
			p.began = p.step
			list, err := p.open(database).Groups(context.Background(), "shop")
			if err != nil || p.dead {
				continue
			}
			for _, g := range list {
				p.model.shown(g)
			}
		}
	}
}

// shown checks what a reader was shown of a group.
func (m *model) shown(g Group) {
	o := m.outcomes[g.Name+"/"+g.ID]
	switch {
	case g.State == GroupUndecided:
	case o == nil, o.Committed != (g.State == GroupCommitted):
		m.violated("group %s is shown as %s", g.ID, g.State)
	case o.Committed && !slices.Equal(o.Members, g.Members):
		m.violated("group %s is shown with other members", g.ID)
	default:
		m.done["groups shown "+string(g.State)]++
	}
	for _, database := range g.Absent {
		m.done["members shown as removed"]++
		if own, _ := o.member(database); !m.books[database].declared(own.Slot) {
			m.violated("group %s is shown without its member in slot %d of %s", g.ID, own.Slot, database)
		}
	}
}

// counts says whether a snapshot is to be seen, as far as its group goes.
func (m *model) counts(b *book, slot uint64) bool {
	s := b.body[slot]
	if s.Group == "" {
		return true
	}
	o := m.outcomes[s.Group]
	return o != nil && slices.ContainsFunc(o.Members, func(g GroupMember) bool {
		return g.Database == s.Database && g.Slot == slot && g.Snapshot == s.ID
	})
}

// grouped is told of the documents of groups.
func (m *model) grouped(name string, body []byte) {
	parts := strings.SplitN(name, "/", 4)
	group := parts[1] + "/" + parts[2]
	switch before, decided := m.outcomes[group]; {
	case parts[3] == "plan" && !decided:
		p, err := readPlan(name, group, body)
		if _, again := m.plans[group]; err != nil || again {
			m.violated("%s is made again: %v", name, err)
		}
		m.plans[group] = p
	case parts[3] == "outcome" && decided:
		m.violated("group %s is decided twice, after %v", group, before)
	case parts[3] == "outcome":
		m.concluded(group, body)
	}
}

// concluded checks a group at the moment at which it is decided.
func (m *model) concluded(group string, body []byte) {
	o, err := new(Catalog).remember(group, body)
	if err != nil {
		m.violated("the outcome of %s: %v", group, err)
		return
	}
	m.outcomes[group] = o
	if !o.Committed {
		m.done["groups aborted"]++
		return
	}
	m.done["groups committed"]++
	var databases []string
	for _, g := range o.Members {
		databases = append(databases, g.Database)
		b := m.books[g.Database]
		e := b.log[g.Slot]
		if e == nil || e.digest != g.Entry || b.declared(g.Slot) || b.body[g.Slot] == nil || b.body[g.Slot].Group != group {
			m.violated("group %s is committed with slot %d of %s, which is none of it", group, g.Slot, g.Database)
			continue
		}
		m.complete(b.body[g.Slot])
	}
	if !slices.Equal(databases, m.plans[group].Members) {
		m.violated("group %s is committed with %v only", group, databases)
	}
}

// ungrouped is told of documents of groups before they are deleted.
func (m *model) ungrouped(p *process, name string) {
	parts := strings.SplitN(name, "/", 4)
	if parts[3] == "outcome" || m.outcomes[parts[1]+"/"+parts[2]] == nil {
		m.violated("%s deletes %s", p.name, name)
	}
}

// spares demands that a removal declares nothing whose group is not decided.
func (m *model) spares(b *book, r *removal) {
	for slot, s := range b.body {
		if r.Removed.has(slot) && !b.declared(slot) && s.Group != "" {
			if m.outcomes[s.Group] == nil {
				m.violated("the removal in slot %d removes slot %d, whose group %s is not decided", r.Slot, slot, s.Group)
			}
			m.done["members removed"]++
		}
	}
}

// TestGroupSimulation is the protocol of groups against everything that may happen
// to it.
func TestGroupSimulation(t *testing.T) {
	done := map[string]int{}
	for seed := range seeds(40) {
		w := simulateThat(t, seed, spoiler{}, (*world).populateGroup)
		require.Empty(t, w.model.wrong, "seed %d\n%s", seed, strings.Join(w.trace[max(0, len(w.trace)-400):], "\n"))
		for what, n := range w.model.done {
			done[what] += n
		}
	}
	for _, what := range slices.Sorted(maps.Keys(done)) {
		t.Log(what, done[what])
	}
	for _, what := range []string{"groups committed", "groups aborted", "rejoined", "groups shown committed", "groups shown aborted", "members removed"} {
		require.NotZero(t, done[what], what)
	}
}

// The mutations of the protocol of groups.
var groupMutations = map[string]spoiler{
	"who decides believes itself": {read: func(p *process, name string, r io.ReadCloser, err error) (io.ReadCloser, error) {
		if body, ok := p.sent[name]; ok && strings.HasSuffix(name, "/outcome") {
			return io.NopCloser(bytes.NewReader(body)), nil
		}
		return r, err
	}},
	"a member commits without waiting for the others": {read: func(p *process, name string, r io.ReadCloser, err error) (io.ReadCloser, error) {
		if err != nil || !strings.HasSuffix(name, "/plan") || !strings.HasPrefix(p.name, "member") || p.random.IntN(2) == 0 {
			return r, err
		}
		plan := p.model.plans[groupOf(name)]
		plan.Members = plan.Members[:1]
		return forged(&plan, &plan.Digest)
	}},
	"prune takes what is not decided for aborted": {read: func(p *process, name string, r io.ReadCloser, err error) (io.ReadCloser, error) {
		if !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(name, "/outcome") || !isPruner(p) {
			return r, err
		}
		o := GroupOutcome{Version: FormatVersion, Group: groupOf(name), Reason: "so it seems"}
		return forged(&o, &o.Digest)
	}},
	"a reader reads members before outcomes": {hide: func(p *process, prefix, _, name string) bool {
		return p.name == "group reader" && strings.HasSuffix(prefix, "/entries/") && p.model.born[name] > p.began
	}},
	"what is not decided counts": {read: func(p *process, name string, r io.ReadCloser, err error) (io.ReadCloser, error) {
		if !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(name, "/outcome") || p.model.stored(groupOf(name)) == nil {
			return r, err
		}
		o := GroupOutcome{Version: FormatVersion, Group: groupOf(name), Committed: true, Members: p.model.stored(groupOf(name))}
		return forged(&o, &o.Digest)
	}},
}

func groupOf(name string) string {
	parts := strings.Split(name, "/")
	return parts[1] + "/" + parts[2]
}

func forged(document any, digest *string) (io.ReadCloser, error) {
	data, err := sealDocument(document, digest)
	return io.NopCloser(bytes.NewReader(data)), err
}

// stored lists the entries that members of a group have stored.
func (m *model) stored(group string) (list []GroupMember) {
	for _, database := range simDatabases {
		for slot, s := range m.books[database].body {
			if s.Group == group {
				list = append(list, GroupMember{database, s.ID, slot, m.books[database].log[slot].digest})
				break
			}
		}
	}
	return list
}

// TestGroupSimulationFindsMutations proves that the simulation would notice.
func TestGroupSimulationFindsMutations(t *testing.T) {
	for name, spoil := range groupMutations {
		t.Run(name, func(t *testing.T) {
			for seed := range seeds(300) {
				if w := simulateThat(t, seed, spoil, (*world).populateGroup); len(w.model.wrong) > 0 {
					t.Logf("seed %d: %s", seed, w.model.wrong[0])
					return
				}
			}
			assert.Fail(t, "nobody has noticed")
		})
	}
}
