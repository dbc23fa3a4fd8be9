package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

func (c *cli) lawsVerb() *cobra.Command {
	var options trial
	var o strategytest.Options
	var report string
	cmd := verb("test FILE", "Check the laws of a strategy on a module", `Takes snapshots with a module of databases of many kinds, restores them,
compares, and has every call of the host and every operation of the store fail
once, and be cancelled: what a strategy has to get right, whoever wrote it. The
databases are made for the purpose and are gone afterwards. All laws take some
minutes; --quick leaves out those that take many seconds.

--report writes what was found as a document that the module's users can read.

Exit status: 0 ok, 1 failed, 2 usage, 30 a law is broken or the module
is refused, 130 interrupted.`,
		`  rocksnap plugin test --quick mine.wasm
  rocksnap plugin test mine.wasm --set full_every=5 --report CONFORMANCE.md`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			s, err := options.subject(cmd, args[0])
			if err != nil {
				return err
			}
			o.Cache = moduleCache()
			if !c.json && !c.quiet {
				o.Report = func(r strategytest.Result) { fmt.Fprintf(c.err, "%-4s  %s\n", r.Outcome, r.Law) }
			}
			found, err := strategytest.Check(cmd.Context(), s, o)
			if err != nil {
				return err
			}
			if report != "" {
				if err := os.WriteFile(report, []byte(found.Markdown()), 0o644); err != nil {
					return fmt.Errorf("write report: %w", err)
				}
			}
			return c.printLaws(found)
		})
	options.flags(cmd)
	cmd.Flags().BoolVar(&o.Quick, "quick", false, "leave out the laws that take many seconds")
	cmd.Flags().IntVar(&o.Runs, "runs", 0, "`COUNT` of runs over which memory has to stay flat (default 1000)")
	cmd.Flags().StringVar(&report, "report", "", "`FILE` for a report in Markdown")
	return cmd
}

type lawsDocument struct {
	Schema string `json:"schema"`
	*strategytest.Report
}

// printLaws prints the report; a broken law is an error after that.
func (c *cli) printLaws(r *strategytest.Report) error {
	var err error
	if c.json {
		err = c.print(lawsDocument{"rocksnap.plugin-test/1", r})
	} else {
		t := c.table()
		t.row("LAW", "RESULT", "SECONDS", "DETAIL")
		for _, l := range r.Laws {
			t.row(l.Law, l.Outcome, fmt.Sprintf("%.1f", l.Seconds), l.Detail)
		}
		for _, l := range r.Laws {
			if l.Text != "" {
				t.lines(append([]string{l.Law + ":"}, strings.Split(strings.ReplaceAll(l.Text, "\t", "  "), "\n")...)...)
			}
		}
		t.lines("module    "+r.Name+" "+r.Version, "sha256    "+r.SHA256, "abi       "+r.ABI,
			"host      rocksnap "+r.Rocksnap+", RocksDB "+r.RocksDB+", "+r.Platform, "date      "+r.Date.Format("2006-01-02 15:04:05Z"), r.Verdict())
		err = t.flush()
	}
	if err == nil && !r.Passed {
		err = &host.Problem{Code: host.CodePlugin, Err: fmt.Errorf("plugin test: %s breaks a law", r.Name), Hint: "the report says which; with --fault and --trace 'rocksnap plugin run' shows the calls"}
	}
	return err
}
