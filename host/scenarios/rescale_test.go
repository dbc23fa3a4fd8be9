package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// envRescale, when it is set, goes through all of the rescale matrix.
const envRescale = "ROCKSNAP_TEST_RESCALE"

// crew is the workers of one application: each has a database with a range of the key
// groups, and a name of its own in the repository that they share.
type crew struct {
	t      testing.TB
	base   *config.Config
	count  uint32 // of key groups
	paths  []string
	groups []keygroup.Range
}

// newCrew makes the databases of some workers that share all key groups evenly.
func newCrew(t testing.TB, workers, count uint32, families ...string) *crew {
	t.Helper()
	c := &crew{t: t, count: count, base: dbtest.Config(t, dbtest.New(t, rocks.Creation{}))}
	c.paths, c.groups = make([]string, workers), make([]keygroup.Range, workers)
	c.each(func(i int) error {
		c.groups[i], _ = keygroup.RangeFor(uint32(i), workers, count)
		return c.edit(i, families, func(*rocks.DB) error { return nil })
	})
	return c
}

// newCrewOf makes workers that hold given ranges of the key groups.
func newCrewOf(t testing.TB, count uint32, ranges ...keygroup.Range) *crew {
	t.Helper()
	c := newCrew(t, uint32(len(ranges)), count)
	copy(c.groups, ranges)
	return c
}

// each does something for all workers, two at a time.
func (c *crew) each(do func(i int) error) {
	c.t.Helper()
	var all errgroup.Group
	all.SetLimit(2)
	for i := range c.paths {
		all.Go(func() error { return do(i) })
	}
	require.NoError(c.t, all.Wait())
}

// edit opens the database of a worker and makes it when it is missing.
func (c *crew) edit(i int, families []string, edit func(*rocks.DB) error) error {
	if c.paths[i] == "" {
		folder, err := os.MkdirTemp(c.base.Dir(), "worker")
		if err != nil {
			return err
		}
		c.paths[i] = filepath.Join(folder, "db")
	}
	db, err := rocks.Open(c.paths[i], rocks.Options{CreateIfMissing: true, Creation: rocks.Creation{Families: families}})
	if err != nil {
		return err
	}
	err = edit(db)
	if closed := db.Close(); err == nil {
		err = closed
	}
	return err
}

// config is the configuration of a worker.
func (c *crew) config(i int) *config.Config {
	cfg := *c.base
	cfg.Database.Path = c.paths[i]
	cfg.Repository.Name = fmt.Sprintf("worker-%d-of-%d", i, len(c.paths))
	cfg.KeyGroups = &config.KeyGroups{Count: c.count, Range: config.KeyRange{First: c.groups[i].First, Last: c.groups[i].Last}}
	return &cfg
}

// fill writes records into each key group, in a column family that of gives, and
// returns what the workers hold in all.
func (c *crew) fill(perGroup int, of func(group uint32) (family string)) content {
	c.t.Helper()
	for i := range c.paths {
		require.NoError(c.t, c.edit(i, nil, func(db *rocks.DB) error {
			for g := c.groups[i].First; g <= c.groups[i].Last; g++ {
				var block []byte
				for n := range perGroup {
					key := fmt.Appendf(keygroup.Prefix(g, c.count), "key-%d", n)
					block = canonical.AppendRecord(block, key, fmt.Appendf(nil, "value %d of group %d, by worker %d", n, g, i))
				}
				if err := db.PutBlock(of(g), block); err != nil {
					return err
				}
			}
			return db.Flush()
		}))
	}
	return c.content()
}

// content is what the workers hold in all. No key is in two of them, and none is where
// it does not belong.
func (c *crew) content() content {
	c.t.Helper()
	all := make(content)
	for i, path := range c.paths {
		for family, records := range contents(c.t, path) {
			if all[family] == nil {
				all[family] = make(map[string]string)
			}
			for key, value := range records {
				group, ok := keygroup.Of([]byte(key), c.count)
				require.True(c.t, ok && c.groups[i].Contains(group), "key %q is no key of groups %s", key, c.groups[i])
				require.NotContains(c.t, all[family], key, "twice")
				all[family][key] = value
			}
		}
	}
	return all
}

