package main

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

// listGroups lists the group snapshots of the configuration's group.
func (c *cli) listGroups(cmd *cobra.Command) error {
	r, err := c.repository(cmd.Context(), nil)
	if err != nil {
		return err
	}
	list, err := r.Groups(cmd.Context())
	if err != nil {
		return err
	}
	return c.printGroups(list)
}

type groupsDocument struct {
	Schema string        `json:"schema"`
	Groups []listedGroup `json:"groups"`
}

type listedGroup struct {
	Group   string             `json:"group"`
	ID      string             `json:"id"`
	State   host.GroupState    `json:"state"`
	Whole   bool               `json:"whole"` // it can be restored
	At      time.Time          `json:"at"`    // decided, or planned while undecided
	Members []host.GroupMember `json:"members"`
	Absent  []string           `json:"absent"`  // members whose snapshot was removed
	Missing []string           `json:"missing"` // members without a snapshot, of one that is not committed
	Reason  string             `json:"reason,omitempty"`
}

func (c *cli) printGroups(list []host.Group) error {
	if c.json {
		doc := groupsDocument{Schema: "rocksnap.groups/1", Groups: make([]listedGroup, len(list))}
		for i, g := range list {
			doc.Groups[i] = listedGroup{
				g.Name, g.ID, g.State, g.Whole(), g.At, append([]host.GroupMember{}, g.Members...),
				append([]string{}, g.Absent...), append([]string{}, g.Missing...), g.Reason,
			}
		}
		return c.print(doc)
	}
	t := c.table()
	t.row("GROUP", "ID", "STATE", "AT", "MEMBERS", "NOTE")
	for _, g := range list {
		t.row(g.Name, g.ID, g.State, g.At.Local().Format(time.DateTime), cmp.Or(membersOf(g), "-"), cmp.Or(noteOn(g), "-"))
	}
	return t.flush()
}

func membersOf(g host.Group) string {
	names := make([]string, len(g.Members))
	for i, m := range g.Members {
		names[i] = m.Database + "/" + m.Snapshot
	}
	return strings.Join(names, " ")
}

// noteOn says what is to be known of a group snapshot that cannot be restored.
func noteOn(g host.Group) string {
	switch {
	case len(g.Absent) > 0:
		return "removed: " + strings.Join(g.Absent, ", ")
	case len(g.Missing) > 0:
		return fmt.Sprintf("%s without: %s", plain(g.Reason), strings.Join(g.Missing, ", "))
	}
	return plain(g.Reason)
}
