package s3_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// fillStore creates n small objects.
func fillStore(t *testing.T, s *s3.Store, n int) (names []string) {
	t.Helper()
	for i := range n {
		names = append(names, fmt.Sprintf("o/%04d", i))
		require.NoError(t, put(t.Context(), s, names[i], "x"))
	}
	return names
}

func TestDeleteInBatches(t *testing.T) {
	s, p, direct := behind(t)
	all := make([]string, 2001)
	for i := range all {
		all[i] = fmt.Sprintf("absent/%04d", i)
	}
	copy(all, fillStore(t, direct, 3))
	require.NoError(t, s.Delete(t.Context(), all...))
	require.Equal(t, 3, p.count("delete many"))
	require.Empty(t, names(t, s))
}

// TestDeleteOneByOne is for servers that do not know the batches of today.
func TestDeleteOneByOne(t *testing.T) {
	s, p, direct := behind(t)
	for _, f := range []fault{refuse(501, "NotImplemented"), refuse(400, "MissingContentMD5")} {
		all := fillStore(t, direct, 3)
		p.do(always(f, "delete many"))
		require.NoError(t, s.Delete(t.Context(), all...))
		require.Equal(t, []string{"delete many", "delete", "delete", "delete"}, p.ops())
		require.Empty(t, names(t, s))
	}
}

// TestDeleteSaysWhatIsLeft: the failure of a key is told with its name.
func TestDeleteSaysWhatIsLeft(t *testing.T) {
	s, p, direct := behind(t)
	all := fillStore(t, direct, 3)
	deletes := 0
	p.do(func(op string) fault {
		if op == "delete many" {
			return refuse(501, "NotImplemented")
		}
		if op == "delete" {
			deletes++
		}
		if op == "delete" && deletes == 2 {
			return refuse(400, "InvalidArgument")
		}
		return pass
	})
	err := s.Delete(t.Context(), all...)
	left := names(t, direct)
	require.Len(t, left, 1)
	require.EqualError(t, err, "delete "+left[0]+": as planned (HTTP 400 InvalidArgument)")
}

// TestPrefixesAreApart: two stores in one bucket do not see each other, though one
// has the beginning of the other's prefix; what has no name is passed over.
func TestPrefixesAreApart(t *testing.T) {
	server := storetest.Versity(t)
	server.Env(t)
	o := server.Options()
	whole := open(t, o)
	o.Prefix = "a/b"
	inner := open(t, o)
	o.Prefix = "a/bc"
	other := open(t, o)
	require.NoError(t, put(t.Context(), inner, "x", "1"))
	require.NoError(t, put(t.Context(), other, "y", "2"))
	require.Equal(t, []string{"x"}, names(t, inner))
	require.Equal(t, []string{"y"}, names(t, other))
	require.Equal(t, []string{"a/b/x", "a/bc/y"}, names(t, whole))
}

func TestListGoesOn(t *testing.T) {
	s, p, direct := behind(t)
	all := fillStore(t, direct, 5)
	p.do(first("list", slowDown(), drop, cut))
	require.Equal(t, all, names(t, s))
	require.Equal(t, 4, p.count("list"))
}
