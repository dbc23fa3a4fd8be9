package s3_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/blobtest"
	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// variants are the ways in which a store can be told to work.
var variants = []struct {
	name string
	set  func(*s3.Options)
}{
	{"default", func(*s3.Options) {}},
	{"small parts, little memory, in a prefix", func(o *s3.Options) {
		o.Prefix, o.PartSize, o.Memory, o.Requests = "deep/prefix", 5<<20, 10<<20, 2
	}},
	{"single writer", func(o *s3.Options) { o.SingleWriter = true }},
}

// TestLaws leaves the single writer to the servers that need no haste.
func TestLaws(t *testing.T) { testLaws(t, storetest.Versity(t), 2) }

func testLaws(t *testing.T, server storetest.Server, count int) {
	server.Env(t)
	for _, v := range variants[:count] {
		t.Run(v.name, func(t *testing.T) {
			blobtest.Run(t, func(t *testing.T) blob.Store {
				o := server.NewBucket(t).Options()
				v.set(&o)
				return open(t, o)
			})
		})
	}
}

// open opens a store that does not wait long between tries.
func open(t *testing.T, o s3.Options) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), o)
	require.NoError(t, err)
	s.Hurry()
	return s
}
