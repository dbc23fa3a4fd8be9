package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// GroupState says what became of a group snapshot.
type GroupState string

// The states.
const (
	GroupUndecided GroupState = "undecided" // some members have not come yet
	GroupCommitted GroupState = "committed"
	GroupAborted   GroupState = "aborted"
)

// Group is a group snapshot as a reader sees it.
type Group struct {
	Name    string
	ID      string // of the barrier
	State   GroupState
	At      time.Time     // when it was decided, or planned while it is not, by the store's clock
	Members []GroupMember // of a committed one, in order of their names
	Absent  []string      // members of a committed one whose snapshot was removed
	Missing []string      // members that have not posted, of one that is not committed
	Reason  string        // of an aborted one

	unread error // why a member cannot be read, if no other was removed
}

// Whole says whether a group snapshot can be restored.
func (g *Group) Whole() bool { return g.State == GroupCommitted && len(g.Absent) == 0 }

// Groups returns the snapshots of a group, oldest first: those that are committed
// and of which a member is still there, and those of late that are not committed.
//
// Outcomes are read before the members, so that a group which is committed meanwhile
// is not taken for one that was removed in part. Of the groups without a plan, which
// are over, those matter only of which something is left.
func (c *Catalog) Groups(ctx context.Context, name string) ([]Group, error) {
	files, err := c.groups(ctx, name+"/")
	if err != nil {
		return nil, err
	}
	list, err := c.described(ctx, files, func(group string) bool { return files[group].plan != nil })
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	there, unread, err := c.members(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	old, err := c.described(ctx, files, func(group string) bool { return files[group].plan == nil && there[group] != nil })
	if err != nil {
		return nil, fmt.Errorf("list groups: %w", err)
	}
	list = append(list, old...)
	for i := range list {
		list[i].compare(there[name+"/"+list[i].ID], unread)
	}
	list = slices.DeleteFunc(list, func(g Group) bool {
		return g.State == GroupCommitted && len(g.Absent) == len(g.Members) && g.unread == nil
	})
	slices.SortFunc(list, func(a, b Group) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
	return list, nil
}

// compare notes which members are gone, or cannot be read.
func (g *Group) compare(there map[string]bool, unread map[string]error) {
	removed := false
	for _, m := range g.Members {
		if there[m.Database] {
			continue
		}
		g.Absent = append(g.Absent, m.Database)
		if err := unread[entryName(m.Database, m.Slot)]; err != nil {
			g.unread = err
		} else {
			removed = true
		}
	}
	if removed { // then it is not whole, whatever is the matter with the others
		g.unread = nil
	}
}

// described reads what became of the groups that are chosen.
func (c *Catalog) described(ctx context.Context, files map[string]*groupFiles, chosen func(group string) bool) ([]Group, error) {
	var list []Group
	for _, group := range slices.Sorted(maps.Keys(files)) {
		if !chosen(group) {
			continue
		}
		g, err := c.group(ctx, group, files[group])
		if err != nil {
			return nil, err
		}
		list = append(list, g)
	}
	return list, nil
}

// FindGroup returns a group snapshot by its id, or the newest one that is whole by
// the id [Latest]. It fails with fs.ErrNotExist when there is none. Like
// [Catalog.Find] it gives out no older one in the place of one that cannot be read.
func (c *Catalog) FindGroup(ctx context.Context, name, id string) (Group, error) {
	list, err := c.Groups(ctx, name)
	if err != nil {
		return Group{}, err
	}
	for _, g := range slices.Backward(list) {
		switch {
		case g.unread != nil && (g.ID == id || id == Latest):
			return Group{}, fmt.Errorf("group %s/%s: %w", name, g.ID, g.unread)
		case g.ID == id || id == Latest && g.Whole():
			return g, nil
		}
	}
	return Group{}, fmt.Errorf("group %s/%s: %w", name, id, fs.ErrNotExist)
}

// members lists what is there of committed groups of a name: by group, the
// databases in which the member is listed. The entries that cannot be read, and so
// cannot be restored, it returns by their names.
func (c *Catalog) members(ctx context.Context, name string) (there map[string]map[string]bool, unread map[string]error, err error) {
	catalogs, err := c.siblings(ctx)
	if err != nil {
		return nil, nil, err
	}
	there, unread = make(map[string]map[string]bool), make(map[string]error)
	for _, c := range catalogs {
		for s, err := range c.Snapshots(ctx) {
			switch {
			case errors.Is(err, ErrDamaged) || errors.Is(err, ErrVersion):
				unread[entryName(c.database, s.Slot)] = err
				continue
			case err != nil:
				return nil, nil, err
			case !strings.HasPrefix(s.Group, name+"/"):
				continue
			}
			if there[s.Group] == nil {
				there[s.Group] = make(map[string]bool)
			}
			there[s.Group][c.database] = true
		}
	}
	return there, unread, nil
}

// group reads what became of one group snapshot.
func (c *Catalog) group(ctx context.Context, group string, f *groupFiles) (g Group, err error) {
	g.Name, g.ID, _ = strings.Cut(group, "/")
	o, err := c.outcome(ctx, group)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return c.undecided(ctx, g, group)
	case err != nil:
		return g, err
	}
	g.State, g.At, g.Missing, g.Reason, g.Members = GroupAborted, o.Created, o.Missing, o.Reason, o.Members
	if f.outcome != nil {
		g.At = f.outcome.Modified
	}
	if o.Committed {
		g.State = GroupCommitted
	}
	return g, nil
}

// undecided tells of a group snapshot who is still to come.
func (c *Catalog) undecided(ctx context.Context, g Group, group string) (Group, error) {
	g.State = GroupUndecided
	plan, at, err := c.plan(ctx, group)
	if errors.Is(err, fs.ErrNotExist) { // it was taken away after it was decided, just now
		return g, nil
	}
	if err != nil {
		return g, err
	}
	posted, _, err := c.gather(ctx, group, plan.Members)
	g.At, g.Missing = at, missing(plan.Members, posted)
	return g, err
}
