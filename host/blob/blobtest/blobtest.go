// Package blobtest holds the laws of a [blob.Store] as a test kit. A store that
// passes [Run] can carry a catalog: its names are taken once, what it lists is
// whole, and what failed has left nothing behind.
package blobtest

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

// law is one promise of a store, tested on an empty one.
type law struct {
	name string
	test func(t *testing.T, s blob.Store)
}

// Run tests every law of a store, each on its own store. open returns an empty
// one and cleans up after it with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	laws := [][]law{createLaws, bigLaws, failureLaws, readLaws, listLaws, deleteLaws, tidyLaws, nameLaws}
	for _, group := range laws {
		for _, l := range group {
			t.Run(l.name, func(t *testing.T) { l.test(t, open(t)) })
		}
	}
}

// put creates an object.
func put(t *testing.T, s blob.Store, name, content string) {
	t.Helper()
	require.NoError(t, create(s, name, content))
}

func create(s blob.Store, name, content string) error {
	return s.Create(context.Background(), name, bytes.NewReader([]byte(content)))
}

// get reads a range; the error may be that of Open or of the reader.
func get(s blob.Store, name string, offset, length int64) (string, error) {
	r, err := s.Open(context.Background(), name, offset, length)
	if err != nil {
		return "", err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	return string(content), err
}

// requireContent asserts the whole content of an object.
func requireContent(t *testing.T, s blob.Store, name, want string) {
	t.Helper()
	got, err := get(s, name, 0, -1)
	require.NoError(t, err)
	require.True(t, got == want, "content of %s: got %d bytes, want %d", name, len(got), len(want))
}

// list returns the names of a listing.
func list(t *testing.T, s blob.Store, prefix, after string) []string {
	t.Helper()
	names := []string{}
	for info, err := range s.List(context.Background(), prefix, after) {
		require.NoError(t, err)
		names = append(names, info.Name)
	}
	return names
}

// requireAbsent asserts that a name is free in every respect: the last step
// creates an object under it.
func requireAbsent(t *testing.T, s blob.Store, name string) {
	t.Helper()
	requireInvisible(t, s, name)
	put(t, s, name, "afterwards")
	requireContent(t, s, name, "afterwards")
}

// requireInvisible asserts that nobody can see an object.
func requireInvisible(t *testing.T, s blob.Store, name string) {
	t.Helper()
	_, err := s.Stat(context.Background(), name)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = get(s, name, 0, -1)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	require.NotContains(t, list(t, s, "", ""), name)
}
