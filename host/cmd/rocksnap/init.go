package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) initVerb() *cobra.Command {
	return verb("init", "Create the repository", `Creates the repository that [repository] url names, and nothing else: the
configuration is yours to write. It fails when there is a repository already.

Exit status: 0 ok, 1 failed, 2 usage, 130 interrupted.`,
		`  rocksnap init --config orders.toml`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(c.config)
			if err != nil {
				return err
			}
			if _, err := host.Init(cmd.Context(), cfg, host.InitOptions{}); err != nil {
				return err
			}
			if c.json {
				return c.print(initDocument{"rocksnap.init/1", cfg.Repository.URL, cfg.Repository.Name})
			}
			_, err = fmt.Fprintf(c.out, "created repository %s\n", cfg.Repository.URL)
			return err
		})
}

type initDocument struct {
	Schema string `json:"schema"`
	URL    string `json:"url"`
	Name   string `json:"name"` // of the database within the repository
}
