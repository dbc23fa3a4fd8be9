package surgery

import (
	"os"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// placeLeveled treats universal compaction as any other.
func (m *merge) placeLeveled() *Refusal {
	for _, f := range m.families {
		if r := f.place(); r != nil {
			return r
		}
	}
	return nil
}

// newUniversal makes three databases of universal compaction with tables on level
// 0: the first keeps it, the second takes the last two levels and has low sequence
// numbers, the third takes the last level and has high ones.
func newUniversal(t *testing.T) *world {
	base := grocksdb.NewDefaultOptions()
	base.SetCreateIfMissing(true)
	base.SetCompactionStyle(grocksdb.UniversalCompactionStyle)
	base.SetDisableAutoCompactions(true)
	t.Cleanup(base.Destroy)
	w := &world{Assertions: require.New(t), dir: t.TempDir(), options: base, families: []string{"default"}}
	for group, flushes := range []int{5, 2, 1} {
		h := &shard{lower: group, upper: group + 1, dir: w.folder("shard"), model: model{"default": {}}}
		s := w.open(h.dir, w.families)
		for n := range flushes {
			for range 1 + 50*(group/2) {
				h.model["default"][key(group)] = string(rune('a' + n))
				w.NoError(s.db.Put(s.write, []byte(key(group)), []byte{byte('a' + n)}))
			}
			s.flush("default")
		}
		s.close()
		w.shards = append(w.shards, h)
	}
	return w
}

func key(group int) string { return string(rune(group)) + "key" }

// ingested merges, ingests a newer value for the third database, and returns what
// is read.
func (w *world) ingested(merge func([]Source) (*Merged, error)) (value string, cured int) {
	var sources []Source
	for _, h := range w.shards {
		sources = append(sources, w.source(h.dir))
	}
	m, cured := w.join(sources, merge)
	dir := w.folder("merged")
	w.NoError(os.Mkdir(dir, 0o700))
	w.NoError(m.Write(dir, nil))
	s := w.open(dir, w.families)
	defer s.close()
	s.check(w.within(0, groups), "opened")
	s.ingestTable("default", map[string]string{key(2): "newer"})
	return s.read(key(2)), cured
}

func (s *session) read(key string) string {
	o := grocksdb.NewDefaultReadOptions()
	defer o.Destroy()
	it := s.db.NewIterator(o)
	defer it.Close()
	it.Seek([]byte(key))
	s.True(it.Valid())
	return string(it.Value().Data())
}

// This is why universal compaction is refused unless it has been done in full: all
// seems well until a table is ingested, and what it holds is hidden.
func TestUniversalHidesWhatIsIngested(t *testing.T) {
	w := newUniversal(t)
	wrong, _ := w.ingested(planned(func(m *merge) []func() *Refusal {
		return []func() *Refusal{m.checkSources, m.gather, m.checkOverlaps, m.assignIDs, m.placeLeveled, m.checkWhole, m.assignNumbers}
	}))
	assert.Equal(t, "a", wrong)
	right, cured := w.ingested(Merge)
	assert.Equal(t, "newer", right)
	assert.Equal(t, 3, cured)
}
