package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob/probe"
)

func (c *cli) doctorVerb() *cobra.Command {
	return verb("doctor", "Examine the store, the keys and the settings", `Examines what snapshots depend on: what the store does with objects made for the
purpose, which are removed again, the repository's format, the keys, the clocks,
free space, unfinished sessions, the retention, the modules and the database. It
changes nothing. A check that fails is exit status 1, a warning is 0.

Exit status: 0 ok, 1 failed, 2 usage, 130 interrupted.`,
		`  rocksnap doctor --config orders.toml`, cobra.NoArgs,
		func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(c.config)
			if err != nil {
				return err
			}
			d, err := host.Doctor(cmd.Context(), cfg, c.options(nil)...)
			return errors.Join(c.printDiagnosis(d), err)
		})
}

type doctorDocument struct {
	Schema string      `json:"schema"`
	Checks []checkItem `json:"checks"`
}

type checkItem struct {
	Name   string `json:"name"`
	Result string `json:"result"` // pass, warn or fail
	Detail string `json:"detail"`
	Hint   string `json:"hint"`
}

// printDiagnosis prints the checks; one that failed is an error after that.
func (c *cli) printDiagnosis(d *host.Diagnosis) error {
	checks := make([]checkItem, len(d.Checks))
	failed := 0
	for i, check := range d.Checks {
		checks[i] = checkItem{check.Name, string(check.Result), check.Detail, check.Hint}
		if check.Result == probe.Fail {
			failed++
		}
	}
	var err error
	if c.json {
		err = c.print(doctorDocument{"rocksnap.doctor/1", checks})
	} else {
		err = c.printChecks(checks, hints(checks))
	}
	if err == nil && failed > 0 {
		err = fmt.Errorf("doctor: %s failed", count(failed, "check"))
	}
	return err
}

func hints(checks []checkItem) (lines []string) {
	for _, check := range checks {
		if check.Hint != "" {
			lines = append(lines, "hint: "+check.Name+": "+check.Hint)
		}
	}
	return lines
}

// printChecks prints checks, and lines below them.
func (c *cli) printChecks(checks []checkItem, lines []string) error {
	t := c.table()
	t.row("CHECK", "RESULT", "DETAIL")
	for _, check := range checks {
		t.row(check.Name, check.Result, strings.ReplaceAll(check.Detail, "\n", "; "))
	}
	t.lines(lines...)
	return t.flush()
}
