package main

import (
	"context"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) digestVerb() *cobra.Command {
	var db, snapshot, engine string
	cmd := verb("digest", "Compute a content digest", `Computes the content digest of a database, or of a snapshot. It is equal where
the live records are equal, whatever files, strategy or engine hold them.
Without a flag it is that of the configured database. Nothing is changed. Records
with a TTL count until they expire: what has expired by now is left out, whenever
a snapshot was taken.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 11 locked,
12 key, 20 damage found, 130 interrupted.`,
		`  rocksnap digest --db data/db
  rocksnap digest --db lines --engine jsonl
  rocksnap digest --snapshot latest`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			if db != "" && snapshot != "" {
				return usage(cmd, "--db and --snapshot exclude each other")
			}
			if db == "" && cmd.Flags().Changed("engine") {
				return usage(cmd, "--engine says what --db DIR is")
			}
			report, done := c.progress(false)
			content, err := c.digest(cmd.Context(), digestSource{db, engine, snapshot}, report)
			done()
			if err != nil {
				return err
			}
			return c.printContent(content)
		})
	cmd.Flags().StringVar(&db, "db", "", "`DIR` of a database that no process has open; needs no configuration")
	cmd.Flags().StringVar(&engine, "engine", host.RocksDB, engineUsage)
	cmd.Flags().StringVar(&snapshot, "snapshot", "", "`ID` of a snapshot, or latest")
	return cmd
}

// digestSource is what a digest is of.
type digestSource struct{ db, engine, snapshot string }

func (c *cli) digest(ctx context.Context, of digestSource, report func(host.Progress)) (*host.Content, error) {
	if of.snapshot != "" {
		r, err := c.repository(ctx, report)
		if err != nil {
			return nil, err
		}
		return r.DigestSnapshot(ctx, of.snapshot)
	}
	if of.db != "" {
		return host.DigestEngine(ctx, of.engine, of.db, digestWorkers, report)
	}
	cfg, err := config.Load(c.config)
	if err != nil {
		return nil, err
	}
	return host.DigestConfigured(ctx, cfg, host.WithProgress(report))
}

// digestWorkers bounds the ranges that are read at the same time: a few keep a
// disk busy, and leave the machine to others.
const digestWorkers = 4

type digestDocument struct {
	Schema   string                  `json:"schema"`
	Digest   string                  `json:"digest"`
	Records  uint64                  `json:"records"`
	Bytes    uint64                  `json:"bytes"`
	Families map[string]familyDigest `json:"column_families"`
}

type familyDigest struct {
	Digest  string `json:"digest"`
	Records uint64 `json:"records"`
}

func (c *cli) printContent(content *host.Content) error {
	if c.json {
		doc := digestDocument{"rocksnap.digest/1", content.Digest, content.Records, content.Bytes, make(map[string]familyDigest)}
		for name, sum := range content.Families {
			doc.Families[name] = familyDigest{sum.String(), sum.Records}
		}
		return c.print(doc)
	}
	t := c.table()
	t.row("digest", content.Digest)
	t.row("records", content.Records)
	t.row("bytes", content.Bytes)
	for _, name := range slices.Sorted(maps.Keys(content.Families)) {
		sum := content.Families[name]
		t.row("column family "+name, sum, sum.Records)
	}
	return t.flush()
}
