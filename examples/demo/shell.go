package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// shell runs commands in the working folder and prints them as a shell shows
// them.
type shell struct {
	ctx  context.Context
	tool string // path of rocksnap
	work string
	out  io.Writer
}

func (s *shell) title(text string) { fmt.Fprintf(s.out, "\n%s\n", text) }

// run runs a verb with --json, reads its document into result and tells it in a
// line.
func (s *shell) run(result fmt.Stringer, verb string, args ...string) error {
	args = append([]string{verb}, args...)
	fmt.Fprintf(s.out, "  $ rocksnap %s\n", strings.Join(args, " "))
	answer, err := s.output(append(args, "--json"))
	if err != nil {
		return err
	}
	if err := decodeLast(answer, result); err != nil {
		return fmt.Errorf("read the answer of rocksnap %s: %w", verb, err)
	}
	fmt.Fprintf(s.out, "      %s\n", result)
	return nil
}

// show runs a verb and shows what it prints for people.
func (s *shell) show(verb string) error {
	fmt.Fprintf(s.out, "  $ rocksnap %s\n", verb)
	answer, err := s.output([]string{verb})
	for line := range bytes.Lines(answer) {
		fmt.Fprintf(s.out, "      %s", line)
	}
	return err
}

func (s *shell) output(args []string) ([]byte, error) {
	cmd := exec.CommandContext(s.ctx, s.tool, args...)
	cmd.Dir, cmd.Env = s.work, withoutOverrides(os.Environ())
	answer, err := cmd.Output()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return answer, fmt.Errorf("rocksnap %s: %w\n%s", args[0], err, bytes.TrimSpace(failed.Stderr))
	}
	return answer, err
}

// withoutOverrides leaves out what would change the configuration that the demo
// shows.
func withoutOverrides(env []string) []string {
	return slices.DeleteFunc(env, func(entry string) bool { return strings.HasPrefix(entry, "ROCKSNAP_") })
}

// decodeLast reads the last of several documents: those before it report
// progress.
func decodeLast(answer []byte, result any) error {
	documents := json.NewDecoder(bytes.NewReader(answer))
	var last json.RawMessage
	for {
		err := documents.Decode(&last)
		if errors.Is(err, io.EOF) {
			return json.Unmarshal(last, result)
		}
		if err != nil {
			return err
		}
	}
}
