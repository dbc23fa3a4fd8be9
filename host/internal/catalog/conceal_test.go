package catalog

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// turned stands for any encryption.
func turned(b []byte) ([]byte, error) {
	b = bytes.Clone(b)
	slices.Reverse(b)
	return append([]byte("sealed"), b...), nil
}

func turnedBack(b []byte) ([]byte, error) {
	b = bytes.Clone(bytes.TrimPrefix(b, []byte("sealed")))
	slices.Reverse(b)
	return b, nil
}

func secretive() *Manifest {
	m := manifest()
	m.Options, m.ContentDigest = "[DBOptions]", m.Contents[0].Digest
	m.Contents[0].Family = "accounts"
	m.Contents[0].SmallestKey, m.Contents[0].LargestKey = []byte("alice"), []byte("bob")
	m.Families = append(m.Families, Family{ID: 1, Name: "accounts"})
	return m
}

func TestConcealedManifestTellsNothing(t *testing.T) {
	store, _ := repository(t)
	c := open(t, store)
	m := secretive()
	whole, err := json.Marshal(m)
	require.NoError(t, err)
	veiled, err := m.Conceal("age1x", turned)
	require.NoError(t, err)
	again, err := json.Marshal(m)
	require.NoError(t, err)
	require.JSONEq(t, string(whole), string(again), "the manifest itself is as it was")

	require.True(t, veiled.Concealed())
	require.NoError(t, acquire(t, c).commit(t.Context(), veiled))
	read, err := c.Manifest(t.Context(), veiled.Slot)
	require.NoError(t, err)
	text, err := json.Marshal(read)
	require.NoError(t, err)
	for _, word := range []string{"accounts", "YWxpY2U", "DBOptions", "offset", "Bytewise", m.ContentDigest + `","contents"`} {
		assert.NotContains(t, string(text), word)
	}
	for i, f := range read.Contents {
		assert.Equal(t, m.Contents[i].Object, f.Object)
		assert.Equal(t, m.Contents[i].Digest, f.Digest)
	}
	assert.Equal(t, m.State, read.State, "the next snapshot needs it")

	require.NoError(t, read.Reveal(turnedBack))
	assert.False(t, read.Concealed())
	assert.Equal(t, "age1x", read.Keys)
	assert.Equal(t, m.Detail, read.Detail)
	require.NoError(t, read.Reveal(nil), "what is revealed is revealed")
}

func TestRevealFindsWhatDoesNotFit(t *testing.T) {
	errKey := errors.New("wrong key")
	veiled, err := secretive().Conceal("age1x", turned)
	require.NoError(t, err)
	assert.ErrorIs(t, veiled.Reveal(func([]byte) ([]byte, error) { return nil, errKey }), errKey)
	assert.ErrorIs(t, veiled.Reveal(func([]byte) ([]byte, error) { return []byte("garbage"), nil }), ErrDamaged)

	other := secretive()
	other.Contents = other.Contents[:1]
	foreign, err := other.Conceal("age1x", turned)
	require.NoError(t, err)
	veiled.Sealed = foreign.Sealed
	assert.ErrorIs(t, veiled.Reveal(turnedBack), ErrDamaged, "that of another snapshot")

	_, err = secretive().Conceal("age1x", func([]byte) ([]byte, error) { return nil, errKey })
	assert.ErrorIs(t, err, errKey)
}

func TestHalfEncryptedIsRefused(t *testing.T) {
	m := manifest()
	m.Keys = "age1x"
	assert.ErrorContains(t, m.Validate(), "half encrypted")
}
