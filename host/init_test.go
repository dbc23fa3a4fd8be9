package host_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob/mem"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// TestInitRefuses a store that cannot keep two hosts apart, unless there is only
// one, which is then said at every opening.
func TestInitRefuses(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	store := overwriting{mem.New()}
	_, err := host.Init(t.Context(), cfg, host.InitOptions{}, host.WithStore(store))
	require.ErrorContains(t, err, "conditional create")
	assert.Contains(t, host.HintOf(err), "--single-writer")
	_, err = host.OpenRepository(t.Context(), cfg, host.WithStore(store))
	require.Equal(t, host.CodeNoRepository, host.CodeOf(err), "nothing was created")

	report, err := host.Init(t.Context(), cfg, host.InitOptions{SingleWriter: true}, host.WithStore(store))
	require.NoError(t, err)
	assert.False(t, report.Exclusive)
	_, err = host.OpenRepository(t.Context(), cfg, host.WithStore(store))
	require.NoError(t, err)
}
