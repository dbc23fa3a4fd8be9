package abi

import (
	"context"
	"errors"
	"io/fs"
	"strconv"
)

// Errno is how an error crosses the boundary: negated, as the result of a
// function. It is an error itself, and errors.Is finds it in every error of a
// [Session].
type Errno int32

// The error numbers. They are append-only: a number never changes its meaning.
const (
	EINVAL      Errno = 1  // an argument has no meaning
	ENOENT      Errno = 2  // no such thing
	EBUF        Errno = 3  // the buffer is too small
	EAGAIN      Errno = 4  // not now; wait and try again
	ECANCELED   Errno = 5  // the snapshot was cancelled
	ETIMEDOUT   Errno = 6  // a deadline passed
	EQUOTA      Errno = 7  // a limit is used up
	EPERM       Errno = 8  // the capability was not granted
	ENOSYS      Errno = 9  // not implemented
	EBADH       Errno = 10 // not a live handle of this session
	EPHASE      Errno = 11 // not allowed in this phase
	EINCOMPLETE Errno = 12 // the snapshot lacks something
	ECONFLICT   Errno = 13 // contradicts what was done before
	EIO         Errno = 14 // the store or the database failed
	ECORRUPT    Errno = 15 // data is not what its checksum says
	EINTERNAL   Errno = 16 // a fault of the host
)

// ErrnoInfo is one row of the table of error numbers.
type ErrnoInfo struct {
	Errno Errno
	Name  string // as in C
	Text  string // as in messages
}

// Errnos lists the error numbers in order, starting with number 1.
var Errnos = []ErrnoInfo{
	{EINVAL, "EINVAL", "invalid argument"},
	{ENOENT, "ENOENT", "not found"},
	{EBUF, "EBUF", "buffer too small"},
	{EAGAIN, "EAGAIN", "try again"},
	{ECANCELED, "ECANCELED", "cancelled"},
	{ETIMEDOUT, "ETIMEDOUT", "deadline exceeded"},
	{EQUOTA, "EQUOTA", "limit reached"},
	{EPERM, "EPERM", "capability not granted"},
	{ENOSYS, "ENOSYS", "not implemented"},
	{EBADH, "EBADH", "bad handle"},
	{EPHASE, "EPHASE", "not allowed in this phase"},
	{EINCOMPLETE, "EINCOMPLETE", "incomplete"},
	{ECONFLICT, "ECONFLICT", "conflict"},
	{EIO, "EIO", "input/output error"},
	{ECORRUPT, "ECORRUPT", "corrupt data"},
	{EINTERNAL, "EINTERNAL", "internal error of the host"},
}

// Error returns the error's text.
func (e Errno) Error() string {
	if e >= 1 && int(e) <= len(Errnos) {
		return Errnos[e-1].Text
	}
	return "unknown error number " + strconv.Itoa(int(e))
}

// Is makes the standard library's sentinels work across the boundary.
func (e Errno) Is(target error) bool {
	switch e {
	case ENOENT:
		return target == fs.ErrNotExist
	case ECANCELED:
		return target == context.Canceled
	case ETIMEDOUT:
		return target == context.DeadlineExceeded
	case EINVAL:
		return target == fs.ErrInvalid
	case EPERM:
		return target == fs.ErrPermission
	}
	return false
}

// ErrnoOf returns the number under which an error crosses the boundary: the
// [Errno] that it wraps, the one that stands for a sentinel of the standard
// library, or else [EIO]. It returns 0 for nil, and for nil only: an Errno that
// is not positive would cross as a success.
func ErrnoOf(err error) Errno {
	var errno Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &errno) && errno > 0:
		return errno
	case errors.Is(err, context.Canceled):
		return ECANCELED
	case errors.Is(err, context.DeadlineExceeded):
		return ETIMEDOUT
	case errors.Is(err, fs.ErrNotExist):
		return ENOENT
	case errors.Is(err, fs.ErrInvalid):
		return EINVAL
	case errors.Is(err, fs.ErrPermission):
		return EPERM
	}
	return EIO
}

// Error is an error with both a number and the text that the other side gave.
type Error struct {
	Errno Errno
	Text  string
}

// Error returns the text.
func (e *Error) Error() string { return e.Text }

// Unwrap returns the number.
func (e *Error) Unwrap() error { return e.Errno }
