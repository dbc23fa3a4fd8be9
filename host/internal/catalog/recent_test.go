package catalog

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A manifest is decoded once, but the store has the last word: what is damaged or
// gone is never answered from memory.
func TestSharedManifest(t *testing.T) {
	store, root := repository(t)
	c := open(t, store)
	m := commit(t, acquire(t, c))
	shared, err := c.SharedManifest(t.Context(), m.Slot)
	require.NoError(t, err)
	again, err := c.SharedManifest(t.Context(), m.Slot)
	require.NoError(t, err)
	assert.Same(t, shared, again)
	assert.Equal(t, m, shared)
	m.Contents[0].Object = "changed by its owner"
	for key := range m.State {
		m.State[key][0]++
	}
	fresh, err := c.Manifest(t.Context(), m.Slot)
	require.NoError(t, err)
	assert.Equal(t, fresh, shared)
	assert.NotSame(t, fresh, shared)

	file := entryFile(root, m.Slot)
	data, err := os.ReadFile(file)
	require.NoError(t, err)
	for at := range data {
		data[at] ^= 1
		overwrite(t, file, data)
		_, err := c.SharedManifest(t.Context(), m.Slot)
		require.Error(t, err, "byte %d", at)
		data[at] ^= 1
	}
	overwrite(t, file, data)
	_, err = c.SharedManifest(t.Context(), m.Slot)
	require.NoError(t, err)
	require.NoError(t, os.Remove(file))
	_, err = c.SharedManifest(t.Context(), m.Slot)
	assert.ErrorIs(t, err, os.ErrNotExist)
}

// What is large, or may still be decrypted in place, is not remembered.
func TestNotEveryManifestIsShared(t *testing.T) {
	var r recent
	large, concealed := manifest(), manifest()
	large.Contents = make([]File, recentFiles+1)
	concealed.Sealed = []byte("sealed")
	for _, m := range []*Manifest{large, concealed} {
		r.keep("digest", m)
		assert.Nil(t, r.of("digest"))
	}
	small := manifest()
	r.keep("digest", small)
	assert.Same(t, small, r.of("digest"))
	assert.Nil(t, r.of("another"))
}
