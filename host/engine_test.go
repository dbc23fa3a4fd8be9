package host_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/sink/sinktest"
)

// TestSinkLaws tries the laws of a sink on RocksDB.
func TestSinkLaws(t *testing.T) {
	kind, err := host.KindOf(host.RocksDB)
	require.NoError(t, err)
	sinktest.Test(t, kind)
}
