package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/strategytest"
)

// trial is what the verbs that try a module out share: the options of its table.
type trial struct {
	file   string
	set    []string
	places []host.Place // of the lines of the table
	keys   []string     // that the lines begin with; "" for none
}

func (t *trial) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.file, "config-toml", "", "`FILE` with the lines of the module's own table")
	cmd.Flags().StringArrayVar(&t.set, "set", nil, "option `KEY=VALUE` of the module; repeatable")
}

func (t *trial) given() bool { return t.file != "" || len(t.set) > 0 }

// subject returns the module with its options, which are TOML.
func (t *trial) subject(cmd *cobra.Command, module string) (strategytest.Subject, error) {
	lines, err := t.lines(cmd)
	if err != nil {
		return strategytest.Subject{}, err
	}
	s, err := strategytest.FromModule(module, strings.Join(lines, "\n"))
	if err != nil || !t.given() {
		return s, err
	}
	folder, err := os.MkdirTemp("", "rocksnap-options-")
	if err != nil {
		return s, err
	}
	defer os.RemoveAll(folder)
	_, err = t.configure(s, "", "", folder)
	return s, err
}

// configure is that of the trial; its errors name the command line's places.
func (t *trial) configure(s strategytest.Subject, db, store, folder string) (*config.Config, error) {
	configured := s.Trial(db, store)
	configured.Places = t.places
	return configured.Configure(folder)
}

// lines returns the lines of the table and notes where they come from. Options come
// before the file, whose last line may be in a table of its own.
func (t *trial) lines(cmd *cobra.Command) (lines []string, err error) {
	for _, option := range t.set {
		key, value, ok := strings.Cut(option, "=")
		if !ok || !bareKey.MatchString(key) {
			return nil, usage(cmd, "--set %q is not KEY=VALUE", option)
		}
		lines = append(lines, key+" = "+tomlValue(value))
		t.places = append(t.places, host.Place{From: "--set " + key})
	}
	if t.file != "" {
		text, err := os.ReadFile(t.file)
		if err != nil {
			return nil, usage(cmd, "--config-toml: %w", err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			lines = append(lines, line)
			t.places = append(t.places, host.Place{From: t.file, Line: i + 1})
		}
	}
	for _, line := range lines {
		t.keys = append(t.keys, firstKey.FindString(line))
	}
	return lines, nil
}

// named has what a module's check says name the module, or the place of the option
// that it speaks of, in place of the configuration that was made for it.
func (t *trial) named(err error, cfg *config.Config, s strategytest.Subject) error {
	if err == nil {
		return nil
	}
	at, rest := s.Module, err.Error()
	rest, found := strings.CutPrefix(rest, cfg.Where("strategies", s.Name, "module")+": ")
	if !found {
		rest, found = strings.CutPrefix(rest, cfg.Where("strategies", s.Name, "config")+": ")
		at = t.place(rest)
	}
	if !found {
		return err
	}
	return &host.Problem{Code: host.CodeOf(err), Err: errors.New(at + ": " + rest), Hint: host.HintOf(err)}
}

// place returns where the option stands that a text names first.
func (t *trial) place(text string) string {
	first, at := len(text), cmp.Or(t.file, "options")
	for i, key := range t.keys {
		if key == "" {
			continue
		}
		hit := regexp.MustCompile(`\b` + regexp.QuoteMeta(key) + `\b`).FindStringIndex(text)
		if hit != nil && hit[0] < first {
			first, at = hit[0], t.places[i].String()
		}
	}
	return at
}

var (
	firstKey = regexp.MustCompile(`^[A-Za-z0-9_-]+`)
	bareKey  = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$`)
	literal  = regexp.MustCompile(`^(true|false|[+-]?[0-9][0-9_]*(\.[0-9]+)?|".*"|'.*'|\[.*\]|\{.*\})$`)
)

// tomlValue is a value as TOML writes it. What is no literal of TOML is a text.
func tomlValue(text string) string {
	if literal.MatchString(text) {
		return text
	}
	return fmt.Sprintf("%q", text)
}
