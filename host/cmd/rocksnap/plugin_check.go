package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) checkModuleVerb() *cobra.Command {
	var options trial
	var strategy string
	cmd := verb("check (FILE | --strategy NAME)", "Check a module and its options", `Checks a module without a database: its form, its imports and the grants that
they need, its options against the schema that it carries, and that its init
takes them. With --strategy it is the module of the configuration, with the
options, pin and grants that stand there; else a FILE, with the options of the
command line and all grants that it needs.

Exit status: 0 ok, 1 failed, 2 usage or a problem in the configuration, 30
refused, 130 interrupted.`,
		`  rocksnap plugin check mine.wasm --set full_every=5
  rocksnap plugin check --strategy mine`, cobra.MaximumNArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if (len(args) == 1) == cmd.Flags().Changed("strategy") {
				return usage(cmd, "either FILE or --strategy NAME is needed")
			}
			if len(args) == 0 {
				if options.given() {
					return usage(cmd, "--set and --config-toml are for a FILE: --strategy has the options of the configuration")
				}
				return c.checkConfigured(cmd, strategy)
			}
			return c.checkModule(cmd, args[0], &options)
		})
	options.flags(cmd)
	cmd.Flags().StringVar(&strategy, "strategy", "", "strategy `NAME` of the configuration")
	c.completeStrategies(cmd)
	return cmd
}

func (c *cli) checkConfigured(cmd *cobra.Command, strategy string) error {
	cfg, err := c.loadFor(cmd, strategy)
	if err != nil {
		return err
	}
	info, err := host.CheckStrategy(cmd.Context(), cfg, strategy, c.options(nil)...)
	if err != nil {
		return err
	}
	return c.printChecked(strategy, info)
}

func (c *cli) checkModule(cmd *cobra.Command, module string, options *trial) error {
	name, info, err := c.tryModule(cmd, module, options)
	if err != nil {
		return err
	}
	return c.printChecked(name, info)
}

// tryModule loads the module in a file, which puts its code into the cache, and has
// it check the options.
func (c *cli) tryModule(cmd *cobra.Command, module string, options *trial) (name string, info host.ModuleInfo, err error) {
	s, err := options.subject(cmd, module)
	if err != nil {
		return "", info, err
	}
	folder, err := os.MkdirTemp("", "rocksnap-check-")
	if err != nil {
		return "", info, err
	}
	defer os.RemoveAll(folder)
	cfg, err := options.configure(s, "", "", folder)
	if err != nil {
		return "", info, err
	}
	info, err = host.CheckStrategy(cmd.Context(), cfg, s.Name, c.options(nil)...)
	return s.Name, info, options.named(err, cfg, s)
}

type checkModuleDocument struct {
	Schema   string `json:"schema"`
	Strategy string `json:"strategy"`
	SHA256   string `json:"sha256"`
	Checked  bool   `json:"has_schema"` // the module carries a schema, which its options keep
}

func (c *cli) printChecked(name string, info host.ModuleInfo) error {
	doc := checkModuleDocument{"rocksnap.plugin-check/1", name, info.SHA256, info.ConfigSchema != nil}
	if c.json {
		return c.print(doc)
	}
	t := c.table()
	t.row("strategy", doc.Strategy)
	t.row("sha256", doc.SHA256)
	if doc.Checked {
		t.row("options", "as the module's schema wants them")
	} else {
		t.row("options", "taken by init; the module carries no schema")
	}
	return t.flush()
}
