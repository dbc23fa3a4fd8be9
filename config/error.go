package config

import (
	"fmt"
	"strings"
)

// Error is one problem of a configuration.
type Error struct {
	File    string // as it was named, or "environment"
	Line    int    // 1 is the first; 0 when the problem has no place
	Column  int    // in bytes; 1 is the first
	Key     string // full name, as in "[snapshot] flush"; empty when none is concerned
	Message string // what is wrong
	Hint    string // what to do about it; may be empty
	Err     error  // the cause, such as one of the file system; may be nil
}

// Error returns everything but the hint in one line.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d:%d", e.Line, e.Column)
	}
	if e.Key != "" {
		b.WriteString(": " + e.Key)
	}
	b.WriteString(": " + e.Message)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errors are all the problems of a configuration: those of the file in the
// order of their places, then those of the environment.
type Errors []*Error

// Error returns one line for each problem.
func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, problem := range e {
		lines[i] = problem.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the problems, for errors.As and errors.Is.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, problem := range e {
		errs[i] = problem
	}
	return errs
}

// valueError says why a value is refused, before its place is known.
type valueError struct {
	message string
	hint    string
}

func (e *valueError) Error() string { return e.message }

func refuse(format string, args ...any) error {
	return &valueError{message: fmt.Sprintf(format, args...)}
}
