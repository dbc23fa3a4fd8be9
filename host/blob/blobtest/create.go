package blobtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

var createLaws = []law{
	{"create then read back", createReadBack},
	{"create empty object", createEmpty},
	{"create large object", createLarge},
	{"create on a taken name changes nothing", createTaken},
	{"one of many racing creators wins", createRace},
	{"create shows nothing before it ends", createInvisible},
	{"create shows whole objects only", createWhole},
}

func createReadBack(t *testing.T, s blob.Store) {
	names := []string{"a", "b/c", "b/d/e.f_g-H", "0"}
	for _, name := range names {
		put(t, s, name, "content of "+name)
	}
	for _, name := range names {
		requireContent(t, s, name, "content of "+name)
	}
}

func createEmpty(t *testing.T, s blob.Store) {
	put(t, s, "empty", "")
	requireContent(t, s, "empty", "")
	info, err := s.Stat(context.Background(), "empty")
	require.NoError(t, err)
	require.Zero(t, info.Size)
	require.Equal(t, []string{"empty"}, list(t, s, "", ""))
	require.ErrorIs(t, create(s, "empty", "x"), fs.ErrExist, "an empty object takes its name too")
}

// createLarge streams more than any buffer holds, and not a round number.
func createLarge(t *testing.T, s blob.Store) {
	const size = 24<<20 + 1
	require.NoError(t, s.Create(context.Background(), "large", big(1, size)))
	requireBig(t, s, "large", 1, size)
}

func createTaken(t *testing.T, s blob.Store) {
	put(t, s, "a/b", "first")
	for range 2 {
		require.ErrorIs(t, create(s, "a/b", "second, longer"), fs.ErrExist)
		requireContent(t, s, "a/b", "first")
	}
	require.Equal(t, []string{"a/b"}, list(t, s, "", ""))
}

// createRace lets creators with different contents go for one name.
func createRace(t *testing.T, s blob.Store) {
	const creators = 32
	content := func(i int) string { return strings.Repeat(string(rune('A'+i)), 50_000+i) }
	errs := make([]error, creators)
	start := make(chan struct{})
	var done sync.WaitGroup
	for i := range creators {
		done.Go(func() {
			<-start
			errs[i] = create(s, "contested/name", content(i))
		})
	}
	close(start)
	done.Wait()
	requireContent(t, s, "contested/name", content(requireWinner(t, errs)))
}

// half of a body is more than any buffer, or part, that stores collect.
var half = strings.Repeat("half", 6<<20/4)

// createInvisible looks while a creator waits in the middle of its body.
func createInvisible(t *testing.T, s blob.Store) {
	body, created := createSlowly(s, "slow/one")
	for range 2 {
		_, err := io.WriteString(body, half)
		require.NoError(t, err)
		requireInvisible(t, s, "slow/one")
	}
	require.NoError(t, body.Close())
	require.NoError(t, <-created)
	requireContent(t, s, "slow/one", half+half)
}

// createSlowly begins to create an object from what will be written. Writes fail
// once the store has given up.
func createSlowly(s blob.Store, name string) (*io.PipeWriter, <-chan error) {
	r, w := io.Pipe()
	created := make(chan error, 1)
	go func() {
		err := s.Create(context.Background(), name, r)
		r.CloseWithError(err)
		created <- err
	}()
	return w, created
}

// createWhole looks all the time while creators of small and slow objects work.
func createWhole(t *testing.T, s blob.Store) {
	const creators, each, size = 4, 8, 100_000
	content := strings.Repeat("w", size)
	errs := make(chan error, creators)
	for c := range creators {
		go func() {
			var failed error
			for i := range each {
				slow := struct{ io.Reader }{iotest.HalfReader(strings.NewReader(content))}
				name := fmt.Sprintf("%d/%d", c, i)
				failed = errors.Join(failed, s.Create(context.Background(), name, slow))
			}
			errs <- failed
		}()
	}
	for finished := 0; finished < creators; {
		select {
		case err := <-errs:
			require.NoError(t, err)
			finished++
		default:
		}
		requireWhole(t, s, content)
	}
	require.Len(t, list(t, s, "", ""), creators*each)
}

// requireWhole asserts that every listed object has its whole content.
func requireWhole(t *testing.T, s blob.Store, content string) {
	t.Helper()
	last := ""
	for info, err := range s.List(context.Background(), "", "") {
		require.NoError(t, err)
		require.EqualValues(t, len(content), info.Size)
		last = info.Name
	}
	if last != "" {
		requireContent(t, s, last, content)
	}
}

var failureLaws = []law{
	{"an error of the reader leaves nothing", failReader},
	{"a cancelled call does nothing", failCancelled},
	{"cancelling a create leaves nothing", failCancelling},
}

var errBroken = errors.New("broken source")

func failReader(t *testing.T, s blob.Store) {
	for _, size := range []int{0, 1, 3 << 20} {
		name := fmt.Sprintf("broken/%d", size)
		body := io.MultiReader(bytes.NewReader(make([]byte, size)), iotest.ErrReader(errBroken))
		require.ErrorIs(t, s.Create(context.Background(), name, body), errBroken)
		requireAbsent(t, s, name)
	}
}

func failCancelled(t *testing.T, s blob.Store) {
	put(t, s, "there", "content")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	assert.ErrorIs(t, s.Create(ctx, "new", strings.NewReader("x")), context.Canceled)
	assert.ErrorIs(t, s.Delete(ctx, "there"), context.Canceled)
	_, err := s.Stat(ctx, "there")
	assert.ErrorIs(t, err, context.Canceled)
	_, err = s.Open(ctx, "there", 0, -1)
	assert.ErrorIs(t, err, context.Canceled)
	var last error
	for _, err := range s.List(ctx, "", "") {
		last = err
	}
	assert.ErrorIs(t, last, context.Canceled)
	_, err = s.Tidy(ctx, farFuture())
	assert.ErrorIs(t, err, context.Canceled)
	requireContent(t, s, "there", "content")
	requireAbsent(t, s, "new")
}

// failCancelling cancels in the middle of a body that goes on for long enough
// that no store can have taken all of it.
func failCancelling(t *testing.T, s blob.Store) {
	const cancelAt, size = 3 << 20, 256 << 20
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	body := &tripwire{at: cancelAt, left: size, trip: cancel}
	err := s.Create(ctx, "cancelled", body)
	require.ErrorIs(t, err, context.Canceled)
	require.Positive(t, body.left, "the whole body was read")
	requireAbsent(t, s, "cancelled")
}

// tripwire yields left zero bytes and calls trip once at bytes are out.
type tripwire struct {
	at, left int64
	trip     func()
}

func (w *tripwire) Read(p []byte) (int, error) {
	if w.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), w.left)
	clear(p[:n])
	w.left -= n
	w.at -= n
	if w.at <= 0 {
		w.trip()
	}
	return int(n), nil
}
