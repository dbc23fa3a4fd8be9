package dir

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/blobtest"
)

func TestLaws(t *testing.T) {
	blobtest.Run(t, func(t *testing.T) blob.Store { return create(t, t.TempDir()) })
}

func create(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Create(root)
	require.NoError(t, err)
	return s
}