// snapshots takes a snapshot of each worker and returns how to refer to them. The
// first goes through the module.
func (c *crew) snapshots(strategy string) []string {
	c.t.Helper()
	refs := make([]string, len(c.paths))
	c.each(func(i int) error {
		cfg := c.config(i)
		cfg.Snapshot.Strategy = strategy
		options := []host.Option{host.Offline(), host.WithModuleCache(dbtest.Cache())}
		if i > 0 {
			options = append(options, inHost...)
		}
		h, err := host.Open(c.t.Context(), cfg, options...)
		if err != nil {
			return err
		}
		m, err := h.Snapshot(c.t.Context(), host.SnapshotOptions{})
		if err == nil {
			refs[i] = cfg.Repository.Name + "/" + m.ID
		}
		if closed := h.Close(); err == nil {
			err = closed
		}
		return err
	})
	return refs
}

// rescaled restores snapshots to another number of workers, each from those whose key
// groups it wants. It returns what the restores tell.
func (c *crew) rescaled(refs []string, workers uint32, method host.RestoreMethod) (*crew, []*host.Restored) {
	c.t.Helper()
	to := &crew{t: c.t, base: c.base, count: c.count, paths: make([]string, workers), groups: make([]keygroup.Range, workers)}
	told := make([]*host.Restored, workers)
	to.each(func(i int) (err error) {
		if to.groups[i], err = keygroup.RangeFor(uint32(i), workers, c.count); err != nil {
			return err
		}
		to.paths[i], told[i], err = c.restored(refs, to.groups[i], method)
		return err
	})
	return to, told
}

// restored restores a range of key groups into a new database.
func (c *crew) restored(refs []string, groups keygroup.Range, method host.RestoreMethod) (string, *host.Restored, error) {
	folder, err := os.MkdirTemp(c.base.Dir(), "worker")
	if err != nil {
		return "", nil, err
	}
	var sources []string
	for i, ref := range refs {
		if c.groups[i].First <= groups.Last && groups.First <= c.groups[i].Last {
			sources = append(sources, ref)
		}
	}
	r, err := host.OpenRepository(c.t.Context(), c.config(0), host.WithModuleCache(dbtest.Cache()))
	if err != nil {
		return "", nil, err
	}
	target := filepath.Join(folder, "db")
	told, err := r.Restore(c.t.Context(), host.RestoreOptions{Snapshots: sources, KeyGroups: &groups, Target: target, Method: method})
	return target, told, err
}

// inDefault puts all key groups into one column family.
func inDefault(uint32) string { return "default" }

// TestRescaleMatrix is scenarios 41, 42, 45 and 47 to 51: from one number of workers to
// another, and again. Whatever the numbers, the records in all are those of the source.
// Each goes by one strategy, over 128 or 1,000 key groups; ROCKSNAP_TEST_RESCALE=1 goes
// by all, over both.
func TestRescaleMatrix(t *testing.T) {
	all := os.Getenv(envRescale) != ""
	for i, chain := range []struct {
		name    string
		workers []uint32
	}{
		{"ScalingUp", []uint32{1, 2, 3}},
		{"ScalingDown", []uint32{3, 2, 1}},
		{"ScaleDown", []uint32{4, 2}},
		{"ScaleUp", []uint32{2, 4}},
		{"NoRescale", []uint32{2, 2}},
		{"Recovery", []uint32{7, 2, 8}},
		{"ScaleUpUnEvenDistribute", []uint32{15, 77}},
		{"ScaleDownUnEvenDistribute", []uint32{77, 15}},
	} {
		for n, count := range []uint32{128, 1000} {
			for s, strategy := range dbtest.Builtin {
				isOne := n == i/3%2 && s == i%3 // of each chain
				if !all && (!isOne || testing.Short() && chain.workers[0]+chain.workers[1] > 20) {
					continue
				}
				t.Run(fmt.Sprintf("%s of %d by %s", chain.name, count, strategy), func(t *testing.T) {
					t.Parallel()
					c := newCrew(t, chain.workers[0], count)
					want := c.fill(1, inDefault)
					for _, workers := range chain.workers[1:] {
						c, _ = c.rescaled(c.snapshots(strategy), workers, "")
						assert.Equal(t, want, c.content())
						c.compact()
						assert.Equal(t, want, c.content(), "after a compaction")
					}
				})
			}
		}
	}
}

