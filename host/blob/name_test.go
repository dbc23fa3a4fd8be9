package blob_test

import (
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

func TestCheckNameLimits(t *testing.T) {
	element := strings.Repeat("e", blob.MaxElement)
	longest := element + "/" + element + "/" + strings.Repeat("f", blob.MaxName-2*blob.MaxElement-2)
	require.Len(t, longest, blob.MaxName)
	assert.NoError(t, blob.CheckName(longest))
	assert.NoError(t, blob.CheckPrefix(longest))
	assert.ErrorIs(t, blob.CheckName(longest+"f"), blob.ErrName)
	assert.ErrorIs(t, blob.CheckName(element+"e"), blob.ErrName)
}

func TestCheckNameSaysWhy(t *testing.T) {
	for name, want := range map[string]string{
		"":        `invalid object name "": empty element`,
		"a//b":    `invalid object name "a//b": empty element`,
		"a/../b":  `invalid object name "a/../b": element begins with a dot`,
		"a/b c":   `invalid object name "a/b c": character ' '`,
		"a/b\x00": `invalid object name "a/b\x00": character '\x00'`,
	} {
		assert.EqualError(t, blob.CheckName(name), want)
	}
}

// FuzzCheckName: a name that is accepted stays where it is put, in every store.
func FuzzCheckName(f *testing.F) {
	for _, seed := range []string{"a", "a/b.c/D_e-0", "../a", "a//b", ".tmp", "a/", "/a", "ä", "a\\b", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if blob.CheckName(name) != nil {
			return
		}
		assert.True(t, filepath.IsLocal(name))
		assert.Equal(t, name, path.Clean(name))
		assert.NotContains(t, "/"+name, "/.")
		for i := range len(name) + 1 {
			if !strings.HasSuffix("/"+name[:i], "/.") {
				assert.NoError(t, blob.CheckPrefix(name[:i]), "a name's beginning is a prefix")
			}
		}
	})
}
