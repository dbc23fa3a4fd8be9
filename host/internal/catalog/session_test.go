package catalog

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
)

func begin(t *testing.T, w *Writer) *Session {
	t.Helper()
	s, err := w.Begin(t.Context(), uuid.Must(uuid.NewV7()).String())
	require.NoError(t, err)
	return s
}

// stored notes an object that a session has stored whole, or begun.
func stored(t *testing.T, s *Session, key string, whole bool) Stored {
	t.Helper()
	noted := Stored{Key: key, Object: s.Mint(), Size: 7}
	if whole {
		noted.Stored, noted.Digest, noted.CRC32C = 7, strings.Repeat("0a", 32), 42
	}
	require.NoError(t, s.Note(t.Context(), noted))
	return noted
}

var errKilled = errors.New("killed")

func TestASessionGoesOnFromAnother(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	s := begin(t, w)
	a, b := stored(t, s, "a", true), stored(t, s, "b", false)
	c1, c2 := stored(t, s, "c", false), stored(t, s, "c", true)
	require.NotEqual(t, c1.Object, c2.Object)
	require.NoError(t, s.Close(t.Context(), errKilled))

	for _, heir := range []*Session{begin(t, w), begin(t, acquire(t, c.Catalog))} {
		assert.Contains(t, heir.intent.Adopts, s.intent.Session)
		for _, want := range []Stored{a, b, c2} {
			got, ok := heir.Claim(want.Key)
			assert.True(t, ok)
			assert.Equal(t, want, got)
			assert.Equal(t, want.Digest != "", got.Whole())
			_, ok = heir.Claim(want.Key)
			assert.False(t, ok, "two files must not have one object")
		}
		_, ok := heir.Claim("")
		assert.False(t, ok)
	}
}

func TestNotesAreWrittenNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClocked(t)
		s := begin(t, acquire(t, c.Catalog))
		notes := func() int { return len(c.names("db/orders/notes/")) }
		stored(t, s, "a", true)
		assert.Zero(t, notes(), "one at a time would be slow")
		stored(t, s, "b", false)
		assert.Equal(t, 1, notes(), "what has begun may take long")
		time.Sleep(notesEvery)
		stored(t, s, "c", true)
		assert.Equal(t, 2, notes())
		for range notesEach {
			stored(t, s, uuid.NewString(), true)
		}
		assert.Equal(t, 3, notes())
		require.NoError(t, s.Close(t.Context(), errKilled))
		n := 0
		for note, err := range c.notes(t.Context(), s.intent.Session) {
			require.NoError(t, err)
			n += len(note.Stored)
		}
		assert.Equal(t, 3+notesEach, n)
	})
}

// TestANoteOfUnknownFate must not keep the next one from being written.
func TestANoteOfUnknownFate(t *testing.T) {
	c := newClocked(t)
	silent := false
	store := blob.Faulty(c.store, func(call blob.Call) blob.Fault {
		if silent && strings.Contains(call.Name, "/notes/") {
			return blob.Fault{Mode: blob.Lose, Err: blob.ErrUnknownOutcome}
		}
		return blob.Fault{}
	})
	s := begin(t, acquire(t, &Catalog{store: store, database: "orders"}))
	silent = true
	lost := Stored{Key: "a", Object: s.Mint(), Size: 7}
	require.ErrorIs(t, s.Note(t.Context(), lost), blob.ErrUnknownOutcome)
	silent = false
	stored(t, s, "b", false)
	require.NoError(t, s.Close(t.Context(), errKilled))
	heir := begin(t, acquire(t, c.Catalog))
	for _, key := range []string{"a", "b"} {
		_, ok := heir.Claim(key)
		assert.True(t, ok, key)
	}
}

// TestOnlyACommitWithdraws: and one that failed before it stored anything.
func TestOnlyACommitWithdraws(t *testing.T) {
	for name, test := range map[string]struct {
		err  error
		left int
	}{
		"committed":       {nil, 0},
		"killed":          {errKilled, 2},
		"fenced":          {&FencedError{}, 2},
		"unknown outcome": {blob.ErrUnknownOutcome, 2},
	} {
		c := newClocked(t)
		w := acquire(t, c.Catalog)
		dead := begin(t, w)
		stored(t, dead, "a", false)
		require.NoError(t, dead.Close(t.Context(), errKilled))
		heir := begin(t, w)
		stored(t, heir, "b", false)
		require.NoError(t, heir.Close(t.Context(), test.err))
		assert.Len(t, c.names("db/orders/intents/"), test.left, name)
		assert.Len(t, c.names("db/orders/notes/"), test.left, name)
		assert.Empty(t, w.running, name)
	}
}

