package abi_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/rocksnap/rocksnap/abi"
)

func TestErrnosAreInOrder(t *testing.T) {
	names, texts := make(map[string]bool), make(map[string]bool)
	for i, e := range abi.Errnos {
		assert.EqualValues(t, i+1, e.Errno, e.Name)
		assert.Equal(t, e.Text, e.Errno.Error())
		names[e.Name], texts[e.Text] = true, true
	}
	assert.Len(t, names, len(abi.Errnos))
	assert.Len(t, texts, len(abi.Errnos))
}

func TestErrnoOutsideTheTable(t *testing.T) {
	for _, e := range []abi.Errno{-1, 0, abi.Errno(len(abi.Errnos) + 1)} {
		assert.Equal(t, fmt.Sprintf("unknown error number %d", e), e.Error())
	}
}

func TestErrnoOf(t *testing.T) {
	_, missing := os.Open(filepath.Join(t.TempDir(), "missing"))
	tests := []struct {
		name string
		err  error
		want abi.Errno
	}{
		{"nil", nil, 0},
		{"number", abi.EQUOTA, abi.EQUOTA},
		{"wrapped number", fmt.Errorf("put state: %w", abi.EQUOTA), abi.EQUOTA},
		{"number with text", &abi.Error{Errno: abi.ECONFLICT, Text: "twice"}, abi.ECONFLICT},
		{"number before sentinel", errors.Join(fs.ErrNotExist, abi.ECORRUPT), abi.ECORRUPT},
		{"missing file", missing, abi.ENOENT},
		{"cancelled", fmt.Errorf("upload: %w", context.Canceled), abi.ECANCELED},
		{"deadline", context.DeadlineExceeded, abi.ETIMEDOUT},
		{"permission", fs.ErrPermission, abi.EPERM},
		{"invalid", fs.ErrInvalid, abi.EINVAL},
		{"anything else", errors.New("disk on fire"), abi.EIO},
		{"a success is no error", abi.Errno(0), abi.EIO},
		{"a negative number would be a success", abi.Errno(-2), abi.EIO},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, abi.ErrnoOf(test.err)) })
	}
}

// What a sentinel of the standard library becomes on the wire must still be that
// sentinel on the other side.
func TestSentinelsSurviveTheBoundary(t *testing.T) {
	sentinels := []error{fs.ErrNotExist, fs.ErrInvalid, fs.ErrPermission, context.Canceled, context.DeadlineExceeded}
	for _, sentinel := range sentinels {
		errno := abi.ErrnoOf(fmt.Errorf("somewhere deep: %w", sentinel))
		assert.ErrorIs(t, errno, sentinel)
		for _, other := range sentinels {
			assert.Equal(t, other == sentinel, errors.Is(errno, other), "%v is %v", errno, other)
		}
	}
}

func TestErrorHasNumberAndText(t *testing.T) {
	err := fmt.Errorf("prepare: %w", &abi.Error{Errno: abi.ENOENT, Text: "base 7: not found"})
	assert.EqualError(t, err, "prepare: base 7: not found")
	assert.ErrorIs(t, err, abi.ENOENT)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.NotErrorIs(t, err, abi.EIO)
}

func TestCompletionErr(t *testing.T) {
	assert.NoError(t, abi.Completion{}.Err())
	for _, e := range abi.Errnos {
		assert.Equal(t, e.Errno, abi.Completion{Status: -int32(e.Errno)}.Err())
	}
}
