package host_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// tallying is a native strategy that counts in its state, in place.
type tallying struct {
	plainIncrement
	found *[]byte
	fails bool
}

func (c tallying) Prepare(ctx context.Context, s abi.Session) error {
	n, err := s.StateGet("n")
	if err != nil {
		n = []byte{0}
	}
	*c.found = append(*c.found, n[0])
	n[0]++
	if err := s.StatePut("n", n); err != nil {
		return err
	}
	if c.fails {
		return errors.New("it fails, as it was told to")
	}
	return c.plainIncrement.Prepare(ctx, s)
}

// What a strategy that failed, or the owner of a manifest, does with a state that it
// was given is in no state that a later snapshot finds: only a commit is.
func TestStateIsOnlyWhatWasCommitted(t *testing.T) {
	var found []byte
	fails := false
	h := open(t, dbtest.Config(t, shapes[0].make(t)), host.Offline(),
		host.WithStrategy("tallying", func() abi.Strategy { return tallying{found: &found, fails: fails} }))
	take := func() (*host.Manifest, error) {
		return h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "tallying"})
	}
	m, err := take()
	require.NoError(t, err)
	m.State["n"][0] = 100
	delete(m.State, "n")
	fails = true
	_, err = take()
	require.ErrorContains(t, err, "as it was told to")
	fails = false
	_, err = take()
	require.NoError(t, err)
	assert.Equal(t, []byte{0, 1, 1}, found)
}
