package blobtest

import (
	"context"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

var tidyLaws = []law{
	{"tidy removes nothing that is visible", tidyVisible},
	{"tidy spares a young create", tidyYoung},
	{"tidy never makes a create half", tidyRunning},
}

// farFuture is later than all that a test can write.
func farFuture() time.Time { return time.Now().Add(365 * 24 * time.Hour) }

func tidyVisible(t *testing.T, s blob.Store) {
	ctx := context.Background()
	put(t, s, "a/small", "content")
	put(t, s, "empty", "")
	require.NoError(t, s.Create(ctx, "a/big", big(1, bigSize)))
	broken := io.MultiReader(big(2, 11<<20), iotest.ErrReader(errBroken))
	require.ErrorIs(t, s.Create(ctx, "a/broken", broken), errBroken)
	_, err := s.Tidy(ctx, farFuture())
	require.NoError(t, err)
	require.Equal(t, []string{"a/big", "a/small", "empty"}, list(t, s, "", ""))
	requireContent(t, s, "a/small", "content")
	requireBig(t, s, "a/big", 1, bigSize)
	requireAbsent(t, s, "a/broken")
	again, err := s.Tidy(ctx, farFuture())
	require.NoError(t, err)
	require.Zero(t, again, "everything was tidied before")
}

// tidyYoung tidies in the middle of a create that began after the time given.
func tidyYoung(t *testing.T, s blob.Store) {
	err := tidyDuring(t, s, func(s blob.Store) error {
		_, err := s.Tidy(context.Background(), time.Now().Add(-24*time.Hour))
		return err
	})
	require.NoError(t, err)
	requireContent(t, s, "running", strings.Repeat(half, 2))
}

// tidyRunning takes a create that still runs for one that never ended.
func tidyRunning(t *testing.T, s blob.Store) {
	err := tidyDuring(t, s, func(s blob.Store) error {
		_, err := s.Tidy(context.Background(), farFuture())
		return err
	})
	if err == nil {
		requireContent(t, s, "running", strings.Repeat(half, 2))
		return
	}
	require.NotErrorIs(t, err, fs.ErrExist)
	requireAbsent(t, s, "running")
}

// tidyDuring calls tidy in the middle of a create, and returns the error of the
// create.
func tidyDuring(t *testing.T, s blob.Store, tidy func(blob.Store) error) error {
	t.Helper()
	body, created := createSlowly(s, "running")
	_, err := io.WriteString(body, half)
	require.NoError(t, err)
	require.NoError(t, tidy(s))
	_, err = io.WriteString(body, half) // fails when the store has given up
	if err == nil {
		require.NoError(t, body.Close())
	}
	return <-created
}
