package catalog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/host/blob"
)

// Membership is the part of one database in a group snapshot. Its methods belong to
// one goroutine.
type Membership struct {
	catalog *Catalog
	plan    GroupPlan
	owner   Owner
	posted  *GroupMember // by this database; nil before
	now     time.Time    // by the store's clock
	asked   time.Time    // when that was, by the local clock
}

// Join makes the database of the catalog take part in a group snapshot. It fails
// with [ErrGroupPlan] when others were told of other members, with
// [ErrGroupAborted] when it comes too late, and with [ErrGroupCommitted] when
// somebody uses an id again.
func (c *Catalog) Join(ctx context.Context, plan GroupPlan) (*Membership, error) {
	m := &Membership{catalog: c, plan: plan, owner: plan.Owner}
	if err := m.join(ctx); err != nil {
		return nil, fmt.Errorf("join group: %w", err)
	}
	return m, nil
}

func (m *Membership) join(ctx context.Context) error {
	if err := m.agree(ctx); err != nil {
		return err
	}
	o, err := m.catalog.outcome(ctx, m.plan.Group)
	switch {
	case err == nil:
		return m.tooLate(o)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	name := postedPrefix(m.plan.Group) + m.catalog.database
	data, err := readObject(ctx, m.catalog.store, name, maxDocument)
	if err == nil {
		return m.enter(name, data)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read %s: %w", name, err)
	}
	m.asked = time.Now()
	if m.now, err = m.catalog.clock(ctx, false); err != nil {
		return err
	}
	return m.refuseLate(ctx)
}

// refuseLate decides a group whose time was over before this database joined it, and
// at which nobody has looked meanwhile: a snapshot that is taken now would be of
// another moment than those that wait for it.
func (m *Membership) refuseLate(ctx context.Context) error {
	o, err := m.catalog.conclude(ctx, m.plan.Group, m.now, m.owner)
	if o != nil {
		return m.tooLate(o)
	}
	return err
}

// tooLate says what was decided before this database joined.
func (m *Membership) tooLate(o *GroupOutcome) error {
	if !o.Committed {
		return o.err()
	}
	own, _ := o.member(m.catalog.database)
	return fmt.Errorf("group %s is %w, at %s with snapshot %s", o.Group, ErrGroupCommitted, o.Created.Format(time.RFC3339), own.Snapshot)
}

// agree makes the plan, or compares it with the one that is there.
func (m *Membership) agree(ctx context.Context) error {
	m.plan.Version, m.plan.Created = FormatVersion, time.Now().UTC()
	m.plan.Members = slices.Sorted(slices.Values(m.plan.Members))
	if err := m.plan.validate(); err != nil {
		return err
	}
	if !slices.Contains(m.plan.Members, m.catalog.database) {
		return fmt.Errorf("%w: %s is none of %s", ErrGroupPlan, m.catalog.database, strings.Join(m.plan.Members, ", "))
	}
	data, err := sealDocument(&m.plan, &m.plan.Digest)
	if err != nil {
		return err
	}
	name := planName(m.plan.Group)
	if data, err = propose(ctx, m.catalog.store, name, data); err != nil {
		return err
	}
	found, err := readPlan(name, m.plan.Group, data)
	if err == nil && !slices.Equal(found.Members, m.plan.Members) {
		err = fmt.Errorf("%w: %s has them as %s, here they are %s", ErrGroupPlan, found.Owner,
			strings.Join(found.Members, ", "), strings.Join(m.plan.Members, ", "))
	}
	return err
}

// enter takes what this database has posted.
func (m *Membership) enter(name string, data []byte) error {
	p, err := readPosted(name, m.plan.Group, data)
	if err != nil {
		return err
	}
	m.posted = &p.GroupMember
	return nil
}

// Posted returns the snapshot that this database takes part with, if it has posted
// one: a process that was killed may have done so. Then no other is needed.
func (m *Membership) Posted() (member GroupMember, ok bool) {
	if m.posted == nil {
		return GroupMember{}, false
	}
	return *m.posted, true
}

// Begin announces a session whose snapshot is to be part of the group; see
// [Writer.BeginBy].
func (m *Membership) Begin(ctx context.Context, w *Writer, id, strategy string, origins ...Origin) (*Session, error) {
	return w.beginIn(ctx, id, strategy, m.plan.Group, origins)
}

// waits says whether a session has come to no end because its group is not decided:
// its snapshot may count yet, so nobody can say what became of it.
func (c *Catalog) waits(ctx context.Context, i Intent) (bool, error) {
	if i.Group == "" {
		return false, nil
	}
	_, err := c.outcome(ctx, i.Group)
	if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	name := postedPrefix(i.Group) + c.database
	data, err := readObject(ctx, c.store, name, maxDocument)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", name, err)
	}
	p, err := readPosted(name, i.Group, data)
	return err == nil && p.Snapshot == i.Session, nil
}

