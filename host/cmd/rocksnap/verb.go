package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host"
)

// verb makes a command that does something. Its long text ends with the exit
// statuses that it can have.
func verb(use, short, long, example string, args cobra.PositionalArgs, do func(*cobra.Command, []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: checked(args), RunE: do}
}

// checked makes the complaints of an argument check usage errors.
func checked(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if args(cmd, given) != nil {
			return usage(cmd, "wrong arguments; usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// group makes a command that only has verbs below it.
func group(use, short, long, example string, verbs ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{
		Use: use, Short: short, Long: long, Example: example,
		SuggestionsMinimumDistance: 2, DisableFlagsInUseLine: true,
		Args: cobra.ArbitraryArgs, // so that RunE sees an unknown verb
	}
	g.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) > 0:
			return unknownVerb(cmd, args[0])
		case cmd.HasParent():
			return usage(cmd, "%s needs a verb", cmd.CommandPath())
		}
		return cmd.Help()
	}
	g.AddCommand(verbs...)
	return g
}

func unknownVerb(cmd *cobra.Command, name string) error {
	hint := seeHelp(cmd)
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return &host.Problem{Code: host.CodeUsage, Err: fmt.Errorf("unknown verb %q for %s", name, cmd.CommandPath()), Hint: hint}
}
