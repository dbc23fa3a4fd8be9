package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) pruneVerb() *cobra.Command {
	var o host.PruneOptions
	cmd := verb("prune", "Remove old snapshots, and what nothing refers to", `Removes the snapshots that [retention] does not keep, and tells of each why it
stays or goes. The newest one, those that are pinned and savepoints always stay;
--remove takes any that is not pinned. An empty [retention] removes nothing.

A removed snapshot leaves the list at once. Its objects follow when they have
been free for as long as [retention] grace says, by a later prune, and so do
those that failed snapshots have left. Snapshots, restores and other prunes may
run meanwhile.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 20 damage found,
130 interrupted.`,
		`  rocksnap prune --dry-run
  rocksnap prune --remove 019c2f6e`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error { return c.prune(cmd, o) })
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "change nothing, only tell")
	cmd.Flags().StringArrayVar(&o.Remove, "remove", nil, "`ID` of a snapshot to remove whatever [retention] says; repeatable")
	cmd.Flags().BoolVar(&o.Sweep, "sweep", false, "delete what failed snapshots have left even if [retention] is empty")
	register(cmd, "remove", c.snapshotIDs(1))
	return cmd
}

func (c *cli) prune(cmd *cobra.Command, o host.PruneOptions) error {
	cfg, err := config.Load(c.config)
	if err != nil {
		return err
	}
	r, err := host.OpenRepository(cmd.Context(), cfg, c.options(nil)...)
	if err != nil {
		return err
	}
	pruned, damage := r.Prune(cmd.Context(), o)
	if pruned == nil {
		return damage
	}
	if c.json {
		err = c.print(newPruneDocument(pruned, o.DryRun))
	} else {
		idle := cfg.Retention.Empty() && len(o.Remove) == 0 && !o.Sweep
		err = c.printPruned(pruned, freed(pruned, idle, o.DryRun))
	}
	if err != nil {
		return err
	}
	return damage
}

type pruneDocument struct {
	Schema       string        `json:"schema"`
	DryRun       bool          `json:"dry_run"`
	Keep         []verdictItem `json:"keep"`
	Remove       []verdictItem `json:"remove"`
	Objects      int           `json:"objects"`
	BytesNow     int64         `json:"bytes_now"`
	ObjectsLater int           `json:"objects_after_grace"`
	BytesLater   int64         `json:"bytes_after_grace"`
	FreeAt       *time.Time    `json:"free_at"` // null when nothing waits for its age
	Held         []string      `json:"held"`
}

type verdictItem struct {
	ID      string   `json:"id"`
	Reasons []string `json:"reasons"`
}

func newPruneDocument(p *host.Pruned, dry bool) pruneDocument {
	doc := pruneDocument{
		Schema: "rocksnap.prune/1", DryRun: dry, Keep: []verdictItem{}, Remove: []verdictItem{},
		Objects: p.Objects, BytesNow: p.Bytes, ObjectsLater: p.ObjectsLater, BytesLater: p.BytesLater,
		Held: append([]string{}, p.Held...),
	}
	for _, v := range p.Verdicts {
		list := &doc.Remove
		if v.Keep {
			list = &doc.Keep
		}
		*list = append(*list, verdictItem{v.Snapshot.ID, v.Reasons})
	}
	if !p.FreeAt.IsZero() {
		doc.FreeAt = &p.FreeAt
	}
	return doc
}

// printPruned prints what becomes of each snapshot, and then lines of text.
func (c *cli) printPruned(p *host.Pruned, lines []string) error {
	t := c.table()
	t.row("ID", "CREATED", "ACTION", "REASONS")
	for _, v := range p.Verdicts {
		action := "remove"
		if v.Keep {
			action = "keep"
		}
		t.row(v.Snapshot.ID, v.Snapshot.Created.Local().Format(time.DateTime), action, strings.Join(v.Reasons, "; "))
	}
	t.lines(lines...)
	return t.flush()
}

// freed says what space a prune has freed, and what keeps the rest. An idle one
// had nothing to go by.
func freed(p *host.Pruned, idle, dry bool) []string {
	if idle {
		return []string{"nothing was deleted: [retention] has no rule, such as keep_last = 7; --sweep deletes what failed snapshots have left"}
	}
	would := ""
	if dry {
		would = "would be "
	}
	lines := []string{fmt.Sprintf("%sfreed now: %s, %s", would, count(p.Objects, "object"), size(p.Bytes))}
	if p.ObjectsLater > 0 {
		line := fmt.Sprintf("%sfree after grace: %s, %s", would, count(p.ObjectsLater, "object"), size(p.BytesLater))
		if !p.FreeAt.IsZero() {
			line += ", from " + p.FreeAt.Local().Format(time.DateTime) + " on"
		}
		lines = append(lines, line)
	}
	for _, who := range p.Held {
		lines = append(lines, "held by "+who)
	}
	return lines
}