// compact compacts the databases of all workers.
func (c *crew) compact() {
	c.t.Helper()
	c.each(func(i int) error { return c.edit(i, nil, (*rocks.DB).CompactAll) })
}

// TestKeyGroupSnapshotRestore is the other half of scenarios 47 to 51: key groups are in
// column families of their own, so that workers differ in which of them they have.
func TestKeyGroupSnapshotRestore(t *testing.T) {
	for _, strategy := range dbtest.Builtin {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			const count = 16
			state := func(group uint32) string { return fmt.Sprintf("state-%d", group) }
			c := newCrew(t, 4, count)
			for i, groups := range c.groups {
				var families []string
				for g := groups.First; g <= groups.Last; g++ {
					families = append(families, state(g))
				}
				require.NoError(t, os.RemoveAll(c.paths[i]))
				require.NoError(t, c.edit(i, families, func(*rocks.DB) error { return nil }))
			}
			want := c.fill(2, state)
			for _, workers := range []uint32{2, 4, 2} {
				c, _ = c.rescaled(c.snapshots(strategy), workers, "")
				got := c.content()
				for family, records := range want {
					assert.Equal(t, records, got[family], family)
				}
			}
		})
	}
}

// TestClipDBWithKeyGroupRange is scenario 39: of a database with one range of key
// groups, a target with another gets what both have. It has to ask for no more than
// that: that a key group is nowhere is said, and not taken for an empty one.
func TestClipDBWithKeyGroupRange(t *testing.T) {
	for _, test := range []struct {
		name            string
		count           uint32
		target, current keygroup.Range
	}{
		{"wider", 128, keygroup.Range{First: 0, Last: 9}, keygroup.Range{First: 3, Last: 7}},
		{"equal", 128, keygroup.Range{First: 3, Last: 7}, keygroup.Range{First: 3, Last: 7}},
		{"shifted down", 128, keygroup.Range{First: 1, Last: 5}, keygroup.Range{First: 3, Last: 7}},
		{"shifted up", 128, keygroup.Range{First: 5, Last: 9}, keygroup.Range{First: 3, Last: 7}},
		{"inside", 128, keygroup.Range{First: 4, Last: 5}, keygroup.Range{First: 3, Last: 7}},
		{"disjoint from the group beside", 128, keygroup.Range{First: 7, Last: 12}, keygroup.Range{First: 3, Last: 7}},
		{"one group", 128, keygroup.Range{First: 5, Last: 5}, keygroup.Range{First: 3, Last: 7}},
		{"at the last byte", 128, keygroup.Range{First: 120, Last: 127}, keygroup.Range{First: 100, Last: 127}},
		{"at the last short", keygroup.MaxCount, keygroup.Range{First: 32760, Last: 32767}, keygroup.Range{First: 32750, Last: 32767}},
		{"across a byte", 1000, keygroup.Range{First: 250, Last: 260}, keygroup.Range{First: 240, Last: 270}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newCrewOf(t, test.count, test.current)
			source := c.fill(1, inDefault)
			refs := c.snapshots("native-full")
			both := keygroup.Range{First: max(test.target.First, test.current.First), Last: min(test.target.Last, test.current.Last)}
			if both != test.target {
				_, _, err := c.restored(refs, test.target, "")
				require.ErrorContains(t, err, "no snapshot that is restored holds key groups")
			}
			path, _, err := c.restored(refs, both, "")
			require.NoError(t, err)
			want := make(map[string]string)
			for key, value := range source["default"] {
				if group, _ := keygroup.Of([]byte(key), test.count); both.Contains(group) {
					want[key] = value
				}
			}
			require.NotEmpty(t, want)
			assert.Equal(t, content{"default": want}, contents(t, path))
		})
	}
}

