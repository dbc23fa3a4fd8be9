package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) diffVerb() *cobra.Command {
	var records bool
	cmd := verb("diff A B", "Show how two snapshots differ", `Lists the files that two snapshots do not have in common or, with --records, the
keys whose records differ; for that both are restored into temporary folders.
Keys are quoted as in Go where they are not plain text.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 12 key, 20 damage found,
130 interrupted. Snapshots that differ are no failure.`,
		`  rocksnap diff 019c2f6e latest
  rocksnap diff 019c2f6e latest --records --json`, cobra.ExactArgs(2),
		func(cmd *cobra.Command, args []string) error {
			r, err := c.repository(cmd.Context(), nil)
			if err != nil {
				return err
			}
			from, err := r.Find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			to, err := r.Find(cmd.Context(), args[1])
			if err != nil {
				return err
			}
			if records {
				return c.diffRecords(cmd.Context(), r, from.ID, to.ID)
			}
			return c.diffFiles(cmd.Context(), r, from.ID, to.ID)
		})
	cmd.Flags().BoolVar(&records, "records", false, "compare records instead of files")
	cmd.ValidArgsFunction = c.snapshotIDs(2)
	return cmd
}

type diffDocument struct {
	Schema string     `json:"schema"`
	From   string     `json:"from"`
	To     string     `json:"to"`
	Files  []fileItem `json:"files"`
}

type fileItem struct {
	Change string `json:"change"` // added or removed
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Digest string `json:"digest"`
}

func (c *cli) diffFiles(ctx context.Context, r *host.Repository, from, to string) error {
	changes, err := r.DiffFiles(ctx, from, to)
	if err != nil {
		return err
	}
	if c.json {
		doc := diffDocument{"rocksnap.diff/1", from, to, make([]fileItem, len(changes))}
		for i, d := range changes {
			doc.Files[i] = fileItem{d.Change, d.File.Name, d.File.Size, d.File.Digest}
		}
		return c.print(doc)
	}
	t := c.table()
	for _, d := range changes {
		t.row(d.Change, d.File.Name, size(d.File.Size))
	}
	return t.flush()
}

// recordLine is one difference. There may be as many as records, so each is a
// line of its own.
type recordLine struct {
	Event  string `json:"event"` // always record
	Change string `json:"change"`
	Family string `json:"column_family"`
	Key    []byte `json:"key"` // base64
}

type diffTotals struct {
	Schema string `json:"schema"`
	From   string `json:"from"`
	To     string `json:"to"`
	Counts counts `json:"records"`
}

type counts struct {
	Added   int `json:"added"`
	Removed int `json:"removed"`
	Changed int `json:"changed"`
}

func (c *cli) diffRecords(ctx context.Context, r *host.Repository, from, to string) error {
	var n counts
	for d, err := range r.DiffRecords(ctx, from, to) {
		if err != nil {
			return err
		}
		n.add(d.Change)
		if c.json {
			err = c.print(recordLine{"record", d.Change, d.Family, d.Key})
		} else {
			_, err = fmt.Fprintf(c.out, "%-7s  %s  %q\n", d.Change, plain(d.Family), d.Key)
		}
		if err != nil {
			return err
		}
	}
	if c.json {
		return c.print(diffTotals{"rocksnap.diff/1", from, to, n})
	}
	_, err := fmt.Fprintf(c.out, "%d added, %d removed, %d changed\n", n.Added, n.Removed, n.Changed)
	return err
}

func (n *counts) add(change string) {
	switch change {
	case "added":
		n.Added++
	case "removed":
		n.Removed++
	case "changed":
		n.Changed++
	}
}
