package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host/internal/bench"
)

// smallRounds are those of --small, which judges nothing.
const smallRounds = 2

// comparison is what the flags of bench say.
type comparison struct {
	list    bool
	small   bool
	size    string
	rounds  int
	dir     string
	out     string
	plugins string
	tools   string
}

func (c *cli) compareVerb() *cobra.Command {
	var o comparison
	cmd := verb("bench [CASE...]", "Compare rocksnap with other programs, side by side", `Makes databases, has rocksnap and others do the same work on them in turn, and
prints the medians, their spread, and the ratios. Others are RocksDB's backup
engine, ldb, cp, restic and rclone; who is not installed is left out by name,
and 'make bench-deps' installs them. A server for S3 runs on the loopback.

The folder needs room for about ten databases, and what is made there is removed
at the end. With --out, the results are kept in three files: results.md,
results.json and results.svg.

Exit status: 0 ok, 1 failed, 2 usage, 130 interrupted.`,
		`  rocksnap bench --small
  rocksnap bench full-directory restore-directory --size 1GiB
  rocksnap bench --size 4GiB --runs 7 --dir /srv/bench --out docs/bench`, cobra.ArbitraryArgs,
		func(cmd *cobra.Command, args []string) error {
			cases, err := bench.Choose(args)
			if err != nil {
				return usage(cmd, "%w", err)
			}
			if o.list {
				return c.printCases(cases)
			}
			if o.small && !cmd.Flags().Changed("runs") {
				o.rounds = smallRounds
			}
			return c.compare(cmd, cases, &o)
		})
	flags := cmd.Flags()
	flags.BoolVar(&o.list, "list", false, "list the cases and what they must reach, and run nothing")
	flags.BoolVar(&o.small, "small", false, "small databases and 2 runs: a look at every case")
	flags.StringVar(&o.size, "size", "1GiB", "`SIZE` of a database, as in 256MiB")
	flags.IntVar(&o.rounds, "runs", bench.MinRounds, "`COUNT` of rounds that are recorded")
	flags.StringVar(&o.dir, "dir", "", "`DIR` to work in; that for temporary files by default")
	flags.StringVar(&o.out, "out", "", "`DIR` for the results")
	flags.StringVar(&o.plugins, "plugins", "", "`DIR` of the built-in modules; plugins beside the program")
	flags.StringVar(&o.tools, "tools", "", "`DIR` of the others' programs; tools beside the program")
	return cmd
}

// compare runs the cases and prints and keeps what they found.
func (c *cli) compare(cmd *cobra.Command, cases []bench.Case, o *comparison) (err error) {
	g, err := o.ground(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Close(), os.RemoveAll(g.Dir)) }()
	report := func(line string) {
		if !c.quiet && !c.json {
			fmt.Fprintln(c.err, line)
		}
	}
	results, failed := bench.Run(cmd.Context(), g, cases, o.rounds, report)
	doc := bench.NewReport(g, results, o.rounds, o.command(cmd), moduleVersion())
	if o.out != "" && cmd.Context().Err() == nil {
		failed = errors.Join(failed, doc.Write(o.out))
	}
	if c.json {
		return errors.Join(failed, c.print(doc))
	}
	doc.Markdown(c.out)
	return failed
}

// command is the command line, without the folders of this machine.
func (o *comparison) command(cmd *cobra.Command) string {
	words := append([]string{"rocksnap bench"}, cmd.Flags().Args()...)
	if o.small {
		words = append(words, "--small")
	} else {
		words = append(words, "--size", o.size)
	}
	return strings.Join(append(words, "--runs", strconv.Itoa(o.rounds)), " ")
}

// ground makes the folder that everything is made in.
func (o *comparison) ground(cmd *cobra.Command) (*bench.Ground, error) {
	var size config.Size
	if err := size.UnmarshalText([]byte(o.size)); err != nil || size < 1<<20 {
		return nil, usage(cmd, "--size %q is not a size from 1MiB on", o.size)
	}
	if o.rounds < 1 {
		return nil, usage(cmd, "--runs must be 1 or more")
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	beside := filepath.Dir(program)
	if o.dir != "" {
		if err := os.MkdirAll(o.dir, 0o755); err != nil {
			return nil, usage(cmd, "--dir: %w", err)
		}
	}
	dir, err := os.MkdirTemp(o.dir, "rocksnap-bench-")
	if err == nil {
		dir, err = filepath.Abs(dir)
	}
	if err != nil {
		return nil, err
	}
	g := bench.Full(dir, int64(size))
	if o.small {
		g = bench.Small(dir)
	}
	g.Cache = moduleCache()
	g.Program = program
	g.Plugins, g.Tools = or(o.plugins, filepath.Join(beside, "plugins")), bench.Tools(or(o.tools, filepath.Join(beside, "tools")))
	return g, nil
}

// or returns a path, absolute, or else another.
func or(path, other string) string {
	if path == "" {
		return other
	}
	if whole, err := filepath.Abs(path); err == nil {
		return whole
	}
	return path
}

// deedVerb is what bench starts processes of its own for. It is no command for people.
func (c *cli) deedVerb() *cobra.Command {
	cmd := verb("bench-deed DEED DIR CACHE [idle]", "Do what bench measures the memory of", "Exit status: 0 ok, 1 failed.", "", cobra.RangeArgs(3, 4),
		func(cmd *cobra.Command, args []string) error {
			peak, err := bench.Do(cmd.Context(), bench.Deed(args[0]), args[1], args[2], len(args) > 3 && args[3] == "idle")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.out, peak)
			return err
		})
	cmd.Hidden = true
	return cmd
}

type casesDocument struct {
	Schema string     `json:"schema"`
	Cases  []caseItem `json:"cases"`
}

type caseItem struct {
	Name  string   `json:"name"`
	About string   `json:"about"`
	Bars  []string `json:"bars"`
}

func (c *cli) printCases(cases []bench.Case) error {
	doc := casesDocument{Schema: "rocksnap.bench-cases/1"}
	t := c.table()
	for _, one := range cases {
		item := caseItem{one.Name, one.About, []string{}}
		t.row(one.Name, one.About)
		for _, bar := range one.Bars {
			item.Bars = append(item.Bars, bar.String())
			t.row("", bar)
		}
		doc.Cases = append(doc.Cases, item)
	}
	if c.json {
		return c.print(doc)
	}
	return t.flush()
}
