package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/secret"
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
			cfg, err := config.Load(c.config)
			if err != nil {
				return err
			}
			r, err := host.OpenRepository(cmd.Context(), cfg, c.options(nil)...)
			if err != nil {
				return err
			}
			m, err := r.Find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if err := c.reveal(m, cfg.Repository.Encryption.IdentityFile); err != nil {
				return err
			}
			return c.printManifest(m)
		})
	cmd.ValidArgsFunction = c.snapshotIDs(1)
	return cmd
}

// reveal decrypts what is encrypted of a manifest. A key that cannot be had, or
// that does not fit, is no failure: there is enough to show without it.
func (c *cli) reveal(m *host.Manifest, identityFile string) error {
	if !m.Concealed() || identityFile == "" {
		return nil
	}
	identities, err := secret.ReadIdentities(identityFile)
	if err == nil {
		err = m.Reveal(identities.Unseal)
		if err != nil && !errors.Is(err, secret.ErrNoKey) {
			return &host.Problem{Code: host.CodeDamaged, Err: fmt.Errorf("decrypt snapshot %s: %w", m.ID, err)}
		}
	}
	if err != nil {
		c.logger().Warn("what is encrypted is not shown", "snapshot", m.ID, "reason", err)
	}
	return nil
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
