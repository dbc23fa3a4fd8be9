package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

const restoreText = `Makes a database of a snapshot, by default the latest. The target must be absent
or an empty directory, and neither within the repository or the database's
folder nor around them; afterwards it is the complete database, or as it was.
An ID may be cut to an unambiguous beginning. A restore that was broken off goes
on where it was when it is repeated.

With --key-groups, --column-family, --key-prefix, --from-key or --to-key only a
part is restored: files that hold nothing of it are not even fetched. With more
than one --snapshot they become one database, which takes snapshots that hold
different keys, as workers of one application do. NAME/ID is a snapshot of
another database in the repository, and --group stands for the snapshots of all
members of a group snapshot. Their files are taken as they are where that can be
done; else every record is read, and the reason is told. Keys are text, or
hexadecimal digits after 0x.

With --claim claim, which is the default for a whole snapshot of the same
database, the database goes on in the history of the snapshot. With fork it
begins one of its own, whose snapshots still reuse objects of the old one. With
no-claim they do not: the next one is full, and the one that was restored is
pinned.

With --from it restores out of another repository than the configured one, such
as a savepoint that was moved.

With --engine the records go into another database than RocksDB: pebble has a
folder for each column family, bbolt a bucket, and jsonl a file of JSON lines
with keys and values in base64.

--delta replaces a database in the target, which no process may have open: files
of it that are those of the snapshot, by their digests, are reused, and only the
others are fetched. It stays as it is until the new one is complete. Files that
are not RocksDB's must not be there, as all of the old database is removed.

--link shares the files of a repository in a directory with the target instead of
copying them. It is quick, and no backup: damage to one is damage to both.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 11 locked, 12 key,
20 damage found, 30 plugin refused or failed, 130 interrupted.`

const restoreExample = `  rocksnap restore --target restored
  rocksnap restore 019c2f6e --target /srv/orders
  rocksnap restore --snapshot orders-0/latest --snapshot orders-1/latest \
    --key-groups 0-31 --target /srv/orders-of-4
  rocksnap restore 019c2f6e --target staging --claim fork
  rocksnap restore --from file:/mnt/019c2f6e-0f0b-7b7c-8e5a-1d2c3b4a5f60 --target old
  rocksnap restore 019c2f6e --target /srv/orders --delta
  rocksnap restore --target lines --engine jsonl`

func (c *cli) restoreVerb() *cobra.Command {
	var f restoreFlags
	var from string
	cmd := verb("restore [ID|latest]", "Make a database of a snapshot, of a part, or of several", restoreText, restoreExample, cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			o, err := f.options(cmd, args)
			if err != nil {
				return err
			}
			return c.restore(cmd, from, o)
		})
	f.register(cmd)
	cmd.Flags().StringVar(&from, "from", "", "`URL` of a repository instead of the configured one, as in file:FOLDER")
	cmd.ValidArgsFunction = c.snapshotIDs(1)
	return cmd
}

func (c *cli) restore(cmd *cobra.Command, from string, o host.RestoreOptions) error {
	cfg, err := config.Load(c.config)
	open := host.OpenRepository
	if err == nil && cmd.Flags().Changed("from") {
		open = host.OpenSingle
		cfg, err = cfg.From(from, "--from")
	}
	if err != nil {
		return err
	}
	if err := apart(cmd, cfg, o.Target); err != nil {
		return err
	}
	report, done := c.progress(true)
	r, err := open(cmd.Context(), cfg, c.options(report)...)
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

// engineUsage describes the flag that names an engine.
var engineUsage = "`NAME` of what the database is for: " + strings.Join(host.Engines(), ", ")

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
	Schema    string   `json:"schema"`
	ID        string   `json:"id"`
	Snapshots []string `json:"snapshots"` // all of them, ID first
	Target    string   `json:"target"`
	Engine    string   `json:"engine"`
	Claim     string   `json:"claim,omitempty"` // claim, no-claim or fork
	Method    string   `json:"method"`
	Fallback  string   `json:"fallback,omitempty"` // why not by files
	Files     int      `json:"files"`
	Skipped   int      `json:"files_skipped"` // nothing wanted is in them
	Bytes     int64    `json:"bytes"`
	Resumed   int64    `json:"bytes_resumed"` // beside bytes; an earlier attempt had fetched them
	Linked    int64    `json:"bytes_linked"`  // beside bytes; shared with the repository
	Reused    int64    `json:"bytes_reused"`  // beside bytes; they were in the target
	Local     int64    `json:"bytes_local"`   // beside bytes; they were kept on this machine
	Rewritten int64    `json:"bytes_rewritten"`
	TotalMs   float64  `json:"total_ms"`
	Records   uint64   `json:"records"`
}

func (c *cli) printRestored(r *host.Restored) error {
	if c.json {
		doc := restoreDocument{
			Schema: "rocksnap.restore/1", ID: r.Snapshot.ID, Target: r.Target, Engine: r.Engine, Claim: string(r.Claim), Method: string(r.Method), Fallback: r.Fallback,
			Files: r.Files, Skipped: r.Skipped, Bytes: r.Bytes, Resumed: r.Resumed, Linked: r.Linked, Local: r.Local, Reused: r.Reused, Rewritten: r.Rewritten,
			TotalMs: milliseconds(r.Duration), Records: r.Records,
		}
		for _, m := range r.Sources {
			doc.Snapshots = append(doc.Snapshots, m.ID)
		}
		return c.print(doc)
	}
	t := c.table()
	for _, m := range r.Sources {
		t.row("snapshot", m.ID)
	}
	t.row("target", r.Target)
	if r.Engine != host.RocksDB {
		t.row("engine", r.Engine)
	} else {
		t.row("history", r.Claim)
	}
	t.row("files", r.Files)
	if r.Skipped > 0 {
		t.row("not needed", fmt.Sprintf("%d files", r.Skipped))
	}
	t.row("bytes", size(r.Bytes))
	for _, row := range []struct {
		name  string
		bytes int64
	}{{"resumed", r.Resumed}, {"linked", r.Linked}, {"reused", r.Reused}, {"local", r.Local}, {"rewritten", r.Rewritten}} {
		if row.bytes > 0 {
			t.row(row.name, size(row.bytes))
		}
	}
	if r.Records > 0 {
		t.row("records", r.Records)
	}
	if r.Fallback != "" {
		t.row("by records", plain(r.Fallback))
	}
	t.row("time", fmt.Sprintf("%.1f ms%s", milliseconds(r.Duration), rate(r.Bytes, r.Duration)))
	return t.flush()
}
