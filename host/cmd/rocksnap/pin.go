package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) pinVerb() *cobra.Command {
	var reason string
	cmd := verb("pin (ID|latest)", "Keep a snapshot until it is unpinned", `Keeps a snapshot, whatever [retention] says, until it is unpinned. It may be
pinned several times. An ID may be cut to an unambiguous beginning.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 20 damage found,
130 interrupted.`,
		`  rocksnap pin latest --reason "before the upgrade"`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			r, err := c.repository(cmd.Context(), nil)
			if err != nil {
				return err
			}
			p, err := r.Pin(cmd.Context(), args[0], reason)
			if err != nil {
				return err
			}
			if c.json {
				return c.print(pinDocument{"rocksnap.pin/1", p.Snapshot, p.Reason, p.Created})
			}
			_, err = fmt.Fprintf(c.out, "pinned snapshot %s\n", p.Snapshot)
			return err
		})
	cmd.Flags().StringVar(&reason, "reason", "", "`TEXT` for those who wonder why it stays; never encrypted")
	cmd.ValidArgsFunction = c.snapshotIDs(1)
	return cmd
}

type pinDocument struct {
	Schema  string    `json:"schema"`
	ID      string    `json:"id"` // of the snapshot
	Reason  string    `json:"reason"`
	Created time.Time `json:"created"`
}

func (c *cli) unpinVerb() *cobra.Command {
	cmd := verb("unpin (ID|latest)", "Leave a snapshot to the retention again", `Takes away every pin of a snapshot. From then on [retention] decides what becomes
of it. That it was not pinned is no failure. An ID may be cut to an unambiguous
beginning.

Exit status: 0 ok, 1 failed, 2 usage, 10 no repository, 20 damage found,
130 interrupted.`,
		`  rocksnap unpin 019c2f6e`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			r, err := c.repository(cmd.Context(), nil)
			if err != nil {
				return err
			}
			m, err := r.Find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			pins, err := r.Unpin(cmd.Context(), m.ID)
			if err != nil {
				return err
			}
			return c.printUnpinned(m, pins)
		})
	cmd.ValidArgsFunction = c.snapshotIDs(1)
	return cmd
}

type unpinDocument struct {
	Schema string `json:"schema"`
	ID     string `json:"id"`
	Pins   int    `json:"pins"` // that were taken away
}

func (c *cli) printUnpinned(m *host.Manifest, pins int) error {
	if c.json {
		return c.print(unpinDocument{"rocksnap.unpin/1", m.ID, pins})
	}
	text := fmt.Sprintf("unpinned snapshot %s (%s)", m.ID, count(pins, "pin"))
	switch {
	case pins == 0 && m.Savepoint:
		text = fmt.Sprintf("snapshot %s was not pinned; as a savepoint it stays until it is removed by 'rocksnap prune --remove'", m.ID)
	case pins == 0:
		text = fmt.Sprintf("snapshot %s was not pinned", m.ID)
	}
	_, err := fmt.Fprintln(c.out, text)
	return err
}