// Commit publishes a session's snapshot as that of the group: it commits the entry,
// which nobody sees yet, posts it, and waits for the outcome. The outcomes are those
// of [Session.Commit], of which nil says that the group is committed, and
// [ErrGroupAborted]: nothing is committed, now or ever.
func (m *Membership) Commit(ctx context.Context, s *Session, snapshot *Manifest) error {
	snapshot.Group = m.plan.Group
	if err := s.Commit(context.WithoutCancel(ctx), snapshot); err != nil {
		return err
	}
	if err := m.post(context.WithoutCancel(ctx), snapshot); err != nil {
		return err
	}
	own, err := m.Await(ctx)
	if err == nil && own.Snapshot != snapshot.ID {
		err = fmt.Errorf("group %s: %s takes part in it with snapshot %s of another process", m.plan.Group, own.Database, own.Snapshot)
	}
	return err
}

// post says that the snapshot of this database is stored.
func (m *Membership) post(ctx context.Context, s *Manifest) error {
	digest, err := m.catalog.EntryDigest(ctx, s.Slot)
	if err != nil {
		return err
	}
	p := posted{
		Version: FormatVersion, Group: m.plan.Group, GroupMember: GroupMember{m.catalog.database, s.ID, s.Slot, digest},
		Created: time.Now().UTC(), Owner: m.owner,
	}
	data, err := sealDocument(&p, &p.Digest)
	if err != nil {
		return err
	}
	name := postedPrefix(m.plan.Group) + m.catalog.database
	if data, err = propose(ctx, m.catalog.store, name, data); err != nil {
		return err
	}
	return m.enter(name, data)
}

// The pauses between two looks at what the others have done grow with the time that
// was waited, so that nobody learns much later of it than it took.
const (
	firstPause = 20 * time.Millisecond
	lastPause  = 10 * time.Second
)

func pauseAfter(waited time.Duration) time.Duration {
	return min(max(waited/16, firstPause), lastPause)
}

