package strategytest

import (
	"fmt"
	"os"
	"path/filepath"

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
	must(s.t, os.Mkdir(dir, 0o755), "make a folder")
	var block []byte
	for i := range count {
		block = canonical.AppendRecord(block, fmt.Appendf(nil, "key-%06d+", i), []byte("ingested"))
	}
	files := s.table(family, dir, block)
	must(s.t, s.db.Ingest(family, files), "ingest a table")
}

// table writes packed records to a table outside the database.
func (s *Site) table(family, dir string, block []byte) []string {
	w, err := rocks.NewTableWriter(s.db, family, dir)
	must(s.t, err, "make a table")
	defer w.Close()
	must(s.t, w.AddBlock(block), "write a table")
	files, err := w.Finish()
	must(s.t, err, "finish a table")
	return files
}

func restoresEveryDatabase(t T, s Subject) {
	for _, d := range databases {
		part(t, d.name, func(t T) {
			site := NewSite(t, s, d.kind)
			d.fill(site)
			before := site.Digest()
			m := site.Snapshot()
			same(t, s.kind(), m.Kind, "kind of the snapshot")
			same(t, s.Name, m.Strategy.Name, "strategy in the manifest")
			same(t, before, site.Digest(), "content of the database after the snapshot")
			same(t, 0, len(site.Checkpoints()), "checkpoints left behind")
			site.requireRestores(before, m.ID)
		})
	}
}

func emptyDatabase(t T, s Subject) {
	site := NewSite(t, s, Database{Families: []string{"orders"}})
	empty := site.Snapshot()
	same(t, "empty", empty.Kind, "kind of the snapshot")
	restored := site.Restored(empty.ID)
	same(t, site.Digest(), restored.Digest(), "content of the restored database")

	restored.Fill("orders", 1, 100) // the column family came along
	restored.requireRestores(restored.Digest(), restored.Snapshot().ID)
}

func laterWritesAreInvisible(t T, s Subject) {
	site := NewSite(t, s, Database{Families: []string{"orders"}})
	site.Fill("default", 1, 500)
	site.Fill("orders", 2, 500)
	want := site.Digest()

	op, err := site.Host.Begin(t.Context(), host.SnapshotOptions{})
	must(t, err, "begin a snapshot")
	site.Fill("default", 3, 500)
	site.Flush()
	site.Fill("orders", 4, 500)
	site.Compact()
	m, err := op.Wait()
	must(t, err, "take a snapshot")

	holds(t, want != site.Digest(), "nothing was written meanwhile")
	site.requireRestores(want, m.ID)
}

func overlappingSnapshots(t T, s Subject) {
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
		must(t, err, "begin a snapshot beside another")
		operations = append(operations, op)
	}
	for i, op := range operations {
		m, err := op.Wait()
		must(t, err, "take a snapshot beside another")
		site.requireRestores(want[i], m.ID)
	}
	same(t, 0, len(site.Checkpoints()), "checkpoints left behind")
}

// storesWhatItSays holds a subject to Reuses.
func storesWhatItSays(t T, s Subject) {
	site := NewSite(t, s, Database{})
	first, second := site.increment()
	same(t, 0, first.BytesReused, "bytes reused by the first snapshot")
	same(t, first.BytesFull, first.BytesNew, "bytes stored by the first snapshot")
	same(t, second.BytesFull, second.BytesNew+second.BytesReused, "bytes stored and reused by the second snapshot")
	if s.Reuses {
		holds(t, second.BytesNew < second.BytesFull/2, "an increment of one record stored %d bytes of %d", second.BytesNew, second.BytesFull)
	} else {
		same(t, 0, second.BytesReused, "bytes reused by the second snapshot")
	}
	site.requireRestores(site.Digest(), second.ID)
}

// increment takes two snapshots, between which there is one record more.
func (s *Site) increment() (first, second *host.Manifest) {
	s.Fill("default", 1, 5000)
	s.Flush()
	first = s.Snapshot()
	s.Put("default", "one", "more")
	return first, s.Snapshot()
}
