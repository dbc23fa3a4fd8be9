package host_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/mem"
	"github.com/rocksnap/rocksnap/host/internal/bench"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// manyTables makes a database of 1,000 small tables, or of as many as
// ROCKSNAP_TEST_FILES says, and a configuration for it that takes increments.
func manyTables(t *testing.T) (cfg *config.Config, tables int) {
	t.Helper()
	tables, err := strconv.Atoi(cmp.Or(os.Getenv("ROCKSNAP_TEST_FILES"), "1000"))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "db")
	require.NoError(t, bench.MakeTables(path, tables))
	cfg = dbtest.Config(t, path)
	cfg.Snapshot.Strategy = "incremental"
	return cfg, tables
}

// requests counts what a store is asked for, and says that it lists in pages.
type requests struct {
	blob.Store
	page int

	mu    sync.Mutex
	count map[blob.Verb]int
}

func countRequests(s blob.Store, page int) *requests {
	r := &requests{page: page, count: make(map[blob.Verb]int)}
	r.Store = blob.Observe(s, func(op blob.Op) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.count[op.Verb]++
	})
	return r
}

// PageSize is that of [blob.Paged].
func (r *requests) PageSize() int { return r.page }

// since returns what was counted since the last call.
func (r *requests) since() map[blob.Verb]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	count := r.count
	r.count = make(map[blob.Verb]int)
	return count
}

// inMemory makes a repository in memory that counts requests.
func inMemory(t *testing.T, cfg *config.Config) *requests {
	r := countRequests(mem.New(), 1000)
	_, err := host.Init(t.Context(), cfg, host.InitOptions{SkipProbe: true}, host.WithStore(r))
	require.NoError(t, err)
	return r
}

// TestManyFilesRequests looks for objects by lists where these are fewer requests
// than one for each, and still finds out that one is missing, or is too short, and
// heals it or stores it anew.
func TestManyFilesRequests(t *testing.T) {
	cfg, tables := manyTables(t)
	store := inMemory(t, cfg)
	h := open(t, cfg, append(dbtest.Native(), host.WithStore(store))...)
	first := takeOne(t, h)
	store.since()
	second := takeOne(t, h)
	count := store.since()
	assert.Equal(t, first.ID, second.Base)
	assert.Less(t, second.Files-reused(second), 10)
	assert.Less(t, count[blob.VerbStat]+count[blob.VerbList], 60+tables/800, "16 lists and those of the catalog: %v", count)
	assert.Less(t, count[blob.VerbOpen], 40)

	i, j := 1, 2 // of the tables, which come first
	require.NoError(t, store.Delete(t.Context(), second.Contents[i].Object, second.Contents[j].Object))
	text := make([]byte, second.Contents[j].Size-1)
	require.NoError(t, store.Create(t.Context(), second.Contents[j].Object, bytes.NewReader(text)))
	third := takeOne(t, h)
	assert.Equal(t, second.Contents[i].Object, third.Contents[i].Object, "it is stored again under its name")
	assert.True(t, third.Contents[i].Reused)
	_, err := store.Stat(t.Context(), third.Contents[i].Object)
	assert.NoError(t, err)
	assert.NotEqual(t, second.Contents[j].Object, third.Contents[j].Object, "what is damaged is stored anew")
	require.NoError(t, h.Close())
}

// TestManyFilesAreNotRead takes a snapshot without a change while no table can be
// read: it is planned from RocksDB's MANIFEST, and from what the base says.
func TestManyFilesAreNotRead(t *testing.T) {
	cfg, _ := manyTables(t)
	h := open(t, cfg, host.Offline())
	takeOne(t, h)
	before := readBytes(t)
	second := takeOne(t, h)
	read := readBytes(t) - before
	assert.Less(t, second.Files-reused(second), 10)
	assert.Less(t, read, second.BytesFull/2, "bytes read by the process, its own metadata among them")
	require.NoError(t, h.Close())
}

func takeOne(t *testing.T, h *host.Host) *host.Manifest {
	t.Helper()
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	return m
}

func reused(m *host.Manifest) (count int) {
	for _, f := range m.Contents {
		if f.Reused {
			count++
		}
	}
	return count
}

// readBytes returns how many bytes this process has read, from files or elsewhere.
func readBytes(t *testing.T) (count int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	require.NoError(t, err)
	_, err = fmt.Sscanf(string(text), "rchar: %d", &count)
	require.NoError(t, err)
	return count
}
