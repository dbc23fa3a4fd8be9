package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) versionVerb() *cobra.Command {
	return verb("version", "Print the versions of rocksnap and what it runs on", `Prints the versions of rocksnap, the ABI of strategies, RocksDB and Go.

Exit status: 0 ok, 1 failed, 2 usage.`,
		`  rocksnap version --json`, cobra.NoArgs,
		func(*cobra.Command, []string) error {
			doc := versionDocument{"rocksnap.version/1", moduleVersion(), host.ABIVersion(), host.RocksDBVersion(), runtime.Version()}
			if c.json {
				return c.print(doc)
			}
			t := c.table()
			t.row("rocksnap", doc.Version)
			t.row("abi", doc.ABI)
			t.row("rocksdb", doc.RocksDB)
			t.row("go", doc.Go)
			return t.flush()
		})
}

type versionDocument struct {
	Schema  string `json:"schema"`
	Version string `json:"version"`
	ABI     string `json:"abi"`
	RocksDB string `json:"rocksdb"`
	Go      string `json:"go"`
}

// moduleVersion returns the release that was built; "(devel)" for a checkout.
func moduleVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
