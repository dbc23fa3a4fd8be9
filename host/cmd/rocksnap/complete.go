package main

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

func (c *cli) completionVerb() *cobra.Command {
	return verb("completion (bash|zsh|fish|powershell)", "Print a completion script for a shell", `Prints a script that completes verbs, flags, strategies and snapshot ids.

Exit status: 0 ok, 1 failed, 2 usage.`,
		`  source <(rocksnap completion bash)
  rocksnap completion fish > ~/.config/fish/completions/rocksnap.fish`,
		cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(c.out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(c.out)
			case "fish":
				return cmd.Root().GenFishCompletion(c.out, true)
			case "powershell":
				return cmd.Root().GenPowerShellCompletionWithDesc(c.out)
			}
			return usage(cmd, "no completion for shell %q", args[0])
		})
}

// completeStrategies completes the value of --strategy.
func (c *cli) completeStrategies(cmd *cobra.Command) {
	register(cmd, "strategy", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		cfg, err := config.Load(c.config)
		if err != nil {
			return config.Builtin(), cobra.ShellCompDirectiveNoFileComp
		}
		return slices.Sorted(maps.Keys(cfg.Strategies)), cobra.ShellCompDirectiveNoFileComp
	})
}

// completeLevel completes the value of --level.
func completeLevel(cmd *cobra.Command) {
	levels := make([]string, len(host.Levels))
	for i, l := range host.Levels {
		levels[i] = string(l)
	}
	register(cmd, "level", cobra.FixedCompletions(levels, cobra.ShellCompDirectiveNoFileComp))
}

func register(cmd *cobra.Command, flag string, complete cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
		panic(err) // the verb has no such flag
	}
}

// many is the limit of verbs that take any number of snapshots.
const many = math.MaxInt

// snapshotIDs completes up to limit ids, newest first.
func (c *cli) snapshotIDs(limit int) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= limit {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		r, err := c.repository(cmd.Context(), nil)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		list, _ := r.List(cmd.Context()) // the others still help
		ids := []string{cobra.CompletionWithDesc("latest", "the newest snapshot")}
		for _, s := range slices.Backward(list) {
			ids = append(ids, cobra.CompletionWithDesc(s.ID, s.Strategy.Name+", "+s.Created.Local().Format(time.DateTime)))
		}
		return ids, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	}
}
