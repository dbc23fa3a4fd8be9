package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
)

// usage reports a command line that makes no sense.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return &host.Problem{Code: host.CodeUsage, Err: fmt.Errorf(format, args...), Hint: seeHelp(cmd)}
}

func seeHelp(cmd *cobra.Command) string { return "see '" + cmd.CommandPath() + " --help'" }

// interrupted says that an error came of a signal, whatever else it says.
func interrupted(err error) error {
	return &host.Problem{Code: host.CodeInterrupted, Err: fmt.Errorf("interrupted: %w", err)}
}

// codeOf is [host.CodeOf], with a bad configuration as a usage error.
func codeOf(err error) host.Code {
	var misconfigured *config.Error
	if errors.As(err, &misconfigured) {
		return host.CodeUsage
	}
	return host.CodeOf(err)
}

// report prints an error and returns the exit status.
func (c *cli) report(err error) int {
	if err == nil {
		return 0
	}
	code := codeOf(err)
	if c.json {
		c.reportJSON(code, err)
		return code.ExitStatus()
	}
	for _, one := range parts(err) {
		fmt.Fprintf(c.err, "rocksnap: %s\n", strings.ReplaceAll(one.Error(), "\n", "\n  "))
		if hint := hintOf(one); hint != "" {
			fmt.Fprintf(c.err, "  hint: %s\n", hint)
		}
	}
	return code.ExitStatus()
}

// failure is the JSON document of an error.
type failure struct {
	Schema  string    `json:"schema"`
	Code    host.Code `json:"code"`
	Message string    `json:"message"`
	Hint    string    `json:"hint"` // the first, where there are several
}

func (c *cli) reportJSON(code host.Code, err error) {
	doc := failure{Schema: "rocksnap.error/1", Code: code, Message: err.Error()}
	for _, one := range parts(err) {
		doc.Hint = cmp.Or(doc.Hint, hintOf(one))
	}
	encoder := json.NewEncoder(c.err)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(doc) // there is no one left to tell
}

// parts takes apart an error that only lists others, such as all the problems of
// a configuration, so that each is printed with its own hint.
func parts(err error) []error {
	list, ok := err.(interface{ Unwrap() []error })
	if !ok || err.Error() != errors.Join(list.Unwrap()...).Error() {
		return []error{err}
	}
	var all []error
	for _, one := range list.Unwrap() {
		all = append(all, parts(one)...)
	}
	return all
}

func hintOf(err error) string {
	var misconfigured *config.Error
	if errors.As(err, &misconfigured) {
		return misconfigured.Hint
	}
	return host.HintOf(err)
}
