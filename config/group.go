package config

import (
	"slices"
	"time"

	"github.com/BurntSushi/toml"
)

// Group says with which others the database takes group snapshots.
type Group struct {
	Name    string   // of the group within the repository
	Members []string // names of the databases in the repository, this one among them
	Timeout Duration // for which the others are waited for; 5m unless given
}

const maxGroup = 100 // members

func (c *Config) groupFields() []field {
	if c.Group == nil {
		return nil
	}
	return []field{
		{dotted("group.name"), &c.Group.Name},
		{dotted("group.members"), &c.Group.Members},
		{dotted("group.timeout"), &c.Group.Timeout},
	}
}

func defaultGroup() *Group { return &Group{Timeout: Duration(5 * time.Minute)} }

// completeGroup leaves no group where the file has none.
func (l *loader) completeGroup() {
	if !slices.ContainsFunc(l.config.groupFields(), l.config.isGiven) {
		l.config.Group = nil
	}
}

func (l *loader) checkGroup() {
	g := l.config.Group
	if g == nil {
		return
	}
	l.need(dotted("group.name"), `name = "orders"`)
	l.need(dotted("group.members"), `members = ["orders-0", "orders-1"]`)
	if !validName.MatchString(g.Name) {
		l.wrong(dotted("group.name"), "", "%s, not %q", nameRule, g.Name)
	}
	for i, name := range g.Members {
		if !validName.MatchString(name) || slices.Contains(g.Members[:i], name) {
			l.wrong(dotted("group.members"), "", "must be different names, each of which %s; item %d is %q", nameRule, i+1, name)
		}
	}
	if len(g.Members) == 0 || len(g.Members) > maxGroup {
		l.wrong(dotted("group.members"), "", "must be 1 to %d names, not %d", maxGroup, len(g.Members))
	}
	atLeast(l, dotted("group.timeout"), g.Timeout, Duration(time.Second))
}

// need reports a key that is missing from a table that is there.
func (l *loader) need(key toml.Key, example string) {
	if !l.given(key) {
		l.wrong(key, missingHint(key, example), "missing")
	}
}
