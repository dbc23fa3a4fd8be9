package catalog

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
)

func TestInit(t *testing.T) {
	store, err := dir.Create(t.TempDir())
	require.NoError(t, err)
	_, err = Open(t.Context(), store, "orders")
	assert.ErrorIs(t, err, ErrNoRepository)

	f, err := Init(t.Context(), store, Format{})
	require.NoError(t, err)
	assert.Equal(t, f, open(t, store).Format())

	_, err = Init(t.Context(), store, Format{})
	assert.ErrorIs(t, err, fs.ErrExist)
	assert.Equal(t, f, open(t, store).Format())
}

func TestInitWhoseAnswerIsLost(t *testing.T) {
	for name, mode := range map[string]blob.Fault{
		"applied":     {Mode: blob.Lose},
		"not applied": {Mode: blob.Fail, Err: blob.ErrUnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			store, err := dir.Create(t.TempDir())
			require.NoError(t, err)
			f, err := Init(t.Context(), blob.Faulty(store, func(c blob.Call) blob.Fault {
				if c.Number == 1 {
					return mode
				}
				return blob.Fault{}
			}), Format{})
			require.NoError(t, err)
			assert.Equal(t, f, open(t, store).Format())
		})
	}
}

func TestEveryFlipOfTheFormatIsFound(t *testing.T) {
	store, root := repository(t)
	path := filepath.Join(root, formatName)
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range whole {
		bad := append([]byte(nil), whole...)
		bad[i] ^= 1 << (i % 8)
		overwrite(t, path, bad)
		_, err := Open(t.Context(), store, "orders")
		require.ErrorIs(t, err, ErrDamaged, "byte %d", i)
	}
	newer := struct {
		Version int    `json:"version"`
		New     bool   `json:"new"`
		Digest  string `json:"digest"`
	}{Version: FormatVersion + 1}
	data, err := sealDocument(&newer, &newer.Digest)
	require.NoError(t, err)
	overwrite(t, path, data)
	_, err = Open(t.Context(), store, "orders")
	assert.ErrorIs(t, err, ErrVersion)
	overwrite(t, path, []byte(strings.Repeat(" ", maxDocument+1)))
	_, err = Open(t.Context(), store, "orders")
	assert.ErrorIs(t, err, ErrDamaged)
}

func TestOpenRefusesNames(t *testing.T) {
	store, _ := repository(t)
	for _, name := range []string{"", ".", "..", "a/b", "a b", "ä"} {
		_, err := Open(t.Context(), store, name)
		assert.ErrorIs(t, err, blob.ErrName, name)
	}
}
