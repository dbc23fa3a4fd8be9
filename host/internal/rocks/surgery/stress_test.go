package surgery

import (
	"cmp"
	"os"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// surgery is what a world is operated on with; a mutation puts a wrong step in
// the place of a right one.
type surgery struct {
	subset func(*version.Set, Keep) (*version.Set, error)
	trim   func(dir string, ranges map[string]version.Range, compact bool) (int64, error)
	merge  func([]Source) (*Merged, error)
	spoil  func(w *world, dir string) // a database that is complete
}

var sound = surgery{subset: Subset, trim: rocks.Trim, merge: Merge, spoil: func(*world, string) {}}

const (
	memory         = "/dev/shm"
	memoryVariable = "ROCKSNAP_TEST_MEMORY" // a folder that stands in for it
)

// memoryDir makes a directory in memory, where there is such a place: RocksDB
// syncs each of hundreds of files of a seed.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp(cmp.Or(os.Getenv(memoryVariable), memory), "rocksnap-surgery-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// live makes the databases of a seed, cuts a range of keys out of them, joins the
// parts, and goes on using the result. It compares the content after each step,
// and reports how many sources had to be compacted.
func live(t testing.TB, seed uint64, with surgery) (cured int) {
	w := newWorld(require.New(t), seed, memoryDir(t))
	defer w.options.Destroy()
	for n, h := range w.shards {
		w.fill(n, h)
	}
	cuts := w.cuts(1 + w.rng.IntN(3))
	cut := cuts[w.rng.IntN(len(cuts))]
	want, ranges := w.within(cut[0], cut[1]), make(map[string]version.Range)
	for _, name := range w.families {
		ranges[name] = groupRange(cut[0], cut[1])
	}
	var sources []Source
	for _, h := range w.shards {
		if h.lower >= cut[1] || h.upper <= cut[0] {
			continue
		}
		part := w.cut(h, groupRange(cut[0], cut[1]), with.subset)
		_, err := with.trim(part.Dir, ranges, true)
		w.NoError(err)
		sources = append(sources, w.source(part.Dir))
	}
	m, cured := w.join(sources, with.merge)
	dir := w.folder("merged")
	w.NoError(os.Mkdir(dir, 0o700))
	w.NoError(m.Write(dir, nil))
	set, err := version.Read(dir)
	w.NoError(err)
	w.Equal(w.encoded(m.Set), w.encoded(set))
	with.spoil(w, dir)
	w.use(dir, want, cut)
	return cured
}

// use goes on with a merged database.
func (w *world) use(dir string, want model, cut [2]int) {
	s := w.open(dir, w.families)
	s.check(want, "opened")
	s.ingest(want, cut[0], cut[1])
	s.check(want, "ingested")
	s.change(want, cut[0], cut[1], 50)
	s.check(want, "changed")
	s.close()
	s = w.open(dir, w.families)
	s.check(want, "opened again")
	s.change(want, cut[0], cut[1], 50)
	s.compact()
	s.check(want, "compacted")
	s.close()
}

// found are seeds beyond the first ones in which something was wrong once.
var found = []uint64{839, 1478}

// seeds returns those of ROCKSNAP_SEED, or as many as ROCKSNAP_SEEDS says. There
// are fewer where every sync goes to a disk.
func seeds() (list []uint64) {
	if n, err := strconv.ParseUint(os.Getenv("ROCKSNAP_SEED"), 10, 64); err == nil {
		return []uint64{n}
	}
	count, err := strconv.ParseUint(os.Getenv("ROCKSNAP_SEEDS"), 10, 64)
	if err != nil {
		count = 200
		if _, err := os.Stat(memory); err != nil {
			count = 20
		}
	}
	for seed := range count {
		list = append(list, seed+1)
	}
	return append(list, found...)
}

// TestStress tries surgery on what seeds make.
func TestStress(t *testing.T) {
	cured := 0
	for _, seed := range seeds() {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { cured += live(t, seed, sound) })
		if t.Failed() {
			break
		}
	}
	t.Logf("%d sources compacted", cured)
}
