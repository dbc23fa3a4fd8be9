package catalog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/host/blob"
)

// groupFiles is what is there of a group snapshot.
type groupFiles struct {
	plan, outcome *blob.Info
	members       []blob.Info // what they have posted
}

// groups lists the documents of group snapshots whose names begin with a prefix, by
// group.
func (c *Catalog) groups(ctx context.Context, prefix string) (map[string]*groupFiles, error) {
	found := make(map[string]*groupFiles)
	for info, err := range c.store.List(ctx, groupsPrefix+prefix, "") {
		if err != nil {
			return nil, fmt.Errorf("list groups: %w", err)
		}
		name, rest, _ := strings.Cut(info.Name[len(groupsPrefix):], "/")
		id, document, _ := strings.Cut(rest, "/")
		group := name + "/" + id
		if found[group] == nil {
			found[group] = new(groupFiles)
		}
		switch {
		case document == "plan":
			found[group].plan = &info
		case document == "outcome":
			found[group].outcome = &info
		case strings.HasPrefix(document, "members/"):
			found[group].members = append(found[group].members, info)
		}
	}
	return found, nil
}

// concludeGroups decides the group snapshots of the repository whose time is over,
// and lists the documents that mean nothing any more: once there is an outcome, the
// plan and what was posted are read by nobody. The outcome itself stays for ever.
func (p *pruning) concludeGroups(ctx context.Context) (spent []string, err error) {
	all, err := p.catalog.groups(ctx, "")
	if err != nil || p.options.DryRun || p.idle() {
		return nil, err
	}
	for _, group := range slices.Sorted(maps.Keys(all)) {
		files := all[group]
		if files.outcome == nil {
			_, err := p.catalog.conclude(ctx, group, p.now, p.options.Owner)
			switch {
			case errors.Is(err, ErrDamaged), errors.Is(err, ErrVersion):
				p.result.Undecided = append(p.result.Undecided, err) // it stays, and so does what its members refer to
			case err != nil:
				return nil, err
			}
			continue
		}
		if !isOld(files.outcome.Modified, p.options.Grace, p.now) {
			continue
		}
		for _, m := range files.members {
			spent = append(spent, m.Name)
		}
		if files.plan != nil {
			spent = append(spent, files.plan.Name)
		}
	}
	return spent, nil
}

// dropped lists the slots of snapshots whose group has failed without them.
func (p *pruning) dropped() []uint64 {
	var list []uint64
	for r := range p.survey.present() {
		if r.err == nil && r.entry.manifest != nil && r.entry.standing == dropped {
			list = append(list, r.slot)
		}
	}
	return list
}

// verdicts has the policy judge the snapshots of each group by themselves, and
// those that are of none. A group is dated by its outcome, and placed by the slot of
// its first member, which are the same for all its members, so that prunes of
// different databases with the same policy say the same of it, and none of them takes
// one member away and leaves another. Their own slots would not do: of two groups that
// are under way at a time each database may commit another one first.
func (p *pruning) verdicts(list []Summary) []Verdict {
	classes := make(map[string][]Summary) // by names of the group and its first member, "" for none
	originals := make(map[string]Summary) // by id
	for _, s := range list {
		originals[s.ID] = s
		class := ""
		if known, ok := p.catalog.decided.Load(s.Group); ok {
			o := known.(*GroupOutcome)
			name, _, _ := strings.Cut(s.Group, "/")
			class = name + "/" + o.Members[0].Database
			s.Slot, s.Created = o.Members[0].Slot, o.Created
		}
		classes[class] = append(classes[class], s)
	}
	judged := make(map[string]Verdict)
	for _, class := range classes {
		for _, v := range p.options.Policy.Apply(class, p.reasons, p.now) {
			v.Snapshot = originals[v.Snapshot.ID]
			judged[v.Snapshot.ID] = v
		}
	}
	Order(list)
	verdicts := make([]Verdict, len(list))
	for i, s := range list {
		verdicts[i] = judged[s.ID]
	}
	return verdicts
}
