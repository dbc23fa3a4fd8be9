package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) pluginVerbs() *cobra.Command {
	return group("plugin", "Look at and prepare strategy modules", `Verbs for the authors and the operators of strategy modules.

Exit status: 0 ok, 1 failed, 2 usage, 30 plugin refused or failed.`,
		`  rocksnap plugin inspect bin/plugins/incremental.wasm`, c.newPluginVerb(), c.inspectVerb(), c.annotateVerb(), c.installVerb(),
		c.keygenVerb(), c.signVerb(), c.verifyModuleVerb(),
		c.checkModuleVerb(), c.lawsVerb(), c.runVerb(), c.benchVerb())
}

func (c *cli) inspectVerb() *cobra.Command {
	return verb("inspect FILE", "Describe a module without running it", `Describes a strategy's module: its digest, what it imports and exports, and the
grants that it needs. No code of the module is run. A FILE that is not here is
looked for in ROCKSNAP_PLUGIN_PATH, and then among the modules of rocksnap.

Exit status: 0 ok, 1 failed, 2 usage, 30 not a module.`,
		`  rocksnap plugin inspect bin/plugins/incremental.wasm`, cobra.ExactArgs(1),
		func(_ *cobra.Command, args []string) error {
			info, err := host.InspectModule(args[0])
			if err != nil {
				return err
			}
			if c.json {
				return c.print(inspectDocument{"rocksnap.plugin-inspect/1", info})
			}
			return c.printModule(info)
		})
}

type inspectDocument struct {
	Schema string `json:"schema"`
	host.ModuleInfo
}

func (c *cli) printModule(info host.ModuleInfo) error {
	grants := make([]string, len(info.Capabilities))
	for i, g := range info.Capabilities {
		grants[i] = string(g)
	}
	t := c.table()
	t.row("name", info.Name)
	t.row("version", info.Version)
	t.row("sha256", info.SHA256)
	t.row("size", size(int64(info.Size)))
	t.row("abi", info.ABI)
	t.row("memory", count(int(info.MemoryPages), "page")+" of 64 KiB")
	t.row("capabilities", strings.Join(grants, ", "))
	t.row("exports", strings.Join(info.Exports, ", "))
	t.row("imports", strings.Join(info.Imports, ", "))
	t.row("config", string(info.ConfigSchema))
	return t.flush()
}

type annotateDocument struct {
	Schema string `json:"schema"`
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

func (c *cli) annotateVerb() *cobra.Command {
	var metadata, output string
	cmd := verb("annotate IN", "Add metadata to a module", `Writes a copy of a module with metadata inside: name, version, license, source
and the schema of its configuration. It is a step of the build of a module, and
its result depends on nothing but its input. A module IN that is not here is
looked for as 'rocksnap plugin inspect' does.

Exit status: 0 ok, 1 failed, 2 usage, 30 not a module.`,
		`  rocksnap plugin annotate --metadata plugin.json --output mine.wasm mine.raw.wasm`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if metadata == "" || output == "" {
				return usage(cmd, "--metadata FILE and --output OUT are both needed")
			}
			text, err := os.ReadFile(metadata)
			if err != nil {
				return usage(cmd, "--metadata: %w", err)
			}
			if err := host.AnnotateModule(args[0], output, text); err != nil || !c.json {
				return err
			}
			info, err := host.InspectModule(output)
			if err != nil {
				return err
			}
			return c.print(annotateDocument{"rocksnap.plugin-annotate/1", output, info.SHA256})
		})
	cmd.Flags().StringVar(&metadata, "metadata", "", "`FILE` with a JSON object")
	cmd.Flags().StringVar(&output, "output", "", "`FILE` for the annotated module")
	return cmd
}
