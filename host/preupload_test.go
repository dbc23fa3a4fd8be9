package host_test

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// ahead is an application with a host that stores files between snapshots.
type ahead struct {
	*application
	cfg   *config.Config
	host  *host.Host
	store *counting
}

// counting counts the bytes of objects on their way into a store.
type counting struct {
	blob.Store
	mu    sync.Mutex
	bytes int64
}

func (c *counting) Create(ctx context.Context, name string, r io.Reader) error {
	if strings.HasPrefix(name, "objects/") {
		r = io.TeeReader(r, c)
	}
	return c.Store.Create(ctx, name, r)
}

// Write implements io.Writer.
func (c *counting) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += int64(len(p))
	return len(p), nil
}

// taken returns the bytes since it was asked last.
func (c *counting) taken() (n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, c.bytes = c.bytes, 0
	return n
}

// atOnce has files stored when a test says so, and not before.
var atOnce = host.WithPace(time.Hour, 0)

// newAhead makes a database and its first snapshot.
func newAhead(t *testing.T, lines ...string) *ahead {
	path := filepath.Join(t.TempDir(), "db")
	a := &ahead{application: launch(t, path, "default", "other")}
	t.Cleanup(a.quit)
	for _, h := range a.families {
		require.NoError(t, a.db.SetOptionsCF(h, []string{"disable_auto_compactions"}, []string{"true"}))
	}
	a.cfg = dbtest.Config(t, path, lines...)
	a.cfg.Snapshot.Strategy, a.cfg.Snapshot.Preupload = "incremental", true
	a.fill(t, "first", 300)
	a.open(t, atOnce)
	a.snapshot(t)
	a.store.taken()
	return a
}

func (a *ahead) open(t *testing.T, options ...host.Option) {
	a.store = &counting{Store: store(t, a.cfg)}
	a.host = open(t, a.cfg, append([]host.Option{a.lend(), host.WithStore(a.store)}, append(options, native...)...)...)
}

// fill writes and flushes.
func (a *ahead) fill(t *testing.T, name string, count int) {
	a.put(t, name, count)
	a.flush(t)
}

func (a *ahead) put(t *testing.T, name string, count int) {
	for i := range count {
		key := fmt.Appendf(nil, "%s-%06d", name, i)
		require.NoError(t, a.db.PutCF(a.write, a.families["default"], key, []byte(strings.Repeat(string(key), 50))))
	}
}

