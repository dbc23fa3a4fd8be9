package blobtest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

var listLaws = []law{
	{"list nothing", listNothing},
	{"list every prefix after every name", listMatrix},
	{"list and delete many", listMany},
	{"list while creating", listWhileCreating},
	{"list while deleting", listWhileDeleting},
	{"list stops when told", listStops},
}

func listNothing(t *testing.T, s blob.Store) {
	assert.Empty(t, list(t, s, "", ""))
	assert.Empty(t, list(t, s, "a", "b"))
	put(t, s, "a/b", "x")
	assert.Empty(t, list(t, s, "a/b/", ""))
	assert.Empty(t, list(t, s, "a/b/c", ""))
	assert.Empty(t, list(t, s, "x/y", ""))
}

// tricky sorts differently by name and by path element: '-' and '.' come before
// the slash, digits and letters after it.
var tricky = []string{
	"B", "a-/x", "a-b", "a.b", "a/-", "a/b", "a/b.c/d", "a/b0/d", "a/c/d/e",
	"a/c/d/f", "a0", "a_b", "aa/b", "b/a", "b/b",
}

// listMatrix compares with what the definition says, for all prefixes of all
// names, after each name and some points between.
func listMatrix(t *testing.T, s blob.Store) {
	for _, i := range []int{7, 3, 14, 0, 9, 1, 12, 5, 11, 2, 13, 4, 8, 10, 6} {
		put(t, s, tricky[i], "x")
	}
	require.True(t, slices.IsSorted(tricky))
	prefixes := []string{"", "zz"}
	for _, name := range tricky {
		for i := range name {
			prefixes = append(prefixes, name[:i+1])
		}
	}
	slices.Sort(prefixes)
	for _, prefix := range slices.Compact(prefixes) {
		for _, after := range append([]string{"", "a", "a/", "a/b0/", "a/b1", "zz"}, tricky...) {
			want := []string{}
			for _, name := range tricky {
				if strings.HasPrefix(name, prefix) && name > after {
					want = append(want, name)
				}
			}
			require.Equal(t, want, list(t, s, prefix, after), "prefix %q after %q", prefix, after)
		}
	}
}

// listMany needs several pages where a store has pages, and several batches where
// it has those.
func listMany(t *testing.T, s blob.Store) {
	want := make([]string, 1100)
	errs := make(chan error, 16)
	for i := range want {
		want[i] = fmt.Sprintf("many/%04d", i)
	}
	for w := range cap(errs) {
		go func() { errs <- createEach(s, want, w, cap(errs)) }()
	}
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	assert.Equal(t, want, list(t, s, "many/", ""))
	assert.Equal(t, want[1050:], list(t, s, "many/", want[1049]))
	assert.Equal(t, want[1000:1010], list(t, s, "many/100", ""))
	require.NoError(t, s.Delete(context.Background(), slices.Concat(want[:50], want[51:])...))
	assert.Equal(t, want[50:51], list(t, s, "", ""))
}

// createEach creates every step-th of the names, from start on.
func createEach(s blob.Store, names []string, start, step int) error {
	for i := start; i < len(names); i += step {
		if err := create(s, names[i], "x"); err != nil {
			return err
		}
	}
	return nil
}

// listWhileCreating wants every object that was there all the time, once, and
// the order kept, whatever others add.
func listWhileCreating(t *testing.T, s blob.Store) {
	var steady []string
	for i := range 20 {
		steady = append(steady, fmt.Sprintf("d%d/steady%d", i/5, i))
		put(t, s, steady[i], "x")
	}
	slices.Sort(steady)
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- createUntil(s, stop) }()
	for range 10 {
		names := list(t, s, "", "")
		require.True(t, slices.IsSorted(names))
		names = slices.DeleteFunc(names, func(n string) bool { return !strings.Contains(n, "steady") })
		require.Equal(t, steady, names)
	}
	close(stop)
	require.NoError(t, <-stopped)
}

// createUntil adds objects in old and new directories.
func createUntil(s blob.Store, stop <-chan struct{}) error {
	for i := 0; ; i++ {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := create(s, fmt.Sprintf("d%d/new%d", i%9, i), "x"); err != nil {
			return err
		}
	}
}

// listWhileDeleting deletes from within the loop, as a sweep does.
func listWhileDeleting(t *testing.T, s blob.Store) {
	ctx := context.Background()
	for i := range 12 {
		put(t, s, fmt.Sprintf("d%d/o%02d", i/4, i), "x")
	}
	seen := 0
	for info, err := range s.List(ctx, "", "") {
		require.NoError(t, err)
		require.NoError(t, s.Delete(ctx, info.Name))
		seen++
	}
	require.Equal(t, 12, seen)
	require.Empty(t, list(t, s, "", ""))
}

func listStops(t *testing.T, s blob.Store) {
	for _, name := range tricky {
		put(t, s, name, "x")
	}
	for limit := 1; limit <= len(tricky); limit++ {
		var names []string
		for info, err := range s.List(context.Background(), "", "") {
			require.NoError(t, err)
			names = append(names, info.Name)
			if len(names) == limit {
				break
			}
		}
		require.Equal(t, tricky[:limit], names)
	}
}