// TestChooseTheBestStateHandleForInitial is scenario 40. Flink opens the best of several
// handles and copies the others into it; here none is the first, and what a target
// costs are the files that touch it: those of other snapshots are not even fetched.
func TestChooseTheBestStateHandleForInitial(t *testing.T) {
	c := newCrewOf(t, 16, keygroup.Range{First: 0, Last: 3}, keygroup.Range{First: 4, Last: 7}, keygroup.Range{First: 8, Last: 12})
	c.fill(20, inDefault)
	refs := c.snapshots("native-full")
	for _, target := range []keygroup.Range{{First: 3, Last: 6}, {First: 5, Last: 12}, {First: 4, Last: 11}, {First: 3, Last: 12}} {
		r, err := host.OpenRepository(t.Context(), c.config(0))
		require.NoError(t, err)
		told, err := r.Restore(t.Context(), host.RestoreOptions{
			Snapshots: refs, KeyGroups: &target, Target: filepath.Join(t.TempDir(), "db"), Method: host.ByFiles,
		})
		require.NoError(t, err)
		files := 0
		for i, m := range told.Sources {
			if c.groups[i].First <= target.Last && target.First <= c.groups[i].Last {
				files += m.Files
			}
		}
		assert.LessOrEqual(t, told.Files, files, "target %s", target)
		assert.Equal(t, target.First > 3 || target.Last < 8, told.Skipped > 0, "target %s", target)
		got := contents(t, told.Target)["default"]
		assert.Len(t, got, 20*int(target.Last-target.First+1))
	}
}

// TestAutoCompactionAfterMerge is scenario 43, RocksDBAutoCompactionIngestRestoreTest:
// the database that was merged of two still compacts by itself.
func TestAutoCompactionAfterMerge(t *testing.T) {
	c := newCrew(t, 2, 128)
	c.fill(2, inDefault)
	merged, _ := c.rescaled(c.snapshots("native-full"), 1, host.ByFiles)
	require.NoError(t, merged.edit(0, nil, func(db *rocks.DB) error {
		for n := range 12 {
			key := fmt.Appendf(keygroup.Prefix(5, 128), "again-%d", n)
			if err := db.PutBlock("default", canonical.AppendRecord(nil, key, key)); err != nil {
				return err
			}
			if err := db.Flush(); err != nil {
				return err
			}
		}
		assert.Eventually(t, func() bool { return db.Property("default", "rocksdb.num-files-at-level0") < "8" }, waitLong, waitShort)
		return nil
	}))
}

// TestDistributedByRange is scenario 44, DistributeStateHandlerHelperTest: a file that
// lies within the wanted range is taken as it is; one without any of it is skipped.
func TestDistributedByRange(t *testing.T) {
	c := newCrew(t, 1, 128)
	for i := range uint32(8) { // a table for every 16 key groups
		require.NoError(t, c.edit(0, nil, func(db *rocks.DB) error {
			key := string(keygroup.Prefix(16*i, 128))
			if err := db.PutBlock("default", append(canonical.AppendRecord(nil, []byte(key+"a"), []byte("first")), canonical.AppendRecord(nil, []byte(key+"z"), []byte("last"))...)); err != nil {
				return err
			}
			return db.Flush()
		}))
	}
	refs := c.snapshots("native-full")
	_, told, err := c.restored(refs, keygroup.Range{First: 0, Last: 15}, host.ByFiles)
	require.NoError(t, err)
	all := len(tables(told.Snapshot))
	assert.Positive(t, told.Skipped)
	assert.Equal(t, all-1, told.Skipped, "of %d tables", all)
	assert.Zero(t, told.Rewritten)
}

// TestEmptyAmongSeveral is scenario 46: one of the workers has nothing.
func TestEmptyAmongSeveral(t *testing.T) {
	for _, strategy := range dbtest.Builtin {
		t.Run(strategy, func(t *testing.T) {
			t.Parallel()
			c := newCrew(t, 3, 128)
			for _, i := range []int{0, 2} {
				require.NoError(t, c.edit(i, nil, func(db *rocks.DB) error {
					return db.PutBlock("default", canonical.AppendRecord(nil, append(keygroup.Prefix(c.groups[i].First, 128), 'k'), []byte("v")))
				}))
			}
			want := c.content()
			for _, workers := range []uint32{1, 2} {
				to, _ := c.rescaled(c.snapshots(strategy), workers, "")
				assert.Equal(t, want, to.content(), "to %d", workers)
			}
		})
	}
}

// How long a compaction in the background may take, and how often to look.
const (
	waitLong  = 20 * time.Second
	waitShort = 20 * time.Millisecond
)
