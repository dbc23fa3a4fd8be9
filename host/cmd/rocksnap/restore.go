package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) restoreVerb() *cobra.Command {
	o := host.RestoreOptions{}
	cmd := verb("restore [ID|latest]", "Make a database of a snapshot", `Makes a database of a snapshot, by default the latest. The target must be absent
or an empty directory, and neither within the repository or the database's
folder nor around them; afterwards it is the complete database, or as it was.
An ID may be cut to an unambiguous beginning. A restore that was broken off goes
on where it was when it is repeated.

With --engine the records go into another database than RocksDB: pebble has a
folder for each column family, bbolt a bucket, and jsonl a file of JSON lines with
keys and values in base64.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 12 key, 20 damage found,
30 plugin refused or failed, 130 interrupted.`,
		`  rocksnap restore --target restored
  rocksnap restore 019c2f6e --target /srv/orders
  rocksnap restore --target lines --engine jsonl`, cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if o.Target == "" {
				return usage(cmd, "--target DIR is missing")
			}
			o.Snapshots = args
			return c.restore(cmd, o)
		})
	cmd.Flags().StringVar(&o.Engine, "engine", host.RocksDB, engineUsage)
	cmd.Flags().StringVar(&o.Target, "target", "", "`DIR` for the database, absent or empty")
	cmd.ValidArgsFunction = c.snapshotIDs(1)
	return cmd
}

// engineUsage describes the flag that names an engine.
var engineUsage = "`NAME` of what the database is for: " + strings.Join(host.Engines(), ", ")

func (c *cli) restore(cmd *cobra.Command, o host.RestoreOptions) error {
	cfg, err := config.Load(c.config)
	if err != nil {
		return err
	}
	if err := apart(cmd, cfg, o.Target); err != nil {
		return err
	}
	report, done := c.progress(true)
	r, err := host.OpenRepository(cmd.Context(), cfg, c.options(report)...)
	if err != nil {
		return err
	}
	restored, err := r.Restore(cmd.Context(), o)
	done()
	if err != nil {
		return err
	}
	return c.printRestored(restored)
}

// apart refuses a target that would be part of the database or the repository, or
// they of it.
func apart(cmd *cobra.Command, cfg *config.Config, target string) error {
	absolute, err := filepath.Abs(target)
	if err != nil {
		return usage(cmd, "--target: %w", err)
	}
	if key, folder := cfg.Taken(absolute); key != "" {
		return &host.Problem{
			Code: host.CodeUsage, Err: fmt.Errorf("--target %s and %s, %s, must not contain one another", target, key, folder),
			Hint: "name a folder beside them",
		}
	}
	return nil
}

type restoreDocument struct {
	Schema  string  `json:"schema"`
	ID      string  `json:"id"`
	Target  string  `json:"target"`
	Engine  string  `json:"engine"`
	Files   int     `json:"files"`
	Bytes   int64   `json:"bytes"`
	Resumed int64   `json:"bytes_resumed"` // beside bytes; an earlier attempt had fetched them
	TotalMs float64 `json:"total_ms"`
	Records uint64  `json:"records"`
}

func (c *cli) printRestored(r *host.Restored) error {
	if c.json {
		return c.print(restoreDocument{
			"rocksnap.restore/1", r.Snapshot.ID, r.Target, r.Engine, r.Files, r.Bytes, r.Resumed, milliseconds(r.Duration), r.Records,
		})
	}
	t := c.table()
	t.row("snapshot", r.Snapshot.ID)
	t.row("target", r.Target)
	if r.Engine != host.RocksDB {
		t.row("engine", r.Engine)
	}
	t.row("files", r.Files)
	t.row("bytes", size(r.Bytes))
	if r.Resumed > 0 {
		t.row("resumed", size(r.Resumed))
	}
	if r.Records > 0 {
		t.row("records", r.Records)
	}
	t.row("time", fmt.Sprintf("%.1f ms%s", milliseconds(r.Duration), rate(r.Bytes, r.Duration)))
	return t.flush()
}
