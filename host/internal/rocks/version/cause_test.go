package version_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// caused tells the causes of all files of a set, and the levels of its tables, by name.
func caused(set *version.Set) (causes map[string]string, levels map[string]int) {
	causes, levels = make(map[string]string), make(map[string]int)
	for _, f := range set.Families {
		for _, t := range f.Tables {
			causes[t.Name()], levels[t.Name()] = t.Cause.String(), t.Level
		}
		for _, b := range f.Blobs {
			causes[b.Name()] = b.Cause.String()
		}
	}
	return causes, levels
}

// witness knows what it did to a database, and so what wrote the files that are new.
type witness struct {
	*database
	causes map[string]string
}

// after demands that the files which a step has added have a cause that begins as it
// says for tables and blob files, and that all others have theirs as before.
func (w *witness) after(step, table, blob string) {
	set, err := version.Read(w.dir)
	require.NoError(w, err)
	causes, levels := caused(set)
	for name, cause := range causes {
		want := blob
		if _, isTable := levels[name]; isTable {
			want = table
		}
		if old, known := w.causes[name]; known {
			assert.Equal(w, old, cause, "%s: %s", step, name)
		} else {
			assert.Truef(w, strings.HasPrefix(cause, want), "%s: %s is by %s", step, name, cause)
		}
	}
	w.causes = causes
}

func (w *witness) step(r *rand.Rand) {
	name := slices.Sorted(maps.Keys(w.families))[r.IntN(len(w.families))]
	from, n := r.IntN(400), 1+r.IntN(100)
	switch r.IntN(7) {
	case 0, 1, 2:
		w.write(name, from, n)
		w.flush(name)
		w.after("flush", "flush", "flush")
	case 3, 4:
		w.compact(name)
		w.after("compact", "compaction", "blob GC")
	case 5:
		w.ingest(name, from, n)
		w.after("ingest", "ingest", "none")
	case 6:
		w.write(name, from, n) // recovered from the WAL
		w.reopen()
		for name := range w.causes {
			w.causes[name] = ""
		}
		w.after("reopen", "flush", "flush")
	}
}

// What the MANIFEST tells of every file is what was done to the database when the file
// appeared, whatever came after.
func TestCausesAreWhatWasDone(t *testing.T) {
	seen := make(map[string]int)
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 0))
		tune := plain
		if seed%2 == 1 {
			tune = withBlobs
		}
		w := &witness{database: newDatabase(t, tune)}
		w.create("a")
		for range 40 {
			w.step(r)
			for _, cause := range w.causes {
				seen[cause]++
			}
		}
	}
	for _, cause := range []string{"flush", "ingest", "blob GC", "", "compaction L0->L1"} {
		assert.Positive(t, seen[cause], "%q was not seen among %v", cause, seen)
	}
}

// The levels are those of the step that wrote the table, not where it is now.
func TestCauseTellsLevels(t *testing.T) {
	d := newDatabase(t, plain)
	for i := range 3 {
		d.write("default", i*10, 100)
		d.flush("default")
	}
	d.compact("default")
	causes, levels := caused(read(d))
	require.Len(t, causes, 1)
	for name := range causes {
		assert.Equal(t, "compaction L0->L1", causes[name])
		assert.Equal(t, 1, levels[name])
	}
	co := grocksdb.NewCompactRangeOptions()
	defer co.Destroy()
	co.SetBottommostLevelCompaction(grocksdb.KForce)
	d.CompactRangeCFOpt(d.families["default"], grocksdb.Range{}, co)
	causes, _ = caused(read(d))
	require.Len(t, causes, 1)
	for name := range causes {
		assert.Equal(t, "compaction L1->L1", causes[name])
	}
}

func read(d *database) *version.Set {
	set, err := version.Read(d.dir)
	require.NoError(d, err)
	return set
}

// A table that moves to another level as it is keeps its cause: nothing was written.
func TestMovedTableKeepsItsCause(t *testing.T) {
	d := newDatabase(t, plain)
	fillRanges(d)
	set, err := version.Read(d.dir)
	require.NoError(t, err)
	for _, table := range set.Families[0].Tables {
		assert.Positive(t, table.Level, table.Name())
		assert.Equal(t, "flush", table.Cause.String(), table.Name())
	}
	assert.Len(t, set.Families[0].Tables, 3)
}
