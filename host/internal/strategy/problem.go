package strategy

import (
	"errors"
	"fmt"
	"strings"

	"github.com/rocksnap/rocksnap/abi"
)

// ErrCrashed marks the failure of a module that did not return at all: it
// trapped, panicked, exited, or handed over a pointer to nowhere.
var ErrCrashed = errors.New("strategy crashed")

// Error is the failure of a module's method. It wraps the number that the module
// returned and, where the module passed on an error of the session, that error
// as it was, so that errors.Is finds what the store or the database said.
type Error struct {
	Strategy string
	Phase    abi.Phase // 0 while the instance is started
	Text     string    // what the module said, or what happened to it
	Output   string    // the last of what a crashed module wrote to its standard error
	Errno    abi.Errno // 0 for a crash
	Cause    error     // may be nil
}

// Error returns one line, followed by the output of a crashed module.
func (e *Error) Error() string {
	phase := "start"
	if e.Phase != 0 {
		phase = e.Phase.String()
	}
	text := fmt.Sprintf("strategy %q: %s: %s", e.Strategy, phase, e.Text)
	if e.Output != "" {
		text += "\n" + e.Output
	}
	return text
}

// Unwrap returns the cause, then the number or [ErrCrashed].
func (e *Error) Unwrap() []error {
	var list []error
	if e.Cause != nil {
		list = append(list, e.Cause)
	}
	if e.Errno == 0 {
		return append(list, ErrCrashed)
	}
	return append(list, e.Errno)
}

// badPointer is raised as a panic by a host function that was given memory which
// the guest does not have. It is never clamped: the guest is broken.
type badPointer struct {
	call           string
	offset, length uint64
	memory         uint32
}

func (e *badPointer) Error() string {
	return fmt.Sprintf("%s was given offset %d and length %d, outside the %d bytes of memory", e.call, e.offset, e.length, e.memory)
}

// hostFault is a panic in the host's own code. It is not the guest's doing.
type hostFault struct {
	call  string
	value any
	stack []byte
}

func (e *hostFault) Error() string {
	return fmt.Sprintf("the host panicked in %s: %v\n%s", e.call, e.value, e.stack)
}

// Unwrap returns [abi.EINTERNAL].
func (e *hostFault) Unwrap() error { return abi.EINTERNAL }

// callError is an error of the session on its way through the guest: what the
// guest is told, and what was meant.
type callError struct {
	call  string // the function that failed
	told  string
	cause error
}

// tell says how much of an error the guest may see. What it did wrong itself is
// told in full. What went wrong in the store or the file system is not, since
// such errors name paths and objects, and the host reports them anyway. Only the
// session itself says with a number of ours that the guest is at fault.
func tell(call string, errno abi.Errno, cause error) callError {
	var named abi.Errno
	errors.As(cause, &named)
	switch named {
	case abi.EINVAL, abi.EBUF, abi.EQUOTA, abi.EPERM, abi.EBADH, abi.EPHASE, abi.ECONFLICT:
		return callError{call: call, told: call + ": " + cause.Error(), cause: cause}
	}
	return callError{call: call, told: call + ": " + errno.Error(), cause: cause}
}

// explain puts the original error where the guest quoted what it was told, or
// behind what the guest said in its own words. Where the guest did not quote, only
// the function's name tells what it was about.
func (e callError) explain(text string) string {
	cause := e.cause.Error()
	switch {
	case text == "":
		return e.call + ": " + cause
	case strings.Contains(text, cause):
		return text
	case strings.Contains(text, e.told):
		return strings.Replace(text, e.told, cause, 1)
	}
	return text + ": " + e.call + ": " + cause
}
