package main

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host/strategytest"
)

func (c *cli) benchVerb() *cobra.Command {
	var options trial
	var o strategytest.BenchOptions
	cmd := verb("bench FILE", "Measure a module", `Measures how long a module takes to load, the first time and later, to start, to
capture the instant and to take a snapshot, and how often it calls the host. Each
snapshot is followed by one of native-full, for comparison.

Without --db a database is made that changes a little between runs. One that is
named must not be open elsewhere, and stays as it is. The snapshots need room in
the folder for temporary files, and are removed afterwards.

Exit status: 0 ok, 1 failed, 2 usage, 11 locked, 30 plugin refused or failed,
130 interrupted.`,
		`  rocksnap plugin bench mine.wasm
  rocksnap plugin bench mine.wasm --db data/db --runs 20`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if o.Runs < 1 {
				return usage(cmd, "--runs must be 1 or more")
			}
			s, err := options.subject(cmd, args[0])
			if err != nil {
				return err
			}
			if o.Database != "" {
				if o.Database, err = filepath.Abs(o.Database); err != nil {
					return usage(cmd, "--db: %w", err)
				}
			}
			o.Cache = moduleCache()
			b, err := strategytest.Measure(cmd.Context(), s, o)
			if err != nil {
				return err
			}
			return c.printBench(b)
		})
	options.flags(cmd)
	cmd.Flags().StringVar(&o.Database, "db", "", "`DIR` of a database instead of one made for the purpose")
	cmd.Flags().IntVar(&o.Runs, "runs", 10, "`COUNT` of snapshots")
	return cmd
}

type benchDocument struct {
	Schema string `json:"schema"`
	*strategytest.Bench
}

func (c *cli) printBench(b *strategytest.Bench) error {
	if c.json {
		return c.print(benchDocument{"rocksnap.plugin-bench/1", b})
	}
	t := c.table()
	t.row("MILLISECONDS", "MEDIAN", "MIN", "MAX")
	for _, line := range []struct {
		name  string
		times strategytest.Times
	}{
		{"cold load", b.Cold}, {"warm load", b.Warm}, {"instantiate", b.Instantiate}, {"prepare", b.Prepare}, {"snapshot", b.Snapshot},
	} {
		t.row(line.name, fmt.Sprintf("%.2f", line.times.Median), fmt.Sprintf("%.2f", line.times.Min), fmt.Sprintf("%.2f", line.times.Max))
	}
	ratio := "native-full is not installed, there is nothing to compare with"
	if b.Ratio > 0 {
		ratio = fmt.Sprintf("%.2f of the time of native-full", b.Ratio)
	}
	t.lines(fmt.Sprintf("%s of %s, %.2f calls of the host for each file", count(b.Runs, "run"), count(b.Files, "file"), b.CallsPerFile), ratio)
	return t.flush()
}
