package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/host/strategytest"
)

// trial is what the verbs that try a module out share: the options of its table.
type trial struct {
	file string
	set  []string
}

func (t *trial) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.file, "config-toml", "", "`FILE` with the lines of the module's own table")
	cmd.Flags().StringArrayVar(&t.set, "set", nil, "option `KEY=VALUE` of the module; repeatable")
}

func (t *trial) given() bool { return t.file != "" || len(t.set) > 0 }

// subject returns the module with its options.
func (t *trial) subject(cmd *cobra.Command, module string) (strategytest.Subject, error) {
	var lines []string
	if t.file != "" {
		text, err := os.ReadFile(t.file)
		if err != nil {
			return strategytest.Subject{}, usage(cmd, "--config-toml: %w", err)
		}
		lines = append(lines, string(text))
	}
	for _, option := range t.set {
		key, value, ok := strings.Cut(option, "=")
		if !ok || !bareKey.MatchString(key) {
			return strategytest.Subject{}, usage(cmd, "--set %q is not KEY=VALUE", option)
		}
		lines = append(lines, key+" = "+tomlValue(value))
	}
	return strategytest.FromModule(module, strings.Join(lines, "\n"))
}

var (
	bareKey = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	literal = regexp.MustCompile(`^(true|false|[+-]?[0-9][0-9_]*(\.[0-9]+)?|".*"|'.*'|\[.*\]|\{.*\})$`)
)

// tomlValue is a value as TOML writes it. What is no literal of TOML is a text.
func tomlValue(text string) string {
	if literal.MatchString(text) {
		return text
	}
	return fmt.Sprintf("%q", text)
}
