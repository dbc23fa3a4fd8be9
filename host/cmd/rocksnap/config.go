package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) configVerbs() *cobra.Command {
	return group("config", "Check or show the configuration", `Verbs for the configuration file.

Exit status: 0 ok, 1 failed, 2 usage or a problem in the file, 30 plugin refused.`,
		`  rocksnap config check
  rocksnap config show`, c.checkVerb(), c.configShowVerb())
}

func (c *cli) checkVerb() *cobra.Command {
	return verb("check", "Report every problem of the configuration", `Reads the configuration and reports every problem with its place, then finds the
modules of the strategies in use, checks their pins, imports and grants, and has
each check its own options. It touches neither the database nor the repository.

Exit status: 0 ok, 1 failed, 2 usage or a problem in the file, 30 plugin refused,
130 interrupted.`,
		`  rocksnap config check --config orders.toml`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(c.config)
			if err != nil {
				return err
			}
			if err := host.CheckStrategies(cmd.Context(), cfg, c.options(nil)...); err != nil {
				return err
			}
			if c.json {
				return c.print(checkDocument{"rocksnap.config-check/1", cfg.Path, cfg.Used()})
			}
			t := c.table()
			t.row("ok")
			return t.flush()
		})
}

type checkDocument struct {
	Schema     string   `json:"schema"`
	Path       string   `json:"path"`
	Strategies []string `json:"strategies"` // whose modules were checked
}

func (c *cli) configShowVerb() *cobra.Command {
	return verb("show", "Show the settings in effect and where each comes from", `Shows every setting that is in effect, with its origin: a line of the file, a
variable of the environment, or the default. The output is itself a
configuration with the same meaning.

Exit status: 0 ok, 1 failed, 2 usage or a problem in the file.`,
		`  rocksnap config show
  ROCKSNAP_SNAPSHOT_FLUSH=never rocksnap config show`, cobra.NoArgs,
		func(*cobra.Command, []string) error {
			cfg, err := config.Load(c.config)
			if err != nil {
				return err
			}
			if c.json {
				return c.print(settingsDocument{"rocksnap.config-show/1", cfg.Path, cfg.Effective()})
			}
			t := c.table()
			for _, s := range cfg.Effective() {
				fmt.Fprintf(t.w, "%s = %s\t# %s\n", s.Key, s.Value, s.Origin) // as TOML quotes it
			}
			return t.flush()
		})
}

type settingsDocument struct {
	Schema   string           `json:"schema"`
	Path     string           `json:"path"`
	Settings []config.Setting `json:"settings"`
}
