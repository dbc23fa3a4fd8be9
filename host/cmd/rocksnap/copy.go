package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) copyVerb() *cobra.Command {
	var to string
	var all, dry bool
	cmd := verb("copy (ID...|--all)", "Copy snapshots into another repository", `Copies snapshots into the repository of another configuration, which 'rocksnap
init' has made. They keep their ids. What the destination has is not sent again,
nor is what a copy has stored that was broken off. Each snapshot is there as a
whole or not at all, and every digest is checked on the way.

Meanwhile a host that takes snapshots into the destination is fenced. A snapshot
that is damaged, or that no key opens, is left out, and the others go on. No key
is needed where both repositories are encrypted for the same recipients.

Exit status: 0 ok, 1 failed, 2 usage, 3 partly done, 10 no repository, 11 fenced,
12 key, 20 damage found, 130 interrupted.`,
		`  rocksnap copy --all --to archive.toml
  rocksnap copy latest --to archive.toml --dry-run`, cobra.ArbitraryArgs,
		func(cmd *cobra.Command, args []string) error {
			switch {
			case to == "":
				return usage(cmd, "--to FILE is missing")
			case all == (len(args) > 0):
				return usage(cmd, "give the ids of snapshots, or --all")
			}
			return c.copy(cmd.Context(), to, host.CopyOptions{Snapshots: args, DryRun: dry})
		})
	cmd.Flags().StringVar(&to, "to", "", "configuration `FILE` whose [repository] is the destination")
	cmd.Flags().BoolVar(&all, "all", false, "copy every snapshot")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "store nothing, only tell")
	cmd.ValidArgsFunction = c.snapshotIDs(many)
	return cmd
}

func (c *cli) copy(ctx context.Context, to string, o host.CopyOptions) error {
	report, done := c.progress(true)
	from, err := c.repository(ctx, report)
	if err != nil {
		return err
	}
	cfg, err := config.Load(to)
	if err != nil {
		return err
	}
	destination, err := host.OpenRepository(ctx, cfg, c.options(nil)...)
	if err != nil {
		return fmt.Errorf("destination: %w", err)
	}
	copied, failed := from.Copy(ctx, destination, o)
	done()
	if copied == nil {
		return failed
	}
	return errors.Join(c.printCopied(copied, o.DryRun), failed)
}

type copyDocument struct {
	Schema    string       `json:"schema"`
	DryRun    bool         `json:"dry_run"`
	Snapshots []copiedItem `json:"snapshots"`
	Present   []string     `json:"present"` // ids of snapshots that the destination had
	Failed    []failedItem `json:"failed"`
	Objects   int          `json:"objects"` // stored by this copy
	Bytes     int64        `json:"bytes"`   // of these objects
	Reused    int64        `json:"bytes_reused"`
	Resumed   int64        `json:"bytes_resumed"`
}

type copiedItem struct {
	ID          string `json:"id"`
	Files       int    `json:"files"`
	BytesFull   int64  `json:"bytes_full"`
	BytesNew    int64  `json:"bytes_new"`
	BytesReused int64  `json:"bytes_reused"`
}

type failedItem struct {
	ID   string `json:"id"`
	What string `json:"what"`
}

func newCopyDocument(r *host.Copied, dry bool) copyDocument {
	doc := copyDocument{
		"rocksnap.copy/1", dry, make([]copiedItem, len(r.Snapshots)), append([]string{}, r.Present...),
		make([]failedItem, len(r.Failed)), r.Objects, r.Bytes, r.Reused, r.Resumed,
	}
	for i, s := range r.Snapshots {
		doc.Snapshots[i] = copiedItem{s.ID, s.Files, s.BytesFull, s.BytesNew, s.BytesReused}
	}
	for i, f := range r.Failed {
		doc.Failed[i] = failedItem{f.Snapshot, f.Err.Error()}
	}
	return doc
}

func (c *cli) printCopied(r *host.Copied, dry bool) error {
	if c.json {
		return c.print(newCopyDocument(r, dry))
	}
	t := c.table()
	if len(r.Snapshots)+len(r.Present)+len(r.Failed) > 0 {
		t.row("ID", "RESULT", "FILES", "FULL", "NEW", "REUSED")
	}
	result := "copied"
	if dry {
		result = "would be copied"
	}
	for _, s := range r.Snapshots {
		t.row(s.ID, result, s.Files, size(s.BytesFull), size(s.BytesNew), size(s.BytesReused))
	}
	for _, id := range r.Present {
		t.row(id, "there already")
	}
	for _, f := range r.Failed {
		t.row(f.Snapshot, "left out")
	}
	t.lines(fmt.Sprintf("%s: %s, %s stored, %s reused, %s resumed",
		count(len(r.Snapshots), "snapshot"), count(r.Objects, "object"), size(r.Bytes), size(r.Reused), size(r.Resumed)))
	return t.flush()
}
