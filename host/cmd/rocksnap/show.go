package main

import (
	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) showVerb() *cobra.Command {
	cmd := verb("show (ID|latest)", "Show a snapshot's manifest", `Shows the manifest of a snapshot, which is everything that is known about it, as
JSON. An ID may be cut to an unambiguous beginning. Without the private key of an
encrypted snapshot, what tells of the database's content is left out.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 20 damage found,
130 interrupted.`,
		`  rocksnap show latest
  rocksnap show 019c2f6e --json`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			r, err := c.repository(cmd.Context(), nil)
			if err != nil {
				return err
			}
			m, err := r.Find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			// Without the key there is enough to show.
			if err := r.Reveal(m); host.CodeOf(err) == host.CodeKey {
				c.logger().Warn("what is encrypted is not shown", "snapshot", m.ID, "reason", err)
			} else if err != nil {
				return err
			}
			return c.printManifest(m)
		})
	cmd.ValidArgsFunction = c.snapshotIDs(1)
	return cmd
}

type showDocument struct {
	Schema    string `json:"schema"`
	Concealed bool   `json:"concealed"` // what tells of the content is left out
	*host.Manifest
}

// printManifest prints the same with and without --json: a manifest is a document
// in any case, and its reader may be a person in any case.
func (c *cli) printManifest(m *host.Manifest) error {
	readable := *m
	readable.Sealed = nil
	return c.printIndented(showDocument{"rocksnap.show/1", m.Concealed(), &readable}, "  ")
}
