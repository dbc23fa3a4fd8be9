package s3_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// The laws hold on servers that have nothing in common but the protocol.

func TestMinIOLaws(t *testing.T) { testLaws(t, storetest.MinIO(t), len(variants)) }

func TestRcloneLaws(t *testing.T) { testLaws(t, storetest.Rclone(t), len(variants)) }

// differences are what a server does beside the laws; package storetest tells
// them as a table.
type differences struct {
	SmallSum, LargeSum bool // the server tells the CRC32C of an object
	Resumes            bool // the server tells the CRC32C of stored parts
	Tidies             bool // the server lists unfinished uploads
}

func TestVersityDifferences(t *testing.T) {
	require.Equal(t, differences{true, true, true, true}, find(t, storetest.Versity(t)))
}

func TestMinIODifferences(t *testing.T) {
	require.Equal(t, differences{true, true, true, false}, find(t, storetest.MinIO(t)))
}

func TestRcloneDifferences(t *testing.T) {
	require.Equal(t, differences{true, false, false, true}, find(t, storetest.Rclone(t)))
}

func find(t *testing.T, server storetest.Server) (d differences) {
	t.Helper()
	s, p, _ := behindServer(t, server, func(o *s3.Options) { o.Prefix = "in/a" })
	for name, told := range map[string]*bool{"a/small": &d.SmallSum, "a/large": &d.LargeSum} {
		content := map[string]string{"a/small": "content", "a/large": object()}[name]
		require.NoError(t, put(t.Context(), s, name, content))
		requireBytes(t, content, get(t, s, name))
		info, err := s.Stat(t.Context(), name)
		require.NoError(t, err)
		*told = info.CRC32C != nil
		require.NoError(t, s.Delete(t.Context(), name))
	}
	interrupt(t, s, p, object())
	require.NoError(t, put(t.Context(), s, "large", object()))
	requireBytes(t, object(), get(t, s, "large"))
	d.Resumes = s.Stats().Resumed > 0
	require.NoError(t, s.Delete(t.Context(), "large"))
	interrupt(t, s, p, object())
	tidied, err := s.Tidy(t.Context(), time.Now().Add(time.Hour))
	assert.NoError(t, err)
	d.Tidies = tidied.Uploads > 0
	return d
}
