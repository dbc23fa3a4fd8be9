package main

import (
	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob/probe"
)

func (c *cli) initVerb() *cobra.Command {
	var o host.InitOptions
	cmd := verb("init", "Create the repository, and probe its store", `Creates the repository that [repository] url names, and nothing else: the
configuration is yours to write. It fails when there is a repository already.

First it tests whether the store keeps what snapshots depend on, and removes what
it wrote for that. A store that does not is refused; one that only lacks
exclusive creates can serve a single host, which --single-writer promises.

Exit status: 0 ok, 1 failed, 2 usage, 10 no bucket, 20 damage found,
130 interrupted.`,
		`  rocksnap init --config orders.toml`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(c.config)
			if err != nil {
				return err
			}
			report, err := host.Init(cmd.Context(), cfg, o, c.options(nil)...)
			if err != nil {
				return err
			}
			return c.printInit(cfg.Repository, report)
		})
	cmd.Flags().BoolVar(&o.SingleWriter, "single-writer", false, "promise that no two hosts ever write, where the store cannot tell them apart")
	return cmd
}

type initDocument struct {
	Schema string      `json:"schema"`
	URL    string      `json:"url"`
	Name   string      `json:"name"` // of the database within the repository
	Checks []checkItem `json:"checks"`
}

func (c *cli) printInit(r config.Repository, report *probe.Report) error {
	checks := make([]checkItem, len(report.Checks))
	for i, check := range report.Checks {
		checks[i] = checkItem{Name: check.Name, Result: string(check.Result), Detail: check.Detail}
	}
	if c.json {
		return c.print(initDocument{"rocksnap.init/1", r.URL, r.Name, checks})
	}
	return c.printChecks(checks, []string{"created repository " + r.URL})
}
