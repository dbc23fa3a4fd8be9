package blob_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/blobtest"
	"github.com/rocksnap/rocksnap/host/blob/mem"
)

func put(s blob.Store, name, content string) error {
	return s.Create(context.Background(), name, strings.NewReader(content))
}

func get(s blob.Store, name string) (string, error) {
	r, err := s.Open(context.Background(), name, 0, -1)
	if err != nil {
		return "", err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	return string(content), err
}

func names(s blob.Store) ([]string, error) {
	names := []string{}
	for info, err := range s.List(context.Background(), "", "") {
		if err != nil {
			return names, err
		}
		names = append(names, info.Name)
	}
	return names, nil
}

func TestPrefixLaws(t *testing.T) {
	for _, test := range []struct {
		prefix     string
		neighbours []string // that nobody must see or touch
	}{
		{"p/", []string{"a", "o/z", "p-", "p.q", "p0", "q"}},
		{"p/q-", []string{"a", "p/p", "p/q", "p/q.b", "p/q0", "q"}},
	} {
		t.Run(test.prefix, func(t *testing.T) {
			t.Parallel()
			blobtest.Run(t, func(t *testing.T) blob.Store {
				inner := mem.New()
				for _, name := range test.neighbours {
					require.NoError(t, put(inner, name, "neighbour"))
				}
				t.Cleanup(func() { requireNeighbours(t, inner, test.prefix, test.neighbours) })
				return blob.Prefix(inner, test.prefix)
			})
		})
	}
}

// requireNeighbours asserts that the objects outside a prefix are as they were.
func requireNeighbours(t *testing.T, s blob.Store, prefix string, want []string) {
	t.Helper()
	all, err := names(s)
	require.NoError(t, err)
	outside := slices.DeleteFunc(all, func(name string) bool { return strings.HasPrefix(name, prefix) })
	require.Equal(t, want, outside)
	for _, name := range outside {
		content, err := get(s, name)
		require.NoError(t, err)
		require.Equal(t, "neighbour", content)
	}
}

func TestPrefixPlacesObjects(t *testing.T) {
	inner := mem.New()
	require.NoError(t, put(blob.Prefix(inner, "p/"), "a", "content"))
	got, err := get(inner, "p/a")
	require.NoError(t, err)
	require.Equal(t, "content", got)
}

func TestObserveLaws(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blob.Store {
		var calls sync.Map
		t.Cleanup(func() {
			_, ok := calls.Load(blob.VerbCreate)
			assert.True(t, ok, "nothing was observed")
		})
		return blob.Observe(mem.New(), func(op blob.Op) { calls.Store(op.Verb, op) })
	})
}

func TestObserveTrace(t *testing.T) {
	ctx := context.Background()
	var trace []blob.Op
	s := blob.Observe(mem.New(), func(op blob.Op) {
		assert.Positive(t, op.Duration)
		op.Duration = 0
		trace = append(trace, op)
	})
	require.NoError(t, put(s, "a/b", "12345"))
	taken := put(s, "a/b", "123")
	r, err := s.Open(ctx, "a/b", 1, 3)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.NoError(t, err)
	require.Len(t, trace, 2, "an open ends with its reader")
	require.NoError(t, r.Close())
	require.NoError(t, r.Close())
	_, absent := s.Open(ctx, "c", 0, -1)
	_, err = s.Stat(ctx, "a/b")
	require.NoError(t, err)
	for range s.List(ctx, "a/", "") {
		break
	}
	require.NoError(t, s.Delete(ctx, "a/b", "c"))
	_, err = s.Tidy(ctx, time.Now().Add(-time.Hour))
	require.NoError(t, err)
	require.Equal(t, []blob.Op{
		{Verb: blob.VerbCreate, Name: "a/b", Bytes: 5},
		{Verb: blob.VerbCreate, Name: "a/b", Err: taken},
		{Verb: blob.VerbOpen, Name: "a/b", Bytes: 3},
		{Verb: blob.VerbOpen, Name: "c", Err: absent},
		{Verb: blob.VerbStat, Name: "a/b"},
		{Verb: blob.VerbList, Name: "a/"},
		{Verb: blob.VerbDelete, Name: "a/b c"},
		{Verb: blob.VerbTidy},
	}, trace)
}

func TestObserveShortBody(t *testing.T) {
	inner := mem.New()
	require.NoError(t, put(inner, "a", "12345"))
	var seen blob.Op
	s := blob.Observe(inner, func(op blob.Op) { seen = op })
	r, err := s.Open(context.Background(), "a", 0, 9)
	require.NoError(t, err)
	_, err = io.ReadAll(r)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, r.Close())
	require.EqualValues(t, 5, seen.Bytes)
	require.ErrorIs(t, seen.Err, io.ErrUnexpectedEOF)
}

func TestFaultyLaws(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(*testing.T) blob.Store {
		return blob.Faulty(mem.New(), func(blob.Call) blob.Fault { return blob.Fault{} })
	})
}

var errPlanned = errors.New("planned")

