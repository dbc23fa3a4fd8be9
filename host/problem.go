package host

import (
	"context"
	"errors"
)

// Code names a class of failure. Codes and their exit statuses are part of the
// command line's contract.
type Code string

// The codes.
const (
	CodeFailed       Code = "failed"
	CodeUsage        Code = "usage"
	CodePartial      Code = "partial"
	CodeNoRepository Code = "no-repository"
	CodeFenced       Code = "fenced"
	CodeKey          Code = "key"
	CodeDamaged      Code = "damaged"
	CodeIrreparable  Code = "irreparable"
	CodePlugin       Code = "plugin"
	CodeInterrupted  Code = "interrupted"
)

var exitStatus = map[Code]int{
	CodeFailed: 1, CodeUsage: 2, CodePartial: 3, CodeNoRepository: 10, CodeFenced: 11,
	CodeKey: 12, CodeDamaged: 20, CodeIrreparable: 21, CodePlugin: 30, CodeInterrupted: 130,
}

// ExitStatus returns the process exit status that stands for the code.
func (c Code) ExitStatus() int { return exitStatus[c] }

// Problem is an error that a person can act on: a class, the error itself, and
// what to do about it.
type Problem struct {
	Code Code
	Err  error
	Hint string // one line, may be empty
}

// Error returns the error's text, without the hint.
func (p *Problem) Error() string { return p.Err.Error() }

// Unwrap returns the error.
func (p *Problem) Unwrap() error { return p.Err }

// CodeOf returns the class of an error: that of the [Problem] in its chain,
// else interrupted for a cancelled context, else failed.
func CodeOf(err error) Code {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p.Code
	case errors.Is(err, context.Canceled):
		return CodeInterrupted
	}
	return CodeFailed
}

// HintOf returns the hint of the [Problem] in an error's chain, or "".
func HintOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Hint
	}
	return ""
}

// problem makes a [Problem] of an error, unless somebody cancelled: whatever broke
// off then is not at fault, and there is nothing to do about it.
func problem(code Code, err error, hint string) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return &Problem{Code: code, Err: err, Hint: hint}
}
