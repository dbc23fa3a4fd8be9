package main

import (
	"cmp"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) planVerb() *cobra.Command {
	var strategy string
	cmd := verb("plan", "Tell what a snapshot would store, without taking it", `Runs a strategy without storing anything, and tells what a snapshot taken now
would upload and reuse, and what made the new bytes in each column family: a
flush, a compaction from one level to another, an ingestion, a collection of blob
garbage; or else wal, metadata or records. RocksDB's MANIFEST tells that of all
files since the database was last opened for writing; of older ones that are new
here, such as all in a first snapshot, only the level is known. Where records are
exported, bytes are an estimate. The database is not changed: what a snapshot
would flush counts as wal.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 11 locked,
20 damage found, 30 plugin refused or failed, 130 interrupted.`,
		`  rocksnap plan --strategy incremental`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			cfg, err := c.loadFor(cmd, strategy)
			if err != nil {
				return err
			}
			cfg.Snapshot.Flush = config.FlushNever // it would change the database
			h, err := host.Open(cmd.Context(), cfg, c.options(nil, host.Offline(), host.ReadOnlyRepository())...)
			if err != nil {
				return err
			}
			defer h.Close()
			plan, err := h.Plan(cmd.Context(), host.SnapshotOptions{})
			if err != nil {
				return err
			}
			return c.printPlan(plan)
		})
	cmd.Flags().StringVar(&strategy, "strategy", "", "strategy `NAME` instead of the configured one")
	c.completeStrategies(cmd)
	return cmd
}

type planDocument struct {
	Schema      string           `json:"schema"`
	Strategy    string           `json:"strategy"`
	Kind        string           `json:"kind"`
	FilesNew    int              `json:"files_new"`
	FilesReused int              `json:"files_reused"`
	BytesNew    int64            `json:"bytes_new"`
	BytesReused int64            `json:"bytes_reused"`
	ByCause     map[string]int64 `json:"by_cause"` // new bytes
	Causes      []host.Cause     `json:"causes"`   // the same by column family
}

func (c *cli) printPlan(p *host.Plan) error {
	if c.json {
		return c.print(planDocument{
			"rocksnap.plan/1", p.Strategy, p.Kind, p.FilesNew, p.FilesReused, p.BytesNew, p.BytesReused, p.ByCause, p.Causes,
		})
	}
	t := c.table()
	t.row("strategy", p.Strategy)
	t.row("kind", p.Kind)
	t.row("new", count(p.FilesNew, "file")+", "+size(p.BytesNew))
	t.row("reused", count(p.FilesReused, "file")+", "+size(p.BytesReused))
	if err := t.flush(); err != nil {
		return err
	}
	return c.printCauses(p.Causes)
}

// printCauses tells what made new bytes.
func (c *cli) printCauses(causes []host.Cause) error {
	if len(causes) == 0 {
		return nil
	}
	t := c.table()
	t.row("NEW BY", "COLUMN FAMILY", "FILES", "SIZE")
	for _, cause := range causes {
		t.row(cause.Name, cmp.Or(plain(cause.Family), "-"), cause.Files, size(cause.Bytes))
	}
	return t.flush()
}
