package catalog

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

func TestStaleWriterIsFencedForEver(t *testing.T) {
	store, _ := repository(t)
	old := acquire(t, open(t, store))
	commit(t, old)
	next, err := open(t, store).Acquire(t.Context(), Owner{Host: "web-2", PID: 7})
	require.NoError(t, err)

	for range 2 {
		err := old.commit(t.Context(), manifest())
		require.ErrorIs(t, err, ErrFenced)
		var fenced *FencedError
		require.ErrorAs(t, err, &fenced)
		assert.Equal(t, FencedError{Epoch: 1, Owner: owner, ByEpoch: 3, By: Owner{"web-2", 7}}, *fenced)
		assert.ErrorContains(t, err, "epoch 1 of process 42 on web-1")
		assert.ErrorContains(t, err, "epoch 3 of process 7 on web-2")
	}
	session := uuid.NewString()
	_, err = old.Begin(t.Context(), session)
	require.ErrorIs(t, err, ErrFenced)

	commit(t, next)
	sound, errs := check(t, open(t, store))
	assert.Empty(t, errs)
	assert.Equal(t, 2, sound)
}

func TestSuspendedWriterIsFencedByAManifestToo(t *testing.T) {
	store, _ := repository(t)
	c := open(t, store)
	old := acquire(t, c)
	next := acquire(t, c)
	commit(t, next)
	require.NoError(t, store.Delete(t.Context(), entryName("orders", next.Epoch())))
	err := old.commit(t.Context(), manifest())
	require.ErrorIs(t, err, ErrFenced)
	assert.ErrorContains(t, err, "epoch 2 of an unknown process")
}

func TestDamageInTheTailStopsACommit(t *testing.T) {
	store, root := repository(t)
	c := open(t, store)
	w := acquire(t, c)
	require.NoError(t, os.WriteFile(entryFile(root, 2), []byte("x"), 0o600))
	require.ErrorIs(t, w.commit(t.Context(), manifest()), ErrDamaged, "it might be a newer epoch")
	assert.EqualValues(t, 4, commit(t, acquire(t, c)).Slot)
}

func TestSessionsOfOneProcessCommitSideBySide(t *testing.T) {
	store, _ := repository(t)
	c := open(t, store)
	w := acquire(t, c)
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() { assert.NoError(t, w.commit(t.Context(), manifest())) })
	}
	group.Wait()
	summaries, _ := list(t, c)
	require.Len(t, summaries, 8)
	for i, s := range summaries {
		assert.EqualValues(t, i+2, s.Slot)
	}
	_, errs := check(t, c)
	assert.Empty(t, errs)
}

func TestRacingWritersLeaveOneThatCommits(t *testing.T) {
	store, _ := repository(t)
	c := open(t, store)
	var group sync.WaitGroup
	var mu sync.Mutex
	committed := map[string]bool{}
	for range 6 {
		group.Go(func() {
			w, err := c.Acquire(t.Context(), owner)
			if !assert.NoError(t, err) {
				return
			}
			m := manifest()
			err = w.commit(t.Context(), m)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				committed[m.ID] = true
			} else {
				assert.ErrorIs(t, err, ErrFenced)
			}
		})
	}
	group.Wait()
	summaries, _ := list(t, c)
	for _, s := range summaries {
		assert.True(t, committed[s.ID])
	}
	assert.Len(t, summaries, len(committed))
	_, errs := check(t, c)
	assert.Empty(t, errs)
}

func TestCommitRefusesBeforeItStores(t *testing.T) {
	store, _ := repository(t)
	c := open(t, store)
	w := acquire(t, c)
	for want, spoil := range map[string]func(*Manifest){
		"files make":      func(m *Manifest) { m.Files++ },
		"of database":     func(m *Manifest) { m.Database = "other" },
		"too many labels": func(m *Manifest) { m.Labels["x"] = strings.Repeat("x", maxHead) },
	} {
		m := manifest()
		spoil(m)
		assert.ErrorContains(t, w.commit(t.Context(), m), want)
		assert.Zero(t, m.Slot)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, w.commit(cancelled, manifest()), context.Canceled)
	assert.EqualValues(t, 2, commit(t, w).Slot, "nothing was stored")
}

// late answers the first create with an unknown outcome and carries it out
// later: before or after the next list.
type late struct {
	blob.Store
	afterList bool
	name      string
	body      []byte
	sent      bool
}

