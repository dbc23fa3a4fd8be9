package strategytest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// databases are the shapes that a database can be in when its snapshot is taken.
var databases = []struct {
	name string
	kind Database
	fill func(s *Site)
}{
	{"several column families", Database{Families: []string{"orders", "users", "nothing"}}, func(s *Site) {
		for seed, family := range []string{"default", "orders", "users", "orders"} {
			s.Fill(family, uint64(seed), 300)
			s.Flush()
		}
	}},
	{"blob files", Database{BlobFiles: true}, func(s *Site) {
		s.Fill("default", 1, 500)
		s.Flush()
		s.Fill("default", 2, 100)
		s.Flush()
	}},
	{"records in the WAL only", Database{Flush: "never", Families: []string{"orders"}}, func(s *Site) {
		s.Fill("default", 1, 500)
		s.Fill("orders", 2, 500)
	}},
	{"tables and WAL", Database{Flush: "never"}, func(s *Site) {
		s.Fill("default", 1, 500)
		s.Flush()
		s.Fill("default", 2, 500)
	}},
	{"compacted", Database{}, func(s *Site) {
		for seed := range uint64(4) {
			s.Fill("default", seed, 300)
			s.Flush()
		}
		s.Compact()
		s.Fill("default", 5, 300)
	}},
	{"ingested tables", Database{Families: []string{"orders"}}, func(s *Site) {
		s.Fill("orders", 1, 300)
		s.ingest("orders", 400)
		s.ingest("default", 10)
	}},
	{"extreme records", Database{}, func(s *Site) {
		s.Put("default", "", "value of the empty key")
		s.Put("default", "empty value", "")
		s.Put("default", "\xff\xff", "the last key")
		s.Put("default", "long", string(make([]byte, 1<<20)))
	}},
}

// ingest adds a table that was made outside the database. Its keys interleave
// with those of fills.
func (s *Site) ingest(family string, count int) {
	dir := filepath.Join(s.t.TempDir(), "tables")
	require.NoError(s.t, os.Mkdir(dir, 0o755))
	w, err := rocks.NewTableWriter(s.db, family, dir)
	require.NoError(s.t, err)
	defer w.Close()
	var block []byte
	for i := range count {
		block = canonical.AppendRecord(block, fmt.Appendf(nil, "key-%06d+", i), []byte("ingested"))
	}
	require.NoError(s.t, w.AddBlock(block))
	files, err := w.Finish()
	require.NoError(s.t, err)
	require.NoError(s.t, s.db.Ingest(family, files))
}

func restoresEveryDatabase(t *testing.T, s Subject) {
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			site := NewSite(t, s, d.kind)
			d.fill(site)
			before := site.Digest()
			m := site.Snapshot()
			assert.Equal(t, s.kind(), m.Kind)
			assert.Equal(t, s.Name, m.Strategy.Name)
			assert.Equal(t, before, site.Digest(), "the snapshot changed the database")
			assert.Empty(t, site.Checkpoints())
			site.requireRestores(before, m.ID)
		})
	}
}

func emptyDatabase(t *testing.T, s Subject) {
	site := NewSite(t, s, Database{Families: []string{"orders"}})
	empty := site.Snapshot()
	assert.Equal(t, "empty", empty.Kind)
	restored := site.Restored(empty.ID)
	require.Equal(t, site.Digest(), restored.Digest())

	restored.Fill("orders", 1, 100) // the column family came along
	restored.requireRestores(restored.Digest(), restored.Snapshot().ID)
}

func laterWritesAreInvisible(t *testing.T, s Subject) {
	site := NewSite(t, s, Database{Families: []string{"orders"}})
	site.Fill("default", 1, 500)
	site.Fill("orders", 2, 500)
	want := site.Digest()

	op, err := site.Host.Begin(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	site.Fill("default", 3, 500)
	site.Flush()
	site.Fill("orders", 4, 500)
	site.Compact()
	m, err := op.Wait()
	require.NoError(t, err)

	require.NotEqual(t, want, site.Digest(), "something was written")
	site.requireRestores(want, m.ID)
}

func overlappingSnapshots(t *testing.T, s Subject) {
	site := NewSite(t, s, Database{})
	site.Fill("default", 1, 500)
	site.Snapshot() // a base for both
	var operations []*host.Operation
	var want []string
	for seed := range uint64(3) {
		site.Fill("default", 2+seed, 300)
		site.Flush()
		want = append(want, site.Digest())
		op, err := site.Host.Begin(t.Context(), host.SnapshotOptions{})
		require.NoError(t, err)
		operations = append(operations, op)
	}
	for i, op := range operations {
		m, err := op.Wait()
		require.NoError(t, err)
		site.requireRestores(want[i], m.ID)
	}
	assert.Empty(t, site.Checkpoints())
}

// storesWhatItSays holds a subject to Reuses.
func storesWhatItSays(t *testing.T, s Subject) {
	site := NewSite(t, s, Database{})
	site.Fill("default", 1, 5000)
	site.Flush()
	first := site.Snapshot()
	assert.Zero(t, first.BytesReused)
	assert.Equal(t, first.BytesFull, first.BytesNew)

	site.Put("default", "one", "more")
	second := site.Snapshot()
	assert.Equal(t, second.BytesFull, second.BytesNew+second.BytesReused)
	if s.Reuses {
		assert.Less(t, second.BytesNew, second.BytesFull/2, "an increment of one record is small")
	} else {
		assert.Zero(t, second.BytesReused)
	}
	site.requireRestores(site.Digest(), second.ID)
}
