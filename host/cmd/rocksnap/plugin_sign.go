package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) keygenVerb() *cobra.Command {
	var out string
	cmd := verb("keygen", "Make a key to sign modules with", `Makes a pair of ed25519 keys. The private one is written to a file that only
this user can read, PKCS#8 in PEM; a file that is there is never overwritten. The
public one is printed as the line of a configuration that trusts it: under
[plugins] for every strategy, or in the table of one.

Exit status: 0 ok, 1 failed, 2 usage.`,
		`  rocksnap plugin keygen --out release.pem`, cobra.NoArgs,
		func(*cobra.Command, []string) error {
			public, err := host.CreateSigningKey(out)
			if err != nil {
				return err
			}
			if c.json {
				return c.print(keygenDocument{"rocksnap.plugin-keygen/1", out, public})
			}
			_, err = fmt.Fprintf(c.out, "keys = [%q]\n", public)
			return err
		})
	cmd.Flags().StringVar(&out, "out", "key.pem", "`FILE` for the private key")
	return cmd
}

type keygenDocument struct {
	Schema string `json:"schema"`
	Path   string `json:"path"` // of the private key
	Public string `json:"public_key"`
}

func (c *cli) signVerb() *cobra.Command {
	var key string
	cmd := verb("sign FILE", "Sign a module", `Signs a module with a private key, PKCS#8 in PEM, as 'rocksnap plugin keygen' or
'openssl genpkey -algorithm ed25519' makes one. The signature is written beside
the module, as FILE.sig, in place of an older one; the module stays as it is, and
so does its sha256. Ship both files. A FILE that is not here is looked for as
'rocksnap plugin inspect' does.

Exit status: 0 ok, 1 failed, 2 usage, 12 no usable key, 30 not a module.`,
		`  rocksnap plugin sign --key release.pem mine.wasm`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			if key == "" {
				return usage(cmd, "--key FILE is needed")
			}
			module, err := host.FindModule(args[0])
			if err != nil {
				return err
			}
			c.warnOfOpenKey(key)
			signature, err := host.SignModule(module, key)
			if err != nil {
				return err
			}
			if c.json {
				return c.print(signDocument{"rocksnap.plugin-sign/1", module + ".sig", signature})
			}
			_, err = fmt.Fprintf(c.out, "signed: %s\n", plain(module+".sig"))
			return err
		})
	cmd.Flags().StringVar(&key, "key", "", "`FILE` of the private key")
	return cmd
}

type signDocument struct {
	Schema    string `json:"schema"`
	Path      string `json:"path"` // of the signature
	Signature string `json:"signature"`
}

// warnOfOpenKey tells of a private key that others may have read. It is used all
// the same: the harm, if any, is done.
func (c *cli) warnOfOpenKey(path string) {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o077 != 0 {
		c.logger().Warn("the signing key can be read or changed by others: make it yours alone with 'chmod 600'", "file", path, "mode", info.Mode().Perm())
	}
}

func (c *cli) verifyModuleVerb() *cobra.Command {
	var keys []string
	cmd := verb("verify FILE", "Check the signature of a module", `Checks the signature of a module, which lies beside it as FILE.sig, and names
the signer. Trusted are the keys that are given, or else those of the
configuration; then the places that name the signer are told. No code of the
module is run. A FILE that is not here is looked for as 'rocksnap plugin inspect'
does.

Exit status: 0 ok, 1 failed, 2 usage or no keys, 30 not signed, changed, or
signed by somebody who is not trusted.`,
		`  rocksnap plugin verify mine.wasm
  rocksnap plugin verify --key ed25519:11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo= mine.wasm`, cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			trusted, err := c.trusted(cmd, keys)
			if err != nil {
				return err
			}
			module, err := host.FindModule(args[0])
			if err != nil {
				return err
			}
			signer, err := host.VerifyModule(module, slices.Collect(maps.Keys(trusted)))
			if err != nil {
				return err
			}
			doc := verifyModuleDocument{"rocksnap.plugin-verify/1", module, signer, trusted[signer]}
			if c.json {
				return c.print(doc)
			}
			return c.printSigner(doc)
		})
	cmd.Flags().StringArrayVar(&keys, "key", nil, "public `KEY` to trust, in place of those of the configuration; repeatable")
	return cmd
}

type verifyModuleDocument struct {
	Schema    string   `json:"schema"`
	Path      string   `json:"path"`
	Signer    string   `json:"signer"`     // public key
	TrustedBy []string `json:"trusted_by"` // "--key", or places in the configuration
}

func (c *cli) printSigner(doc verifyModuleDocument) error {
	t := c.table()
	t.row("module", doc.Path)
	t.row("signer", doc.Signer)
	for _, place := range doc.TrustedBy {
		t.row("trusted by", place)
	}
	return t.flush()
}

// trusted returns what trusts each key: the command line, or else the places of
// the configuration.
func (c *cli) trusted(cmd *cobra.Command, keys []string) (map[string][]string, error) {
	if len(keys) == 0 {
		return c.configuredKeys(cmd)
	}
	trusted := make(map[string][]string)
	for i, key := range keys {
		if _, err := config.ParseKey(key); err != nil {
			return nil, usage(cmd, "--key: number %d %w", i+1, err)
		}
		trusted[key] = []string{"--key"}
	}
	return trusted, nil
}

func (c *cli) configuredKeys(cmd *cobra.Command) (map[string][]string, error) {
	cfg, err := config.Load(c.config)
	if errors.Is(err, fs.ErrNotExist) && !cmd.Flags().Changed("config") {
		return nil, usage(cmd, "no key to trust: name one with --key, or a configuration with --config")
	}
	if err != nil {
		return nil, err
	}
	trusted := make(map[string][]string)
	for _, key := range cfg.Plugins.Keys {
		trusted[key] = append(trusted[key], cfg.Where("plugins", "keys"))
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Strategies)) {
		for _, key := range cfg.Strategies[name].Keys {
			trusted[key] = append(trusted[key], cfg.Where("strategies", name, "keys"))
		}
	}
	if len(trusted) == 0 {
		return nil, usage(cmd, "no key to trust: %s names none; name one with --key", c.config)
	}
	return trusted, nil
}
