package host_test

import (
	"cmp"
	"context"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// TestPeers goes through the ways in which programs of this kind have lost data,
// or are known to be able to.
func TestPeers(t *testing.T) {
	for _, peer := range []struct {
		what   string
		source string
		show   func(*testing.T)
	}{
		{"purge deletes what was uploaded and is in no manifest yet", "cassandra-medusa #363, vault #165", purgeDuringUpload},
		{"clean-up after an error deletes what was published before it", "ClickHouse #112271", errorAfterPublish},
		{"increment on a base whose data is gone", "ClickHouse #112395", baseIsGone},
		{"retention removes what a restore reads", "Litestream #1307, #224", pruneDuringRestore},
		{"create-if-absent succeeds where the name was removed", "SlateDB RFC 26", nameIsFreeAgain},
		{"published in another order than named, with a purge between", "SlateDB RFC 29", publishedInOtherOrder},
		{"maintenance that slept deletes what is in use by now", "kopia #1949", pruneThatSlept},
		{"a delete breaks the chain of increments", "clickhouse-backup #1493", chainIsBroken},
		{"power cut during a restore leaves a database that is corrupt", "rocksdb #8500", powerCutDuringRestore},
		{"a restored database uses its numbers again", "Litestream #781", numbersUsedAgain},
		{"503 SlowDown ends a purge", "pgbackrest #2040", slowDownDuringPrune},
		{"a delete that comes late, or twice, hits a new object", "FormSG #9701", deletesComeLate},
	} {
		t.Run(peer.what, func(t *testing.T) {
			t.Log(peer.source)
			peer.show(t)
		})
	}
}

// pause holds up a store at one call.
type pause struct {
	reached chan struct{} // closed when the call is about to be made
	goOn    chan struct{} // to be closed by whoever lets it be made
}

// paused returns a store that waits before the first call that matches.
func paused(store blob.Store, match func(blob.Call) bool) (blob.Store, pause) {
	p := pause{make(chan struct{}), make(chan struct{})}
	waited := false
	return blob.Faulty(store, func(c blob.Call) blob.Fault {
		if !waited && match(c) {
			waited = true
			close(p.reached)
			<-p.goOn
		}
		return blob.Fault{}
	}), p
}

// newHome is a pair of databases with a repository in a directory.
func newHome(t *testing.T) *pair {
	t.Helper()
	return newPair(t, site{local, filepath.Join(t.TempDir(), "repo")})
}

// write changes the database.
func (w *pair) write(t *testing.T, seed uint64) {
	t.Helper()
	dbtest.Fill(t, w.other.Database.Path, "orders", seed, 40)
	w.digest = dbtest.Digest(t, w.other.Database.Path)
}

// begin opens a host on a store and begins a snapshot.
func (w *pair) begin(t *testing.T, store blob.Store, strategy string) (*host.Host, *host.Operation) {
	t.Helper()
	h := open(t, w.other, append(native, host.Offline(), host.WithStore(store))...)
	op, err := h.Begin(t.Context(), host.SnapshotOptions{Strategy: strategy})
	require.NoError(t, err)
	return h, op
}

// finish waits for a snapshot and returns its id.
func finish(t *testing.T, h *host.Host, op *host.Operation) string {
	t.Helper()
	m, err := op.Wait()
	require.NoError(t, err)
	require.NoError(t, h.Close())
	return m.ID
}

// increment takes an incremental snapshot.
func (w *pair) increment(t *testing.T) *host.Manifest {
	t.Helper()
	h, op := w.begin(t, w.store, "incremental")
	finish(t, h, op)
	m, _ := op.Wait()
	return m
}

func purgeDuringUpload(t *testing.T) {
	w := newHome(t)
	store, p := paused(w.store, commits())
	h, op := w.begin(t, store, "incremental")
	<-p.reached
	uploaded := names(t, w.store, "objects/")
	require.NotEmpty(t, uploaded)
	w.remove(t)
	assert.Equal(t, uploaded, names(t, w.store, "objects/"))
	close(p.goOn)
	kept := map[string]string{finish(t, h, op): w.digest}
	m := w.increment(t)
	require.NotZero(t, m.BytesReused, "it trusts what is there")
	kept[m.ID] = w.digest
	w.requireKept(t, kept)
}

func errorAfterPublish(t *testing.T) {
	w := newHome(t)
	commit, dead := commits(), false
	h, op := w.begin(t, blob.Faulty(w.store, func(c blob.Call) blob.Fault {
		switch {
		case dead:
			return blob.Fault{Mode: blob.Fail}
		case commit(c):
			dead = true
			return blob.Fault{Mode: blob.Lose}
		}
		return blob.Fault{}
	}), "incremental")
	_, err := op.Wait()
	require.ErrorIs(t, err, blob.ErrUnknownOutcome, "nobody can tell it")
	require.NoError(t, h.Close())
	kept := map[string]string{op.ID(): w.digest}
	w.remove(t)
	w.requireKept(t, kept)
	kept[w.increment(t).ID] = w.digest
	w.remove(t)
	w.requireKept(t, kept)
}

func baseIsGone(t *testing.T) {
	w := newHome(t)
	base := w.increment(t)
	shared := objectsOf(base, func(f *host.File) bool { return f.Identity != "" })
	require.NotEmpty(t, shared)
	require.NoError(t, w.store.Delete(t.Context(), shared...))
	kept := map[string]string{w.increment(t).ID: w.digest, base.ID: w.digest} // what is missing is stored again, for both
	w.requireKept(t, kept)

	// The base goes after it was chosen.
	store, p := paused(w.store, commits())
	h, op := w.begin(t, store, "incremental")
	<-p.reached
	w.remove(t, slices.Collect(maps.Keys(kept))...)
	close(p.goOn)
	if m, err := op.Wait(); err == nil {
		w.requireKept(t, map[string]string{m.ID: w.digest})
	} else {
		w.requireKept(t, nil)
	}
	require.NoError(t, h.Close())
}

func pruneDuringRestore(t *testing.T) {
	w := newHome(t)
	m := w.increment(t)
	store, p := paused(w.store, fetches())
	r, err := host.OpenRepository(t.Context(), w.other, host.WithStore(store))
	require.NoError(t, err)
	target := filepath.Join(t.TempDir(), "restored")
	outcome := make(chan error)
	go func() {
		_, err := r.Restore(context.Background(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
		outcome <- err
	}()
	<-p.reached
	w.remove(t, m.ID)
	w.remove(t)
	w.requireKept(t, nil)
	close(p.goOn)
	require.NoError(t, <-outcome)
	assert.Equal(t, w.digest, dbtest.Digest(t, target))
	w.take(t)
	w.remove(t)
	w.remove(t)
	assert.ElementsMatch(t, referenced(t, w.repository(t)), names(t, w.store, "objects/"), "afterwards it all goes")
}

func nameIsFreeAgain(t *testing.T) {
	takeOver(t, site{local, filepath.Join(t.TempDir(), "repo")}, "commits", true)
}

// firstWaits holds up the uploads of the first session that has any.
type firstWaits struct {
	blob.Store
	goOn  chan struct{}
	mu    sync.Mutex
	first string
}

func (f *firstWaits) Create(ctx context.Context, name string, r io.Reader) error {
	if object, ok := strings.CutPrefix(name, "objects/"); ok && f.isFirst(object[len("0/"):len("0/")+36]) {
		<-f.goOn
	}
	return f.Store.Create(ctx, name, r)
}

func (f *firstWaits) isFirst(session string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.first = cmp.Or(f.first, session)
	return f.first == session
}

func publishedInOtherOrder(t *testing.T) {
	w := newHome(t)
	store := &firstWaits{Store: w.store, goOn: make(chan struct{})}
	h, first := w.begin(t, store, "incremental")
	store.isFirst(first.ID())
	second, err := h.Begin(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
	require.NoError(t, err)
	later, err := second.Wait()
	require.NoError(t, err)
	w.remove(t)
	close(store.goOn)
	earlier, err := first.Wait()
	require.NoError(t, err)
	require.NoError(t, h.Close())
	require.Less(t, earlier.ID, later.ID)
	require.Less(t, later.Slot, earlier.Slot)
	w.remove(t)
	w.requireKept(t, map[string]string{earlier.ID: w.digest, later.ID: w.digest})
}

func pruneThatSlept(t *testing.T) {
	w := newHome(t)
	base := w.increment(t)
	w.write(t, 1)
	kept := map[string]string{w.increment(t).ID: w.digest}
	store, p := paused(w.store, func(c blob.Call) bool {
		return c.Verb == blob.VerbDelete && strings.Contains(c.Name, "objects/")
	})
	r, err := host.OpenRepository(t.Context(), w.other, host.WithStore(store))
	require.NoError(t, err)
	outcome := make(chan error)
	go func() {
		_, err := r.Prune(context.Background(), host.PruneOptions{Remove: []string{base.ID}, Sweep: true})
		outcome <- err
	}()
	<-p.reached // it knows what it is going to delete
	for seed := range uint64(3) {
		w.write(t, seed+2)
		kept[w.increment(t).ID] = w.digest
	}
	close(p.goOn)
	require.NoError(t, <-outcome)
	w.requireKept(t, kept)
}

func chainIsBroken(t *testing.T) {
	w := newHome(t)
	var chain []string
	for seed := range uint64(4) {
		w.write(t, seed)
		chain = append(chain, w.increment(t).ID)
	}
	w.remove(t, chain[0], chain[2])
	w.remove(t, chain[1])
	w.requireKept(t, map[string]string{chain[3]: w.digest})
}

// powerCutDuringRestore: what was not synced may be lost, so everything is before
// the target gets its name.
func powerCutDuringRestore(t *testing.T) {
	w := newHome(t)
	m := w.increment(t)
	target := filepath.Join(t.TempDir(), "restored")
	var ops []durable.Op
	w.other.Repository.Transfer.Workers = 1 // so that changes come one after the other
	heal := durable.Intercept(func(op durable.Op, change func() error) error {
		if strings.HasPrefix(op.Path, filepath.Dir(target)) {
			ops = append(ops, op)
		}
		return change()
	})
	_, err := w.repository(t).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
	heal()
	require.NoError(t, err)

	at := func(verb, path string) int {
		return slices.IndexFunc(ops, func(o durable.Op) bool { return o.Verb == verb && o.Path == path })
	}
	published := at("rename", target)
	require.Positive(t, published)
	assert.Equal(t, []durable.Op{{Verb: "sync", Path: filepath.Dir(target)}, {Verb: "sync", Path: filepath.Dir(target)}}, ops[published+1:])
	written := 0
	for i, op := range ops {
		if op.Verb == "write" {
			written++
			assert.Equal(t, durable.Op{Verb: "sync", Path: op.Path}, ops[i+1])
		}
	}
	assert.GreaterOrEqual(t, written, m.Files)
	last := ops[published-1]
	assert.Equal(t, "sync", last.Verb, "of the directory that becomes the target")
	assert.Contains(t, last.Path, ".restored.restore-")
}

func numbersUsedAgain(t *testing.T) {
	w := newHome(t)
	first := w.increment(t)
	w.write(t, 1)
	kept := map[string]string{first.ID: dbtest.Digest(t, restoreOf(t, w, first.ID)), w.increment(t).ID: w.digest}

	fork := restoreOf(t, w, first.ID)
	w.other = at(w.other, fork)
	w.write(t, 2) // a table of the same number as the one of the second snapshot
	m := w.increment(t)
	require.NotZero(t, m.BytesReused)
	kept[m.ID] = w.digest
	w.write(t, 3)
	kept[w.increment(t).ID] = w.digest
	assert.Len(t, slices.Compact(slices.Sorted(maps.Values(kept))), 4, "they differ")
	w.requireKept(t, kept)
}

func restoreOf(t *testing.T, w *pair, id string) string {
	t.Helper()
	restored, err := w.repository(t).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: filepath.Join(t.TempDir(), "db")})
	require.NoError(t, err)
	return restored.Target
}

func slowDownDuringPrune(t *testing.T) {
	server := storetest.Versity(t)
	server.Env(t)
	w := newPair(t, site{server.Endpoint, server.Bucket})
	first := w.increment(t)
	w.write(t, 1)
	kept := map[string]string{w.increment(t).ID: w.digest}
	through := storm(t, server)
	r, err := host.OpenRepository(t.Context(), w.other, host.WithStore(through))
	require.NoError(t, err)
	_, err = r.Prune(t.Context(), host.PruneOptions{Remove: []string{first.ID}, Sweep: true})
	require.NoError(t, err)
	assert.NotZero(t, through.Stats().Retries)
	w.requireKept(t, kept)
	assert.ElementsMatch(t, referenced(t, w.repository(t)), names(t, w.store, "objects/"))
}

func deletesComeLate(t *testing.T) {
	w := newHome(t)
	first := w.increment(t)
	w.write(t, 1)
	kept := map[string]string{w.increment(t).ID: w.digest}
	var deleted []string
	r, err := host.OpenRepository(t.Context(), w.other, host.WithStore(blob.Faulty(w.store, func(c blob.Call) blob.Fault {
		if c.Verb == blob.VerbDelete {
			deleted = append(deleted, strings.Fields(c.Name)...)
		}
		return blob.Fault{}
	})))
	require.NoError(t, err)
	_, err = r.Prune(t.Context(), host.PruneOptions{Remove: []string{first.ID}, Sweep: true})
	require.NoError(t, err)
	require.Contains(t, strings.Join(deleted, " "), "objects/")
	require.Contains(t, strings.Join(deleted, " "), "/entries/")
	for range 3 { // with the same bytes as before
		kept[w.take(t).ID] = w.digest
		kept[w.increment(t).ID] = w.digest
	}
	require.NoError(t, w.store.Delete(t.Context(), deleted...))
	w.requireKept(t, kept)
}
