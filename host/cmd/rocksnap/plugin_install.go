package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) installVerb() *cobra.Command {
	var folder string
	var options trial
	cmd := verb("install FILE", "Install a module and compile it", `Checks a module as 'rocksnap plugin check' does, which compiles it into the
user's cache, copies it with its signature into a folder, and prints the table
for the configuration: with its pin and the grants that it needs, for you to
look at. Nothing is changed in the configuration.

Exit status: 0 ok, 1 failed, 2 usage or another module under that name, 30
refused, 130 interrupted.`,
		`  rocksnap plugin install theirs.wasm
  rocksnap plugin install theirs.wasm --folder /etc/rocksnap/plugins >> rocksnap.toml`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("folder") {
				folder = filepath.Join(filepath.Dir(c.config), "plugins")
			}
			return c.install(cmd, args[0], folder, &options)
		})
	cmd.Flags().StringVar(&folder, "folder", "", "`DIR` to copy it to (default plugins, beside the configuration)")
	options.flags(cmd)
	return cmd
}

type installDocument struct {
	Schema   string   `json:"schema"`
	Strategy string   `json:"strategy"`
	Path     string   `json:"path"`
	SHA256   string   `json:"sha256"`
	Allow    []string `json:"allow"`
}

func (c *cli) install(cmd *cobra.Command, file, folder string, options *trial) error {
	name, info, err := c.tryModule(cmd, file, options)
	if err != nil {
		return err
	}
	path, err := host.InstallModule(file, folder)
	if err != nil {
		return err
	}
	if path, err = filepath.Abs(path); err != nil {
		return err
	}
	doc := installDocument{"rocksnap.plugin-install/1", name, path, info.SHA256, []string{}}
	for _, g := range info.Capabilities {
		doc.Allow = append(doc.Allow, string(g))
	}
	if c.json {
		return c.print(doc)
	}
	_, err = fmt.Fprintf(c.out, "\n[strategies.%q]\nmodule = %q\nsha256 = %q\nallow  = %s\n", doc.Strategy, doc.Path, doc.SHA256, quoted(doc.Allow))
	return err
}

// quoted returns an array of TOML.
func quoted(list []string) string {
	items := make([]string, len(list))
	for i, item := range list {
		items[i] = fmt.Sprintf("%q", item)
	}
	return "[" + strings.Join(items, ", ") + "]"
}
