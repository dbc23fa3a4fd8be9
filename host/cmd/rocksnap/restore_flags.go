package main

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/host"
)

// restoreFlags are the flags of restore, as they were given.
type restoreFlags struct {
	target, method     string
	claim              string
	engine             string
	snapshots          []string
	group              string
	families           []string
	groups             string
	prefix, first, end string
	link, delta        bool
}

func (f *restoreFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.target, "target", "", "`DIR` for the database, absent or empty unless --delta is given")
	flags.StringArrayVar(&f.snapshots, "snapshot", nil, "`ID` or NAME/ID, instead of the argument; repeatable")
	flags.StringVar(&f.group, "group", "", "the snapshots of all members of group snapshot `ID`, or latest")
	flags.StringVar(&f.groups, "key-groups", "", "only these key groups, as `A-B`")
	flags.StringArrayVar(&f.families, "column-family", nil, "only column family `NAME`; repeatable")
	flags.StringVar(&f.prefix, "key-prefix", "", "only keys that begin with `KEY`")
	flags.StringVar(&f.first, "from-key", "", "only keys from `KEY` on")
	flags.StringVar(&f.end, "to-key", "", "only keys before `KEY`")
	flags.StringVar(&f.claim, "claim", "", "`MODE` of going on with the snapshot's history: claim, no-claim or fork")
	flags.StringVar(&f.method, "method", "", "`files` or records; files where that can be done")
	flags.StringVar(&f.engine, "engine", host.RocksDB, engineUsage)
	flags.BoolVar(&f.delta, "delta", false, "replace the database in the target, reusing its files")
	flags.BoolVar(&f.link, "link", false, "share files with the repository; not a backup")
}

func (f *restoreFlags) options(cmd *cobra.Command, args []string) (o host.RestoreOptions, err error) {
	if f.target == "" {
		return o, usage(cmd, "--target DIR is missing")
	}
	if len(args) > 0 && len(f.snapshots) > 0 {
		return o, usage(cmd, "name the snapshots either as %s or with --snapshot", args[0])
	}
	if cmd.Flags().Changed("group") && (f.group == "" || len(args)+len(f.snapshots) > 0) {
		return o, usage(cmd, "--group needs an id or latest, and takes the place of snapshots")
	}
	o = host.RestoreOptions{
		Group: f.group, Snapshots: append(args, f.snapshots...), Target: f.target, Families: f.families,
		Engine: f.engine, Claim: host.Claim(f.claim), Method: host.RestoreMethod(f.method), Link: f.link, Delta: f.delta,
	}
	if cmd.Flags().Changed("key-groups") {
		if o.KeyGroups, err = parseGroups(f.groups); err != nil {
			return o, usage(cmd, "--key-groups: %w", err)
		}
	}
	if o.Keys, err = f.keys(); err != nil {
		return o, usage(cmd, "%w", err)
	}
	return o, nil
}

// parseGroups reads a range of key groups, or a single one.
func parseGroups(text string) (*keygroup.Range, error) {
	first, last, isRange := strings.Cut(text, "-")
	if !isRange {
		last = first
	}
	a, errA := strconv.ParseUint(first, 10, 32)
	b, errB := strconv.ParseUint(last, 10, 32)
	if errA != nil || errB != nil || a > b {
		return nil, fmt.Errorf("%q is no range, as 0-63 is", text)
	}
	return &keygroup.Range{First: uint32(a), Last: uint32(b)}, nil
}

// keys returns the range of keys that the flags name.
func (f *restoreFlags) keys() (r host.KeyRange, err error) {
	if f.prefix != "" && (f.first != "" || f.end != "") {
		return r, fmt.Errorf("--key-prefix excludes --from-key and --to-key")
	}
	if f.prefix != "" {
		prefix, err := parseKey(f.prefix)
		if err != nil {
			return r, fmt.Errorf("--key-prefix: %w", err)
		}
		return host.KeyRange{From: prefix, To: afterPrefix(prefix)}, nil
	}
	if r.From, err = parseKey(f.first); err != nil {
		return r, fmt.Errorf("--from-key: %w", err)
	}
	if r.To, err = parseKey(f.end); err != nil {
		return r, fmt.Errorf("--to-key: %w", err)
	}
	return r, nil
}

// parseKey reads a key: text, or hexadecimal digits after 0x; nil when empty.
func parseKey(text string) ([]byte, error) {
	digits, isHex := strings.CutPrefix(text, "0x")
	switch {
	case text == "":
		return nil, nil
	case !isHex:
		return []byte(text), nil
	}
	key, err := hex.DecodeString(digits)
	if err != nil || len(key) == 0 {
		return nil, fmt.Errorf("%q is no hexadecimal key, as 0x00ff is", text)
	}
	return key, nil
}

// afterPrefix returns the first key that is behind all that begin with a prefix;
// nil when there is none.
func afterPrefix(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] < 0xff {
			after := append([]byte(nil), prefix[:i+1]...)
			after[i]++
			return after
		}
	}
	return nil
}
