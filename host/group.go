package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// Group is a group snapshot: snapshots of several databases that count together or
// not at all.
type Group = catalog.Group

// GroupMember is one database's snapshot in a [Group].
type GroupMember = catalog.GroupMember

// GroupState says what became of a group snapshot.
type GroupState = catalog.GroupState

// The states of a group snapshot.
const (
	GroupUndecided = catalog.GroupUndecided
	GroupCommitted = catalog.GroupCommitted
	GroupAborted   = catalog.GroupAborted
)

// join makes the database take part in a group snapshot.
func (h *Host) join(ctx context.Context, o SnapshotOptions) (*catalog.Membership, error) {
	g := h.config().Group
	switch {
	case g == nil:
		return nil, problem(CodeUsage, errors.New("snapshot: the configuration names no group"), "add [group] with name and members")
	case o.Savepoint:
		return nil, problem(CodeUsage, errors.New("snapshot: a savepoint is kept and removed by itself, and a member of a group is not"),
			"take one or the other")
	}
	group := g.Name + "/" + o.Group
	if err := catalog.CheckGroup(group); err != nil {
		return nil, problem(CodeUsage, fmt.Errorf("snapshot: group id: %w", err), "")
	}
	part, err := h.catalog.Join(ctx, catalog.GroupPlan{
		Group: group, Members: g.Members, TimeoutMs: time.Duration(g.Timeout).Milliseconds(), Owner: thisProcess(),
	})
	return part, inGroup(err)
}

// inGroup gives the errors of groups their codes and hints.
func inGroup(err error) error {
	switch {
	case errors.Is(err, catalog.ErrGroupAborted):
		return problem(CodeFailed, err, "nothing of it is listed; once every member is well, take another one with a new id")
	case errors.Is(err, catalog.ErrGroupCommitted):
		return problem(CodeFailed, err, "every barrier needs an id of its own")
	case errors.Is(err, catalog.ErrGroupPlan):
		return problem(CodeUsage, err, "[group] members must be the same in the configuration of every member")
	}
	return err
}

// snapshotInGroup takes a snapshot that counts only if every member's does. It
// gives the group up when all attempts have failed.
func (h *Host) snapshotInGroup(ctx context.Context, o SnapshotOptions) (*Manifest, error) {
	part, err := h.join(ctx, o)
	if err != nil {
		return nil, err
	}
	if _, ok := part.Posted(); ok {
		return h.rejoin(ctx, part)
	}
	o.part = part
	m, err := h.Snapshot(ctx, o)
	if err != nil {
		h.abort(ctx, part, err)
	}
	return m, err
}

// beginInGroup begins a snapshot that counts only if every member's does. It is the
// only attempt, so its failure gives the group up.
func (h *Host) beginInGroup(ctx context.Context, o SnapshotOptions) (*Operation, error) {
	part, err := h.join(ctx, o)
	if err != nil {
		return nil, err
	}
	if member, ok := part.Posted(); ok {
		op := &Operation{host: h, rejoined: member.Snapshot, done: make(chan struct{})}
		ctx, op.cancel = context.WithCancel(ctx)
		go func() {
			defer close(op.done)
			defer op.cancel()
			op.manifest, op.err = h.rejoin(ctx, part)
		}()
		return op, nil
	}
	o.part, o.aborts = part, true
	op, err := h.Begin(ctx, o)
	if err != nil {
		h.abort(ctx, part, err)
	}
	return op, err
}

// rejoin waits for the outcome of a group that an earlier process of this database
// has posted its snapshot for.
func (h *Host) rejoin(ctx context.Context, part *catalog.Membership) (*Manifest, error) {
	h.log.Info("a snapshot of this database is part of the group already")
	member, err := part.Await(ctx)
	if err != nil {
		return nil, inGroup(err)
	}
	m, err := h.catalog.Manifest(ctx, member.Slot)
	if err != nil {
		return nil, fmt.Errorf("snapshot: %w", err)
	}
	if err := h.Reveal(m); err != nil && CodeOf(err) != CodeKey { // without the key there is enough to tell
		return nil, err
	}
	return m, nil
}