func (l *late) Create(ctx context.Context, name string, r io.Reader) error {
	if l.sent {
		return l.Store.Create(ctx, name, r)
	}
	body, err := io.ReadAll(r)
	l.name, l.body, l.sent = name, body, true
	return errors.Join(err, blob.ErrUnknownOutcome)
}

func (l *late) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		if !l.afterList {
			l.land(ctx)
		}
		for info, err := range l.Store.List(ctx, prefix, after) {
			if !yield(info, err) {
				return
			}
		}
		l.land(ctx)
	}
}

func (l *late) land(ctx context.Context) {
	if l.body != nil {
		_ = l.Store.Create(ctx, l.name, bytes.NewReader(l.body))
		l.body = nil
	}
}

func TestCreateThatLandsLate(t *testing.T) {
	for name, after := range map[string]bool{"before the list": false, "after the list": true} {
		t.Run(name, func(t *testing.T) {
			store, _ := repository(t)
			slow := &late{Store: store, afterList: after, sent: true}
			w := acquire(t, open(t, slow))
			slow.sent = false
			m := commit(t, w)
			summaries, _ := list(t, open(t, store))
			assert.Equal(t, []Summary{m.Summary}, summaries)
			commit(t, w)
			_, errs := check(t, open(t, store))
			assert.Empty(t, errs)
		})
	}
}

func TestCancelAfterTheCreateWasSent(t *testing.T) {
	store, _ := repository(t)
	ctx, cancel := context.WithCancel(t.Context())
	plan := func(c blob.Call) blob.Fault {
		if ctx.Err() != nil || c.Verb != blob.VerbCreate || !strings.HasSuffix(c.Name, "2") {
			return blob.Fault{}
		}
		defer cancel()
		return blob.Fault{Mode: blob.Fail, Err: blob.ErrUnknownOutcome}
	}
	w := acquire(t, open(t, blob.Faulty(store, plan)))
	require.NoError(t, w.commit(ctx, manifest()), "it may have been committed, so it is seen through")
	require.Error(t, ctx.Err())
}

func TestAnswersThatNeverCome(t *testing.T) {
	store, _ := repository(t)
	silent := false
	w := acquire(t, open(t, blob.Faulty(store, func(c blob.Call) blob.Fault {
		if silent && c.Verb == blob.VerbCreate {
			return blob.Fault{Mode: blob.Fail, Err: blob.ErrUnknownOutcome}
		}
		return blob.Fault{}
	})))
	silent = true
	m := manifest()
	assert.ErrorIs(t, w.commit(t.Context(), m), blob.ErrUnknownOutcome)
	assert.Zero(t, m.Slot)
}

// TestOneFaultAtEveryCall also pins the calls that taking a snapshot makes.
func TestOneFaultAtEveryCall(t *testing.T) {
	lost := []blob.Fault{{Mode: blob.Lose}, {Mode: blob.Fail, Err: blob.ErrUnknownOutcome}}
	failed := []blob.Fault{{Mode: blob.Fail}, {Mode: blob.Cut}}
	calls := []blob.Verb{"open", "list", "list", "create", "list", "list", "create", "list"}
	for n := 2; n <= len(calls); n++ {
		created, afterwards := calls[n-1] == blob.VerbCreate, calls[n-2] == blob.VerbCreate
		for _, fault := range append(lost, failed...) {
			store := remembered(t)
			var made []blob.Verb
			_, m, err := attempt(t, blob.Faulty(store, func(c blob.Call) blob.Fault {
				made = append(made, c.Verb)
				if c.Number == n {
					return fault
				}
				return blob.Fault{}
			}))
			verdict(t, open(t, store), m, err)
			assert.Equal(t, calls[:n], made[:n])
			switch {
			case created && (fault.Mode == blob.Lose || fault.Err != nil):
				assert.NoError(t, err, "a lost answer of call %d is found out", n)
			case afterwards:
				assert.NoError(t, err, "what is created stands, and call %d, which makes sure, is repeated", n)
			case created || fault.Mode != blob.Cut: // there may be nothing to cut
				assert.Error(t, err, "call %d", n)
			}
		}
	}
}

