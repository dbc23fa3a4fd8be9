package main

import (
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
)

// snapshotFlags are the flags of snapshot, as they were given.
type snapshotFlags struct {
	strategy                     string
	labels, meta                 []string
	savepoint, canonical, native bool
	explain                      bool
	link                         bool
	group                        string
	series                       series
}

func (f *snapshotFlags) register(flags *pflag.FlagSet) {
	flags.StringVar(&f.strategy, "strategy", "", "strategy `NAME` instead of the configured one")
	flags.StringArrayVar(&f.labels, "label", nil, "label `KEY=VALUE`, shown in lists, never encrypted; repeatable")
	flags.StringArrayVar(&f.meta, "meta", nil, "`FILE` with application metadata; repeatable")
	flags.BoolVar(&f.savepoint, "savepoint", false, "keep it until it is removed by its id; it shares nothing with others")
	flags.BoolVar(&f.canonical, "canonical", false, "with --savepoint, records that any engine can load")
	flags.BoolVar(&f.native, "native", false, "with --savepoint, RocksDB's own files")
	flags.BoolVar(&f.explain, "explain", false, "tell what made the new bytes: flush, compaction, ingest, blob GC; --json always does")
	flags.BoolVar(&f.link, "link", false, "link the database's files into a repository on the same file system; this is not a backup")
	flags.StringVar(&f.group, "group", "", "take part in the group snapshot `ID`, and wait for the other members")
	flags.DurationVar(&f.series.every, "every", 0, "stay, and take one each `DURATION`, as in 10m")
	flags.IntVar(&f.series.count, "count", 0, "with --every, how many; 0 for no end")
}

// options returns the strategy, "" for the configured one, and the options.
func (f *snapshotFlags) options(cmd *cobra.Command) (strategy string, o host.SnapshotOptions, err error) {
	if strategy, err = f.chosen(cmd); err != nil {
		return "", o, err
	}
	switch given := cmd.Flags().Changed; {
	case f.group == "" && given("group"):
		return "", o, usage(cmd, "--group needs an id")
	case f.group != "" && given("every"):
		return "", o, usage(cmd, "--group and --every: each group snapshot needs an id of its own")
	}
	o = host.SnapshotOptions{Savepoint: f.savepoint, Link: f.link, Group: f.group}
	if o.Labels, err = f.readLabels(cmd); err == nil {
		o.Meta, err = f.readMeta(cmd)
	}
	return strategy, o, err
}

// chosen returns the strategy that takes a snapshot: of a savepoint the one that
// has its format.
func (f *snapshotFlags) chosen(cmd *cobra.Command) (string, error) {
	switch {
	case !f.native && !f.canonical:
		return f.strategy, nil
	case !f.savepoint:
		return "", usage(cmd, "--native and --canonical are for a --savepoint; any other snapshot has a --strategy")
	case f.native && f.canonical, cmd.Flags().Changed("strategy"):
		return "", usage(cmd, "give one of --native, --canonical and --strategy")
	case f.native:
		return "native-full", nil
	}
	return "canonical", nil
}

func (f *snapshotFlags) readLabels(cmd *cobra.Command) (map[string]string, error) {
	labels := make(map[string]string)
	for _, l := range f.labels {
		key, value, ok := strings.Cut(l, "=")
		_, twice := labels[key]
		if !ok || key == "" || twice || !utf8.ValidString(l) {
			return nil, usage(cmd, "--label %q is not a new KEY=VALUE", l)
		}
		labels[key] = value
	}
	return labels, nil
}

func (f *snapshotFlags) readMeta(cmd *cobra.Command) (map[string][]byte, error) {
	meta, left := make(map[string][]byte), abi.MaxMeta
	for _, path := range f.meta {
		name := filepath.Base(path)
		content, err := readSmall(path, left-len(name))
		if err != nil {
			return nil, usage(cmd, "--meta: %w", err)
		}
		left -= len(name) + len(content)
		if _, twice := meta[name]; twice {
			return nil, usage(cmd, "--meta: two files are named %s", name)
		}
		meta[name] = content
	}
	return meta, nil
}