// TestFaulty makes one call of every verb fail in every mode and looks, past the
// fault, at what was done.
func TestFaulty(t *testing.T) {
	fail, lose := blob.Fault{Mode: blob.Fail}, blob.Fault{Mode: blob.Lose}
	cut := blob.Fault{Mode: blob.Cut, At: 1, Err: errPlanned}
	for _, test := range []struct {
		name  string
		verb  blob.Verb
		fault blob.Fault
		err   error
		left  []string // objects afterwards, of old1 and old2 before
	}{
		{"fail create", blob.VerbCreate, fail, blob.ErrFault, []string{"old1", "old2"}},
		{"lose create", blob.VerbCreate, lose, blob.ErrUnknownOutcome, []string{"new", "old1", "old2"}},
		{"cut create", blob.VerbCreate, cut, errPlanned, []string{"old1", "old2"}},
		{"fail delete", blob.VerbDelete, fail, blob.ErrFault, []string{"old1", "old2"}},
		{"lose delete", blob.VerbDelete, lose, blob.ErrUnknownOutcome, []string{}},
		{"cut delete", blob.VerbDelete, cut, errPlanned, []string{"old2"}},
		{"fail tidy", blob.VerbTidy, fail, blob.ErrFault, []string{"old1", "old2"}},
		{"lose tidy", blob.VerbTidy, lose, blob.ErrUnknownOutcome, []string{"old1", "old2"}},
		{"cut tidy", blob.VerbTidy, cut, errPlanned, []string{"old1", "old2"}},
		{"fail stat", blob.VerbStat, fail, blob.ErrFault, []string{"old1", "old2"}},
		{"lose stat", blob.VerbStat, lose, blob.ErrUnknownOutcome, []string{"old1", "old2"}},
		{"fail open", blob.VerbOpen, fail, blob.ErrFault, []string{"old1", "old2"}},
		{"lose open", blob.VerbOpen, lose, blob.ErrUnknownOutcome, []string{"old1", "old2"}},
		{"cut open", blob.VerbOpen, cut, errPlanned, []string{"old1", "old2"}},
		{"fail list", blob.VerbList, fail, blob.ErrFault, []string{"old1", "old2"}},
		{"lose list", blob.VerbList, lose, blob.ErrUnknownOutcome, []string{"old1", "old2"}},
		{"cut list", blob.VerbList, cut, errPlanned, []string{"old1", "old2"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			inner := mem.New()
			require.NoError(t, put(inner, "old1", "content"))
			require.NoError(t, put(inner, "old2", "content"))
			s := blob.Faulty(inner, func(blob.Call) blob.Fault { return test.fault })
			require.ErrorIs(t, call(s, test.verb), test.err)
			left, err := names(inner)
			require.NoError(t, err)
			require.Equal(t, test.left, left)
		})
	}
}

// call makes one call and consumes what it returns.
func call(s blob.Store, verb blob.Verb) (err error) {
	switch ctx := context.Background(); verb {
	case blob.VerbCreate:
		err = put(s, "new", "content")
	case blob.VerbDelete:
		err = s.Delete(ctx, "old1", "old2")
	case blob.VerbTidy:
		_, err = s.Tidy(ctx, time.Now())
	case blob.VerbStat:
		_, err = s.Stat(ctx, "old1")
	case blob.VerbOpen:
		_, err = get(s, "old1")
	case blob.VerbList:
		_, err = names(s)
	}
	return err
}

func TestFaultyCutPassesWhatIsBefore(t *testing.T) {
	inner := mem.New()
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, put(inner, name, "content"))
	}
	cut := blob.Fault{Mode: blob.Cut, At: 2}
	s := blob.Faulty(inner, func(blob.Call) blob.Fault { return cut })
	content, err := get(s, "a")
	require.ErrorIs(t, err, blob.ErrFault)
	require.Equal(t, "co", content)
	listed, err := names(s)
	require.ErrorIs(t, err, blob.ErrFault)
	require.Equal(t, []string{"a", "b"}, listed)
	cut.Err = io.EOF
	require.NoError(t, put(s, "short", "content"))
	content, err = get(inner, "short")
	require.NoError(t, err)
	require.Equal(t, "co", content)
}

func TestFaultyNumbersCalls(t *testing.T) {
	var seen []blob.Call
	s := blob.Faulty(mem.New(), func(c blob.Call) blob.Fault {
		seen = append(seen, c)
		if c.Number == 2 {
			return blob.Fault{Mode: blob.Lose}
		}
		return blob.Fault{}
	})
	require.NoError(t, put(s, "a", "x"))
	require.ErrorIs(t, put(s, "b", "x"), blob.ErrUnknownOutcome)
	require.ErrorIs(t, put(s, "b", "x"), fs.ErrExist, "the lost create was done")
	require.Equal(t, []blob.Call{
		{Number: 1, Verb: blob.VerbCreate, Name: "a"},
		{Number: 2, Verb: blob.VerbCreate, Name: "b"},
		{Number: 3, Verb: blob.VerbCreate, Name: "b"},
	}, seen)
}

func TestFaultyConcurrently(t *testing.T) {
	seen := map[int]bool{} // the plan needs no lock
	s := blob.Faulty(mem.New(), func(c blob.Call) blob.Fault {
		seen[c.Number] = true
		return blob.Fault{Mode: blob.Fail}
	})
	var done sync.WaitGroup
	for range 50 {
		done.Go(func() { assert.ErrorIs(t, put(s, "a", "x"), blob.ErrFault) })
	}
	done.Wait()
	require.Len(t, seen, 50)
	require.True(t, seen[1] && seen[50])
}