func TestDamagedNotesAndIntentsLeaveNothing(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	s := begin(t, w)
	stored(t, s, "a", false)
	stored(t, s, "b", false)
	c.spoil(c.names("db/orders/notes/")[0])
	require.NoError(t, s.Close(t.Context(), errKilled))
	heir := begin(t, w)
	_, ok := heir.Claim("a")
	assert.False(t, ok)
	_, ok = heir.Claim("b")
	assert.True(t, ok)
	require.NoError(t, heir.Close(t.Context(), errKilled))

	c.spoil(c.intentName(s.intent.Session))
	heir = begin(t, w)
	_, ok = heir.Claim("b")
	assert.False(t, ok, "nobody would protect it")
}

func TestARunningSessionIsAdoptedByNobody(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	s := begin(t, w)
	stored(t, s, "a", false)
	_, err := w.Begin(t.Context(), s.intent.Session)
	require.Error(t, err, "it is announced once")
	assert.Empty(t, begin(t, w).intent.Adopts)
}

// TestAStaleWriterAdoptsNobody: it was suspended after it had found that it is not
// fenced, and finds the session of the writer that took over.
func TestAStaleWriterAdoptsNobody(t *testing.T) {
	c := newClocked(t)
	store := &peek{Store: c.store}
	old := acquire(t, &Catalog{store: store, database: "orders"})
	store.before = func() { stored(t, begin(t, acquire(t, c.Catalog)), "a", false) }
	_, err := old.Begin(t.Context(), uuid.NewString())
	var fenced *FencedError
	require.ErrorAs(t, err, &fenced)
	assert.EqualValues(t, 2, fenced.ByEpoch)
	assert.Len(t, c.names("db/orders/intents/"), 1)
}

// peek runs something before intents are listed.
type peek struct {
	blob.Store
	before func()
}

func (p *peek) List(ctx context.Context, prefix, after string) iter.Seq2[blob.Info, error] {
	if p.before != nil && strings.HasSuffix(prefix, "/intents/") {
		do := p.before
		p.before = nil
		do()
	}
	return p.Store.List(ctx, prefix, after)
}

// TestAnHeirProtectsWhatItsElderHadAdopted: the notes of a session speak of what it
// had taken over as well.
func TestAnHeirProtectsWhatItsElderHadAdopted(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	first := begin(t, w)
	left := stored(t, first, "a", true)
	require.NoError(t, first.Close(t.Context(), errKilled))
	second := begin(t, w)
	claimed, ok := second.Claim("a")
	require.True(t, ok)
	require.NoError(t, second.Note(t.Context(), claimed))
	require.NoError(t, second.Close(t.Context(), errKilled))
	require.NoError(t, c.store.Delete(t.Context(), c.intentName(first.intent.Session)), "prune has buried it meanwhile")

	third := begin(t, w)
	assert.ElementsMatch(t, []string{first.intent.Session, second.intent.Session}, third.intent.Adopts)
	got, ok := third.Claim("a")
	assert.True(t, ok)
	assert.Equal(t, left, got)
}

func TestAdoptionIsBounded(t *testing.T) {
	c := newClocked(t)
	w := acquire(t, c.Catalog)
	oldest, newest := uuid.Nil.String(), uuid.Max.String()
	for n := range maxAdopts + 3 {
		i := Intent{Version: FormatVersion, Session: uuid.NewString(), Epoch: w.Epoch(), Slot: w.Epoch()}
		switch n {
		case 0:
			i.Session = oldest
		case 1:
			i.Session = newest
		}
		data, err := sealDocument(&i, &i.Digest)
		require.NoError(t, err)
		require.NoError(t, createOwn(t.Context(), c.store, c.intentName(i.Session), data))
	}
	d := note{Version: FormatVersion, Session: newest, Stored: []Stored{
		{Key: "its own", Object: ObjectName(newest, 1)}, {Key: "inherited", Object: ObjectName(oldest, 1)},
	}}
	data, err := sealDocument(&d, &d.Digest)
	require.NoError(t, err)
	require.NoError(t, createOwn(t.Context(), c.store, notesPrefix("orders")+newest+"-000001", data))

	heir := begin(t, w)
	assert.Len(t, heir.intent.Adopts, maxAdopts)
	_, ok := heir.Claim("its own")
	assert.True(t, ok)
	_, ok = heir.Claim("inherited")
	assert.False(t, ok, "nobody protects what was left of the oldest")
	for _, err := range c.Intents(t.Context()) {
		assert.NoError(t, err, "each can still be read")
	}
}