// TestFaults drives a writer through random faults of every kind at every call,
// with and without a competitor that takes over in between, and compares what it
// reports with what is in the store.
func TestFaults(t *testing.T) {
	modes := []blob.Fault{
		{Mode: blob.Lose}, {Mode: blob.Fail, Err: blob.ErrUnknownOutcome},
		{Mode: blob.Fail}, {Mode: blob.Cut, At: 40}, {Mode: blob.Cut},
	}
	reports := map[string]int{}
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		store := remembered(t)
		rival, takeover := open(t, store), 0
		if seed%2 == 0 {
			takeover = 5 + random.IntN(4)
		}
		w, m, err := attempt(t, blob.Faulty(store, func(c blob.Call) blob.Fault {
			if c.Number == takeover {
				commit(t, acquire(t, rival))
			}
			switch {
			case c.Number == 1: // Open reads the format; nothing to see there
			case c.Verb == blob.VerbCreate && random.IntN(4) > 0:
				return modes[random.IntN(5)/2] // mostly lost answers
			case random.IntN(10) == 0:
				return modes[random.IntN(len(modes))]
			}
			return blob.Fault{}
		}))
		reports[verdict(t, rival, m, err)]++
		_, errs := check(t, rival)
		require.Empty(t, errs, "seed %d", seed)
		if w != nil && err == nil {
			assert.Equal(t, w.Epoch(), m.Epoch)
		}
		commit(t, acquire(t, rival)) // the next one succeeds
	}
	t.Log(reports)
	for _, want := range []string{"committed", "failed", "fenced", "unknown and committed", "unknown and absent"} {
		assert.NotZero(t, reports[want], want)
	}
}

func attempt(t *testing.T, store blob.Store) (*Writer, *Manifest, error) {
	m := manifest()
	c, err := Open(t.Context(), store, "orders")
	require.NoError(t, err)
	w, err := c.Acquire(t.Context(), owner)
	if err != nil {
		return nil, m, errors.New("not acquired")
	}
	return w, m, w.commit(t.Context(), m)
}

// verdict compares a report with the store: the snapshot is there exactly once,
// or not at all, as it says.
func verdict(t *testing.T, c *Catalog, m *Manifest, report error) string {
	t.Helper()
	summaries, errs := list(t, c)
	require.Empty(t, errs)
	found := 0
	for _, s := range summaries {
		if s.ID == m.ID {
			found++
		}
	}
	require.LessOrEqual(t, found, 1)
	switch {
	case report == nil:
		require.Equal(t, 1, found)
		return "committed"
	case errors.Is(report, blob.ErrUnknownOutcome) && found == 1:
		return "unknown and committed"
	case errors.Is(report, blob.ErrUnknownOutcome):
		return "unknown and absent"
	}
	require.Zero(t, found, "%v", report)
	if errors.Is(report, ErrFenced) {
		return "fenced"
	}
	return "failed"
}

func TestIntents(t *testing.T) {
	store, root := repository(t)
	c := open(t, store)
	w := acquire(t, c)
	commit(t, w)
	first, second := uuid.NewString(), uuid.NewString()
	one, err := w.Begin(t.Context(), first)
	require.NoError(t, err)
	two, err := w.Begin(t.Context(), second)
	require.NoError(t, err)
	_, err = w.Begin(t.Context(), first)
	require.Error(t, err, "a session is announced once")
	_, err = w.Begin(t.Context(), "../x")
	require.Error(t, err)

	announced := intents(t, c)
	require.Len(t, announced, 2)
	got := announced[first]
	assert.EqualValues(t, 1, got.Epoch)
	assert.EqualValues(t, 2, got.Slot)
	assert.Equal(t, owner, got.Owner)

	path := filepath.Join(root, filepath.FromSlash(c.intentName(second)))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	overwrite(t, path, bytes.Replace(data, []byte(`"epoch": 1`), []byte(`"epoch": 2`), 1))
	_, err = c.readIntent(t.Context(), c.intentName(second))
	assert.ErrorIs(t, err, ErrDamaged)

	for range 2 {
		require.NoError(t, one.Close(t.Context(), nil))
	}
	require.NoError(t, two.Close(t.Context(), errors.New("it failed before it stored anything")))
	for range c.Intents(t.Context()) {
		t.Fatal("an intent is left")
	}
}

func intents(t *testing.T, c *Catalog) map[string]Intent {
	t.Helper()
	all := map[string]Intent{}
	for i, err := range c.Intents(t.Context()) {
		require.NoError(t, err)
		all[i.Session] = i
	}
	return all
}