// Await waits until the group is decided, and returns the snapshot with which this
// database is part of it. When the time is over, or ctx ends, it aborts the group,
// unless it is committed by then. It fails with [ErrGroupAborted], and with
// [blob.ErrUnknownOutcome] when the store does not tell.
func (m *Membership) Await(ctx context.Context) (GroupMember, error) {
	if m.asked.IsZero() { // it was posted by an earlier process
		m.asked = time.Now()
		var err error
		if m.now, err = m.catalog.clock(ctx, false); err != nil {
			return GroupMember{}, fmt.Errorf("%w: %w", blob.ErrUnknownOutcome, err)
		}
	}
	start := time.Now()
	for failed := 0; ; {
		o, err := m.catalog.conclude(ctx, m.plan.Group, m.now.Add(time.Since(m.asked)), m.owner)
		switch {
		case ctx.Err() != nil:
			return m.leave(ctx)
		case o != nil:
			own, _ := o.member(m.catalog.database)
			return own, o.err()
		case errors.Is(err, ErrDamaged) || errors.Is(err, ErrVersion):
			return GroupMember{}, err
		case err == nil:
			failed = 0
		default:
			failed++
		}
		if failed > tries {
			return GroupMember{}, fmt.Errorf("%w: %w", blob.ErrUnknownOutcome, err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(pauseAfter(time.Since(start))):
		}
	}
}

// leave aborts the group after a cancel.
func (m *Membership) leave(ctx context.Context) (GroupMember, error) {
	cause := context.Cause(ctx)
	o, err := m.Abort(ctx, m.catalog.database+" was cancelled")
	switch {
	case err != nil:
		return GroupMember{}, fmt.Errorf("%w: %w", cause, err)
	case !o.Committed:
		return GroupMember{}, fmt.Errorf("%w: %w", cause, o.err())
	}
	own, _ := o.member(m.catalog.database)
	return own, nil
}

// maxGroupReason bounds what an outcome tells, in bytes.
const maxGroupReason = 1000

// Abort gives the group up, unless it is decided, and returns what was decided. The
// cancellation of ctx does not count.
func (m *Membership) Abort(ctx context.Context, reason string) (*GroupOutcome, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if len(reason) > maxGroupReason {
		reason = reason[:maxGroupReason]
	}
	o := &GroupOutcome{Group: m.plan.Group, Reason: strings.ToValidUTF8(reason, "?"), Owner: m.owner}
	if there, _, err := m.catalog.gather(ctx, o.Group, m.plan.Members); err == nil { // else nobody is named
		o.Missing = missing(m.plan.Members, there)
	}
	return m.catalog.decide(ctx, o)
}

// conclude decides a group snapshot if it can be decided: it commits when every
// member has posted, and aborts when the time is over. It returns nil while neither
// is so, and when there is no plan. now is the store's time.
func (c *Catalog) conclude(ctx context.Context, group string, now time.Time, owner Owner) (*GroupOutcome, error) {
	o, err := c.outcome(ctx, group)
	if !errors.Is(err, fs.ErrNotExist) {
		return o, err
	}
	plan, at, err := c.plan(ctx, group)
	if errors.Is(err, fs.ErrNotExist) { // prune takes it away once there is an outcome
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	there, damage, err := c.gather(ctx, group, plan.Members)
	if err != nil {
		return nil, err
	}
	late := missing(plan.Members, there)
	timeout := time.Duration(plan.TimeoutMs) * time.Millisecond
	switch {
	case len(late) == 0:
		return c.decide(ctx, &GroupOutcome{Group: group, Committed: true, Members: there, Owner: owner})
	case now.Before(at.Add(timeout)):
		return nil, nil
	}
	reason := fmt.Sprintf("not every member came within %s", timeout)
	if damage != nil {
		reason = damage.Error()
	}
	return c.decide(ctx, &GroupOutcome{Group: group, Reason: reason, Missing: late, Owner: owner})
}

// plan reads the plan of a group snapshot, and when it was made by the store's clock.
func (c *Catalog) plan(ctx context.Context, group string) (p GroupPlan, at time.Time, err error) {
	name := planName(group)
	info, err := c.store.Stat(ctx, name)
	if err != nil {
		return p, at, fmt.Errorf("read %s: %w", name, err)
	}
	data, err := readObject(ctx, c.store, name, maxDocument)
	if err != nil {
		return p, at, fmt.Errorf("read %s: %w", name, err)
	}
	p, err = readPlan(name, group, data)
	return p, info.Modified, err
}

// gather reads what the members have posted, in order. What is damaged counts as
// not posted, and is returned beside the others.
func (c *Catalog) gather(ctx context.Context, group string, members []string) (there []GroupMember, damage, err error) {
	for info, err := range c.store.List(ctx, postedPrefix(group), "") {
		if err != nil {
			return nil, nil, fmt.Errorf("list %s: %w", postedPrefix(group), err)
		}
		data, err := readObject(ctx, c.store, info.Name, maxDocument)
		if errors.Is(err, fs.ErrNotExist) { // prune takes it away once there is an outcome
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read %s: %w", info.Name, err)
		}
		p, err := readPosted(info.Name, group, data)
		switch {
		case err != nil:
			damage = err
		case slices.Contains(members, p.Database):
			there = append(there, p.GroupMember)
		}
	}
	return there, damage, nil
}

// missing lists the members that have not posted.
func missing(members []string, there []GroupMember) []string {
	return slices.DeleteFunc(slices.Clone(members), func(database string) bool {
		return slices.ContainsFunc(there, func(m GroupMember) bool { return m.Database == database })
	})
}

// decide creates the outcome of a group snapshot, and returns what stands there
// then: of all that decide side by side one comes first, and it counts for all.
func (c *Catalog) decide(ctx context.Context, o *GroupOutcome) (*GroupOutcome, error) {
	o.Version, o.Created = FormatVersion, time.Now().UTC()
	data, err := sealDocument(o, &o.Digest)
	if err == nil {
		data, err = propose(ctx, c.store, outcomeName(o.Group), data)
	}
	if err != nil {
		return nil, fmt.Errorf("decide group %s: %w", o.Group, err)
	}
	return c.remember(o.Group, data)
}