func (a *ahead) snapshot(t *testing.T) *host.Manifest {
	t.Helper()
	m, err := a.host.Snapshot(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	return m
}

// ahead stores what there is, and returns the bytes.
func (a *ahead) ahead(t *testing.T) int64 {
	t.Helper()
	require.NoError(t, host.StoreAhead(t.Context(), a.host))
	return a.store.taken()
}

// requireClaimed takes a snapshot that stores nothing but small files that change.
func (a *ahead) requireClaimed(t *testing.T, bytes int64) *host.Manifest {
	t.Helper()
	before := a.host.Preuploaded().Claimed
	m := a.snapshot(t)
	rest := a.store.taken()
	for _, f := range m.Contents {
		if f.Kind != abi.KindTable && f.Kind != abi.KindBlob {
			rest -= f.StoredSize()
		}
	}
	assert.Zero(t, rest, "tables and blob files are stored once")
	assert.Equal(t, bytes, a.host.Preuploaded().Claimed-before)
	a.requireRestored(t, m)
	requireSound(t, a.cfg)
	return m
}

func (a *ahead) requireRestored(t *testing.T, m *host.Manifest) {
	t.Helper()
	want, err := a.host.Digest(t.Context())
	require.NoError(t, err)
	assert.Equal(t, want.Digest, dbtest.Digest(t, restore(t, a.cfg, m.ID)))
}

func (a *ahead) flush(t *testing.T) {
	o := grocksdb.NewDefaultFlushOptions()
	defer o.Destroy()
	require.NoError(t, a.db.FlushCF(a.families["default"], o))
}

func (a *ahead) compact(t *testing.T) {
	o := grocksdb.NewCompactRangeOptions()
	defer o.Destroy()
	o.SetBottommostLevelCompaction(grocksdb.KForce)
	a.db.CompactRangeCFOpt(a.families["default"], grocksdb.Range{}, o)
}

// TestPreuploadIsClaimed stores tables and blob files before a snapshot, which then
// stores none, and after the snapshot those that have come since.
func TestPreuploadIsClaimed(t *testing.T) {
	a := newAhead(t)
	assert.Zero(t, a.ahead(t), "the snapshot has it all")
	assert.Empty(t, intents(t, a.cfg), "there was nothing to announce")
	for round := range 3 {
		a.fill(t, fmt.Sprint("more", round), 300)
		stored := a.ahead(t)
		assert.Greater(t, stored, int64(100_000))
		assert.Zero(t, a.ahead(t), "once")
		assert.Len(t, intents(t, a.cfg), 1)
		a.requireClaimed(t, stored)
		assert.Empty(t, intents(t, a.cfg))
	}
	assert.Zero(t, a.host.Preuploaded().Wasted)
	assert.Equal(t, a.host.Preuploaded().Stored, a.host.Preuploaded().Claimed)
}

// TestPreuploadEncrypted claims what is encrypted, and knows the digests by which files
// that are kept on this machine are proven.
func TestPreuploadEncrypted(t *testing.T) {
	_, both := newKey(t)
	a := newAhead(t, both, "[local]", "keep = 1")
	a.fill(t, "more", 300)
	assert.Positive(t, a.ahead(t))
	m := a.requireClaimed(t, a.host.Preuploaded().Stored)
	assert.Positive(t, a.host.Preuploaded().Claimed)
	restored := claimed(t, a.cfg, host.RestoreOptions{Snapshots: []string{m.ID}})
	assert.Zero(t, restored.Bytes, "all of it is here")
	assert.Equal(t, m.BytesFull, restored.Local)
}

// TestPreuploadLeavesPacksAlone leaves small files to the snapshot, and all of them
// where a strategy stores no files.
func TestPreuploadLeavesPacksAlone(t *testing.T) {
	a := newAhead(t)
	require.NoError(t, a.host.Close())
	a.cfg = packed(a.cfg)
	a.open(t, atOnce)
	a.fill(t, "more", 20)
	assert.Zero(t, a.ahead(t))
	require.NoError(t, a.host.Close())
	a.cfg = at(a.cfg, a.cfg.Database.Path)
	a.cfg.Repository.Pack, a.cfg.Snapshot.Strategy = nil, "canonical"
	a.open(t, atOnce)
	a.snapshot(t)
	a.fill(t, "again", 300)
	a.store.taken()
	assert.Zero(t, a.ahead(t))
}

// TestPreuploadOutlivesItsProcess leaves what was stored to the next host, through a
// snapshot that fails, and to a session of its own kind.
func TestPreuploadOutlivesItsProcess(t *testing.T) {
	a := newAhead(t)
	a.fill(t, "more", 300)
	stored := a.ahead(t)
	require.NoError(t, a.host.Close())
	for range 2 {
		commits := nth(2, "/entries/") // the first is the epoch
		broken := blob.Faulty(store(t, a.cfg), func(c blob.Call) blob.Fault {
			return blob.Fault{Mode: map[bool]blob.Mode{true: blob.Fail}[commits(c)]}
		})
		h := open(t, a.cfg, append([]host.Option{a.lend(), host.WithStore(broken), atOnce}, native...)...)
		require.NoError(t, host.StoreAhead(t.Context(), h))
		_, err := h.Snapshot(t.Context(), host.SnapshotOptions{})
		require.ErrorIs(t, err, blob.ErrFault)
		require.NoError(t, h.Close())
	}
	a.open(t, atOnce)
	assert.Zero(t, a.ahead(t))
	a.requireClaimed(t, stored)
	assert.Empty(t, intents(t, a.cfg))
}

// TestPreuploadOfWhatIsCompactedAway counts it as wasted, and prune sweeps it once a
// snapshot was taken, and not before.
func TestPreuploadOfWhatIsCompactedAway(t *testing.T) {
	a := newAhead(t, "[retention]", `grace = "0s"`)
	a.fill(t, "first", 200) // again
	stored := a.ahead(t)
	assert.Zero(t, pruneAll(t, a.cfg).Objects, "a snapshot may claim it")
	a.compact(t)
	require.NoError(t, host.StoreAhead(t.Context(), a.host))
	m := a.snapshot(t)
	a.requireRestored(t, m)
	count := a.host.Preuploaded()
	assert.Positive(t, count.Wasted)
	assert.LessOrEqual(t, count.Wasted, stored)
	assert.Equal(t, count.Stored, count.Claimed+count.Wasted)
	assert.Positive(t, pruneAll(t, a.cfg).Objects)
	a.requireRestored(t, m)
	assert.ElementsMatch(t, referenced(t, repository(t, a.cfg)), names(t, store(t, a.cfg), "objects/"))
}

// TestPreuploadByItself stores what was written, memtables included, once nobody
// writes any more. A snapshot that begins meanwhile does not wait for it.
func TestPreuploadByItself(t *testing.T) {
	a := newAhead(t)
	require.NoError(t, a.host.Close())
	goroutines := runtime.NumGoroutine()
	const every = 5 * time.Millisecond
	a.open(t, host.WithPace(every, 4*every))
	require.NoError(t, a.db.SetOptionsCF(a.families["default"], []string{"write_buffer_size"}, []string{"16777216"}))
	a.fill(t, "less", 1) // the option counts from the next memtable on
	a.put(t, "more", 3000)
	soon(t, func() bool { return a.unflushed(t) == 0 }, "memtables are flushed")
	at := a.host.Preuploaded().Stored
	soon(t, func() bool {
		last := at
		time.Sleep(10 * every)
		at = a.host.Preuploaded().Stored
		return at > 1_000_000 && at == last
	}, "files are stored")
	a.store.taken()
	a.requireClaimed(t, at)

	a.fill(t, "again", 300)
	soon(t, func() bool { return a.host.Preuploaded().Stored > at }, "it goes on")
	require.NoError(t, a.host.Close())
	soon(t, func() bool { return runtime.NumGoroutine() <= goroutines }, "goroutines: %d before", goroutines)
}

// unflushed returns the number of records in memtables.
func (a *ahead) unflushed(t *testing.T) int {
	n, err := strconv.Atoi(a.db.GetPropertyCF("rocksdb.num-entries-active-mem-table", a.families["default"]))
	require.NoError(t, err)
	return n
}

// TestSnapshotInterruptsPreupload takes a snapshot while a file is being stored.
func TestSnapshotInterruptsPreupload(t *testing.T) {
	a := newAhead(t)
	require.NoError(t, a.host.Close())
	gate := newGate(store(t, a.cfg))
	h := open(t, a.cfg, append([]host.Option{a.lend(), host.WithStore(gate), atOnce}, native...)...)
	a.fill(t, "more", 300)
	ended := make(chan error, 1)
	go func() { ended <- host.StoreAhead(t.Context(), h) }()
	soon(t, func() bool { return len(intents(t, a.cfg)) > 0 }, "something is stored")
	op, err := h.Begin(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	require.NoError(t, <-ended, "it was interrupted")
	require.NoError(t, host.StoreAhead(t.Context(), h), "it does nothing beside a snapshot")
	gate.open()
	m, err := op.Wait()
	require.NoError(t, err)
	a.host = h
	a.requireRestored(t, m)
	assert.Zero(t, h.Preuploaded())
	assert.Empty(t, intents(t, a.cfg))
}

// TestPreuploadFenced stops storing when another host has taken over.
func TestPreuploadFenced(t *testing.T) {
	a := newAhead(t)
	a.fill(t, "more", 300)
	a.ahead(t)
	c, err := catalog.Open(t.Context(), store(t, a.cfg), a.cfg.Repository.Name)
	require.NoError(t, err)
	_, err = c.Acquire(t.Context(), catalog.Owner{Host: "elsewhere", PID: 1})
	require.NoError(t, err)
	a.fill(t, "again", 300)
	assert.ErrorIs(t, host.StoreAhead(t.Context(), a.host), catalog.ErrFenced)
	assert.Zero(t, a.store.taken())
	_, err = a.host.Snapshot(t.Context(), host.SnapshotOptions{})
	requireFenced(t, err)
	require.NoError(t, a.host.Close())
}

// TestPreuploadBesideADrop drops a column family while memtables are flushed between
// snapshots. No snapshot is under way, so its handle may go at once.
func TestPreuploadBesideADrop(t *testing.T) {
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	o.SetCreateIfMissing(true)
	o.SetCreateIfMissingColumnFamilies(true)
	o.SetCompression(grocksdb.NoCompression)
	o.SetRateLimiter(grocksdb.NewRateLimiter(1<<20, 100_000, 10)) // a flush takes its time
	path, names := filepath.Join(t.TempDir(), "db"), []string{"default", "other"}
	db, handles, err := grocksdb.OpenDbColumnFamilies(o, path, names, []*grocksdb.Options{o, o})
	require.NoError(t, err)
	a := &ahead{application: &application{
		db: db, families: map[string]*grocksdb.ColumnFamilyHandle{"default": handles[0], "other": handles[1]}, write: grocksdb.NewDefaultWriteOptions(),
	}}
	t.Cleanup(a.quit)
	a.cfg = dbtest.Config(t, path)
	a.cfg.Snapshot.Strategy, a.cfg.Snapshot.Preupload = "incremental", true
	a.fill(t, "first", 300)
	const every = 5 * time.Millisecond
	a.open(t, host.WithPace(every, 20*every))
	a.snapshot(t)
	a.put(t, "more", 3000)
	flushing := func() bool {
		return a.db.GetPropertyCF("rocksdb.num-running-flushes", a.families["default"]) != "0"
	}
	soon(t, flushing, "memtables are flushed")
	require.NoError(t, a.db.DropColumnFamily(handles[1]))
	handles[1].Destroy()
	delete(a.families, "other")
	soon(t, func() bool { return !flushing() && a.unflushed(t) == 0 }, "they are flushed to the end")
	require.NoError(t, a.host.Close())
}

// hanging is a store in which the notes of sessions hang until they are given up.
type hanging struct{ blob.Store }

func (s hanging) Create(ctx context.Context, name string, r io.Reader) error {
	if strings.Contains(name, "/notes/") {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Second): // long enough for the test
		}
	}
	return s.Store.Create(ctx, name, r)
}

// TestSnapshotIsCancelledBesidePreupload: what a store keeps a host from handing over
// keeps nobody waiting who has given up.
func TestSnapshotIsCancelledBesidePreupload(t *testing.T) {
	a := newAhead(t)
	require.NoError(t, a.host.Close())
	h := open(t, a.cfg, append([]host.Option{a.lend(), host.WithStore(hanging{store(t, a.cfg)}), atOnce}, native...)...)
	a.fill(t, "more", 300)
	ended := make(chan error, 1)
	go func() { ended <- host.StoreAhead(t.Context(), h) }()
	soon(t, func() bool { return h.Preuploaded().Stored > 0 }, "something is stored")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	begun := time.Now()
	_, err := h.Snapshot(ctx, host.SnapshotOptions{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Less(t, time.Since(begun), 5*time.Second)
	require.NoError(t, <-ended)
	require.NoError(t, h.Close())
	a.open(t, atOnce)
	a.requireRestored(t, a.snapshot(t))
}