// abort tells the other members that they need not wait.
func (h *Host) abort(ctx context.Context, part *catalog.Membership, cause error) {
	if errors.Is(cause, catalog.ErrGroupAborted) {
		return
	}
	if _, err := part.Abort(ctx, h.name+": "+firstLine(cause)); err != nil {
		h.log.Warn("the other members of the group wait until their time is over", "error", err)
	}
}

// announce begins the session as the repository sees it.
func (op *Operation) announce(ctx context.Context) (*catalog.Session, error) {
	s := op.session
	if part := op.options.part; part != nil {
		return part.Begin(ctx, op.host.writer, s.id, s.strategy, s.lineage.origins...)
	}
	return op.host.writer.BeginBy(ctx, s.id, s.strategy, s.lineage.origins...)
}

// commitInGroup publishes the snapshot of an operation that is part of a group, and
// waits for the others until ctx ends.
func (op *Operation) commitInGroup(ctx context.Context, m *Manifest) error {
	return inGroup(op.options.part.Commit(ctx, op.session.run, m))
}

// Groups returns the snapshots of the configuration's group, oldest first: those
// that are committed, as long as a member is there, and of late those that are not.
func (r *Repository) Groups(ctx context.Context) ([]Group, error) {
	g := r.config().Group
	if g == nil {
		return nil, noGroup()
	}
	list, err := r.catalog.Groups(ctx, g.Name)
	return list, damagedGroup(err)
}

func noGroup() error {
	return problem(CodeUsage, errors.New("the configuration names no group"), "add [group] with name and members")
}

func damagedGroup(err error) error {
	if errors.Is(err, catalog.ErrDamaged) {
		return problem(CodeDamaged, err, "bring the file back from a copy of the repository")
	}
	return err
}

// FindGroup returns a group snapshot by the id of its barrier, or the newest one
// that is whole as "latest". NAME/ID is one of another group in the repository.
func (r *Repository) FindGroup(ctx context.Context, ref string) (*Group, error) {
	name, id, other := strings.Cut(ref, "/")
	if !other {
		g := r.config().Group
		if g == nil {
			return nil, noGroup()
		}
		name, id = g.Name, ref
	}
	g, err := r.catalog.FindGroup(ctx, name, id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem(CodeFailed, fmt.Errorf("no group snapshot %s of %s", id, name), "'rocksnap list --groups' shows what there is")
	}
	if err != nil {
		return nil, damagedGroup(err)
	}
	return &g, nil
}

// ofGroup lists the snapshots of a group, which must all be there, as sources of a
// restore.
func (r *Repository) ofGroup(ctx context.Context, ref string) ([]string, error) {
	g, err := r.FindGroup(ctx, ref)
	if err != nil {
		return nil, err
	}
	switch {
	case g.State == GroupUndecided:
		return nil, problem(CodeFailed, fmt.Errorf("group %s/%s is not decided: %s still to come", g.Name, g.ID, strings.Join(g.Missing, ", ")),
			"wait for it, or take the one before")
	case g.State == GroupAborted:
		return nil, inGroup(&catalog.GroupAbortedError{Group: g.Name + "/" + g.ID, Reason: g.Reason, Missing: g.Missing})
	case !g.Whole():
		return nil, problem(CodeFailed, fmt.Errorf("group %s/%s is not whole: the snapshot of %s was removed", g.Name, g.ID, strings.Join(g.Absent, ", ")),
			"the other snapshots can be restored by their ids; 'rocksnap list --groups' shows what is whole")
	}
	sources := make([]string, len(g.Members))
	for i, m := range g.Members {
		sources[i] = m.Database + "/" + m.Snapshot
	}
	return sources, nil
}
