package blobtest

import (
	"context"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

var deleteLaws = []law{
	{"delete", deleteOne},
	{"delete what is absent", deleteAbsent},
	{"delete several", deleteSeveral},
	{"delete beside an invalid name", deleteInvalid},
	{"create after delete", deleteCreate},
}

func deleteOne(t *testing.T, s blob.Store) {
	put(t, s, "a/b", "x")
	put(t, s, "a/bc", "y")
	require.NoError(t, s.Delete(context.Background(), "a/b"))
	requireInvisible(t, s, "a/b")
	requireContent(t, s, "a/bc", "y")
}

func deleteAbsent(t *testing.T, s blob.Store) {
	put(t, s, "a/b/c", "x")
	for _, name := range []string{"z", "a", "a/b", "a/c", "a/b/c/d", "y/z"} {
		assert.NoError(t, s.Delete(context.Background(), name), name)
	}
	for range 2 {
		assert.NoError(t, s.Delete(context.Background(), "a/b/c"))
	}
	requireInvisible(t, s, "a/b/c")
}

// deleteSeveral deletes in one call what is there, what is not, and one twice;
// then again; and then nothing at all.
func deleteSeveral(t *testing.T, s blob.Store) {
	ctx := context.Background()
	for _, name := range tricky {
		put(t, s, name, "content of "+name)
	}
	gone := append([]string{"absent", "x/y/z", tricky[0]}, tricky[:10]...)
	for range 2 {
		require.NoError(t, s.Delete(ctx, gone...))
		require.Equal(t, tricky[10:], list(t, s, "", ""))
	}
	require.NoError(t, s.Delete(ctx))
	for _, name := range tricky[10:] {
		requireContent(t, s, name, "content of "+name)
	}
}

// deleteInvalid: the call as a whole is refused.
func deleteInvalid(t *testing.T, s blob.Store) {
	put(t, s, "a", "x")
	put(t, s, "b", "y")
	require.ErrorIs(t, s.Delete(context.Background(), "a", "../b", "b"), blob.ErrName)
	require.Equal(t, []string{"a", "b"}, list(t, s, "", ""))
}

// deleteCreate: names can be used again at this level; that the catalog never
// does so is a rule of the catalog.
func deleteCreate(t *testing.T, s blob.Store) {
	for _, content := range []string{"first, the longest", "second", "third"} {
		put(t, s, "a/b", content)
		requireContent(t, s, "a/b", content)
		require.NoError(t, s.Delete(context.Background(), "a/b"))
		requireInvisible(t, s, "a/b")
	}
}

var nameLaws = []law{{"invalid names are refused", namesRefused}}

// badNames can name no object; most would lead somewhere else in some store.
var badNames = []string{
	"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "./a", "a/./b",
	".tmp/a", ".hidden", "a/.b", "a b", "a\x00b", "a\nb", "ä", "a\\b", "a:b", "a%2fb", "a*",
	strings.Repeat("abc/", 128) + "d", strings.Repeat("e", 201),
}

func namesRefused(t *testing.T, s blob.Store) {
	ctx := context.Background()
	for _, name := range badNames {
		assert.ErrorIs(t, create(s, name, "x"), blob.ErrName, "create %q", name)
		assert.ErrorIs(t, s.Delete(ctx, name), blob.ErrName, "delete %q", name)
		_, err := s.Stat(ctx, name)
		assert.ErrorIs(t, err, blob.ErrName, "stat %q", name)
		_, err = s.Open(ctx, name, 0, -1)
		assert.ErrorIs(t, err, blob.ErrName, "open %q", name)
	}
	for _, prefix := range []string{"/", "..", "../", "a//", ".tmp/", "a/.", "a b"} {
		var last error
		for _, err := range s.List(ctx, prefix, "") {
			last = err
		}
		assert.ErrorIs(t, last, blob.ErrName, "list %q", prefix)
	}
	assert.Empty(t, list(t, s, "", ""))
}
