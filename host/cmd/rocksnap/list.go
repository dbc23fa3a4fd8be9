package main

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) listVerb() *cobra.Command {
	var groups bool
	cmd := verb("list", "List the snapshots, newest last", `Lists the snapshots of the database that [repository] name names, newest last.
What cannot be read is reported after the others. With --groups it lists the
group snapshots of [group] name, and what became of those that were given up.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 20 damage found,
130 interrupted.`,
		`  rocksnap list
  rocksnap list --groups --json`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if groups {
				return c.listGroups(cmd)
			}
			r, err := c.repository(cmd.Context(), nil)
			if err != nil {
				return err
			}
			list, damage := r.List(cmd.Context())
			if damage != nil && host.CodeOf(damage) != host.CodeDamaged {
				return damage
			}
			pins, damagedPins := r.Pins(cmd.Context())
			if damagedPins != nil && host.CodeOf(damagedPins) != host.CodeDamaged {
				return damagedPins
			}
			if err := c.printList(list, pins); err != nil {
				return err
			}
			return errors.Join(damage, damagedPins)
		})
	cmd.Flags().BoolVar(&groups, "groups", false, "list group snapshots")
	return cmd
}

type listDocument struct {
	Schema    string       `json:"schema"`
	Snapshots []listedItem `json:"snapshots"`
}

type listedItem struct {
	ID          string            `json:"id"`
	Created     time.Time         `json:"created"`
	Strategy    string            `json:"strategy"`
	Kind        string            `json:"kind"`
	Files       int               `json:"files"`
	BytesFull   int64             `json:"bytes_full"`
	BytesNew    int64             `json:"bytes_new"`
	BytesReused int64             `json:"bytes_reused"`
	Pinned      bool              `json:"pinned"` // also true of a savepoint
	Savepoint   bool              `json:"savepoint"`
	Labels      map[string]string `json:"labels"`
	Group       string            `json:"group,omitempty"` // NAME/ID

	Linked      bool   `json:"linked,omitempty"`       // it is not a backup
	FallbackFor string `json:"fallback_for,omitempty"` // the strategy that was to take it
}

func (c *cli) printList(list []host.Summary, pins []host.Pin) error {
	pinned := make(map[string]bool)
	for _, p := range pins {
		pinned[p.Snapshot] = true
	}
	if c.json {
		doc := listDocument{Schema: "rocksnap.list/1", Snapshots: make([]listedItem, len(list))}
		for i, s := range list {
			doc.Snapshots[i] = listedItem{
				ID: s.ID, Created: s.Created, Strategy: s.Strategy.Name, Kind: s.Kind, Files: s.Files,
				BytesFull: s.BytesFull, BytesNew: s.BytesNew, BytesReused: s.BytesReused,
				Pinned: pinned[s.ID] || s.Savepoint, Savepoint: s.Savepoint, Labels: filled(s.Labels),
				FallbackFor: s.Strategy.FallbackFor, Group: s.Group, Linked: s.Linked,
			}
		}
		return c.print(doc)
	}
	t := c.table()
	t.row("ID", "CREATED", "STRATEGY", "KIND", "FILES", "FULL", "NEW", "REUSED", "PINNED", "LABELS")
	for _, s := range list {
		t.row(s.ID, s.Created.Local().Format(time.DateTime), taker(s.Strategy.Name, s.Strategy.FallbackFor), linked(s.Kind, s.Linked), s.Files,
			size(s.BytesFull), size(s.BytesNew), size(s.BytesReused), hold(pinned[s.ID], s.Savepoint), pairs(s.Labels))
	}
	return t.flush()
}

// linked says beside the kind of a snapshot that it is not a backup.
func linked(kind string, isLinked bool) string {
	if isLinked {
		return kind + " (linked, not a backup)"
	}
	return kind
}

// taker names the strategy of a snapshot, and the one that it stood in for.
func taker(name, instead string) string {
	if instead == "" {
		return name
	}
	return name + " for " + instead
}

// hold says what keeps a snapshot whatever the retention says.
func hold(pinned, savepoint bool) string {
	switch {
	case savepoint:
		return "savepoint"
	case pinned:
		return "yes"
	}
	return "-"
}

func pairs(labels map[string]string) string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		list = append(list, plain(key)+"="+plain(labels[key]))
	}
	return strings.Join(list, " ")
}
