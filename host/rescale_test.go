package host_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/rocks/surgery"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// fleet is the workers of one application: databases that hold a range of key
// groups each, under names of their own in one repository.
type fleet struct {
	count   uint32 // of key groups
	workers []*config.Config
}

// newFleet makes as many databases, and fills each as fill does.
func newFleet(t *testing.T, workers, count uint32, c rocks.Creation, fill func(db *rocks.DB, worker uint32, groups keygroup.Range)) *fleet {
	t.Helper()
	f := &fleet{count: count}
	base := dbtest.Config(t, dbtest.New(t, c))
	for i := range workers {
		groups, err := keygroup.RangeFor(i, workers, count)
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "db")
		dbtest.Edit(t, path, c, func(db *rocks.DB) { fill(db, i, groups) })
		f.workers = append(f.workers, worker(base, path, i, workers, count))
	}
	return f
}

// worker returns the configuration of one of several workers.
func worker(base *config.Config, path string, i, workers, count uint32) *config.Config {
	groups, err := keygroup.RangeFor(i, workers, count)
	if err != nil {
		panic(err)
	}
	cfg := *base
	cfg.Database.Path = path
	cfg.Repository.Name = fmt.Sprintf("worker-%d-of-%d", i, workers)
	cfg.KeyGroups = &config.KeyGroups{Count: count, Range: config.KeyRange{First: groups.First, Last: groups.Last}}
	return &cfg
}

// snapshots takes one of every worker and returns how a restore names them.
func (f *fleet) snapshots(t *testing.T, strategy string) []string {
	t.Helper()
	refs := make([]string, len(f.workers))
	for i, cfg := range f.workers {
		refs[i] = cfg.Repository.Name + "/" + snapshot(t, cfg, strategy).ID
	}
	return refs
}

// sums returns the content of all workers together.
func (f *fleet) sums(t *testing.T) map[string]canonical.Sum {
	t.Helper()
	all := make(map[string]canonical.Sum)
	for _, cfg := range f.workers {
		addContent(t, all, cfg.Database.Path)
	}
	return all
}

func addContent(t *testing.T, all map[string]canonical.Sum, path string) {
	t.Helper()
	content, err := host.DigestDatabase(t.Context(), path, 2, nil)
	require.NoError(t, err)
	for family, sum := range content.Families {
		all[family] = all[family].Merge(sum)
	}
}

// rescale restores snapshots to as many workers, whose databases it returns as a
// fleet in the same repository.
func (f *fleet) rescale(t *testing.T, refs []string, workers uint32, o host.RestoreOptions) (*fleet, []*host.Restored) {
	t.Helper()
	to := &fleet{count: f.count}
	var all []*host.Restored
	for i := range workers {
		groups, err := keygroup.RangeFor(i, workers, f.count)
		require.NoError(t, err)
		o.Snapshots, o.KeyGroups, o.Target = refs, &groups, filepath.Join(t.TempDir(), "db")
		restored, err := repository(t, f.workers[0]).Restore(t.Context(), o)
		require.NoError(t, err)
		requireInside(t, restored.Target, groups, f.count)
		to.workers = append(to.workers, worker(f.workers[0], restored.Target, i, workers, f.count))
		all = append(all, restored)
	}
	return to, all
}

// requireInside demands that a database shows no key outside of its groups.
func requireInside(t *testing.T, path string, groups keygroup.Range, count uint32) {
	t.Helper()
	db, err := rocks.OpenOffline(path)
	require.NoError(t, err)
	defer db.Close()
	view, err := db.View()
	require.NoError(t, err)
	defer view.Close()
	lower, upper := groups.Bounds(count)
	for _, family := range view.Families() {
		for _, outside := range [][2][]byte{{nil, lower}, {upper, nil}} {
			if outside[0] == nil && outside[1] == nil {
				continue
			}
			scan, err := view.Scan(family.ID, outside[0], outside[1])
			require.NoError(t, err)
			n, _, err := scan.Next(make([]byte, 1<<20))
			scan.Close()
			require.NoError(t, err)
			require.Zero(t, n, "%s beyond %s", family.Name, groups)
		}
	}
}

// writeGroups writes count records of a family, spread over key groups.
func writeGroups(t *testing.T, db *rocks.DB, family string, seed uint64, records int, groups keygroup.Range, count uint32) {
	t.Helper()
	random := rand.New(rand.NewPCG(seed, seed))
	var block []byte
	for range records {
		group := groups.First + random.Uint32N(groups.Last-groups.First+1)
		key := fmt.Appendf(keygroup.Prefix(group, count), "key-%05d", random.IntN(4*records))
		value := make([]byte, 20+random.IntN(100))
		for i := range value {
			value[i] = byte('a' + random.IntN(16))
		}
		block = canonical.AppendRecord(block, key, value)
	}
	require.NoError(t, db.PutBlock(family, block))
}

// layouts are databases that differ in what makes their files hard to take.
var layouts = []struct {
	name     string
	creation rocks.Creation
	fill     func(t *testing.T, db *rocks.DB, write func(family string, seed uint64))
}{
	{"compacted", rocks.Creation{Families: []string{"orders"}}, func(t *testing.T, db *rocks.DB, write func(string, uint64)) {
		write("default", 1)
		write("orders", 2)
		require.NoError(t, db.CompactAll())
	}},
	{"level 0", rocks.Creation{Families: []string{"orders"}}, func(t *testing.T, db *rocks.DB, write func(string, uint64)) {
		for i := range 3 {
			write("default", uint64(10+i))
			write("orders", uint64(20+i))
			require.NoError(t, db.Flush())
		}
	}},
	{"wal", rocks.Creation{}, func(t *testing.T, db *rocks.DB, write func(string, uint64)) {
		write("default", 1)
		require.NoError(t, db.CompactAll())
		write("default", 2)
	}},
	{"small tables", rocks.Creation{WriteBufferBytes: 64 << 10, TableBytes: 16 << 10}, func(t *testing.T, db *rocks.DB, write func(string, uint64)) {
		for i := range 6 {
			write("default", uint64(i))
		}
		require.NoError(t, db.CompactAll())
		write("default", 7)
		require.NoError(t, db.Flush())
	}},
}

// TestRescaleFiles goes from one to two, three and one worker again by taking
// files, each step from the snapshots of the one before.
func TestRescaleFiles(t *testing.T) {
	for _, l := range layouts {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			const count = 128
			f := newFleet(t, 1, count, l.creation, func(db *rocks.DB, _ uint32, groups keygroup.Range) {
				l.fill(t, db, func(family string, seed uint64) { writeGroups(t, db, family, seed, 400, groups, count) })
			})
			want := f.sums(t)
			for _, workers := range []uint32{2, 3, 1} {
				var restored []*host.Restored
				f, restored = f.rescale(t, f.snapshots(t, "incremental"), workers, host.RestoreOptions{Method: host.ByFiles})
				assert.Equal(t, want, f.sums(t), "%d workers", workers)
				for _, r := range restored {
					assert.Equal(t, host.ByFiles, r.Method)
				}
			}
		})
	}
}

// TestRescaleToNothing restores key groups that only an empty worker holds.
func TestRescaleToNothing(t *testing.T) {
	const count = 128
	f := newFleet(t, 2, count, rocks.Creation{}, func(db *rocks.DB, worker uint32, groups keygroup.Range) {
		if worker == 0 {
			writeGroups(t, db, "default", 1, 100, groups, count)
		}
	})
	restored := restorePart(t, f.workers[0], host.RestoreOptions{
		Snapshots: f.snapshots(t, "native-full"), KeyGroups: &keygroup.Range{First: 64, Last: 127},
	})
	assert.Zero(t, sumRange(t, restored.Target, nil, host.KeyRange{})["default"].Records)
}

// TestRestorePart restores single column families and ranges of keys of a native
// snapshot.
func TestRestorePart(t *testing.T) {
	path := dbtest.New(t, rocks.Creation{Families: []string{"orders", "users"}, TableBytes: 16 << 10, WriteBufferBytes: 64 << 10})
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		for i, family := range []string{"default", "orders", "users"} {
			for half := range 2 { // a single table would be moved as it is
				put(t, db, family, uint64(2*i+half), 2000)
				require.NoError(t, db.Flush())
			}
		}
		require.NoError(t, db.CompactAll())
	})
	cfg := dbtest.Config(t, path)
	for _, strategy := range []string{"native-full", "canonical"} {
		m := snapshot(t, cfg, strategy)
		for _, c := range []struct {
			name     string
			families []string
			keys     host.KeyRange
		}{
			{"one family", []string{"orders"}, host.KeyRange{}},
			{"families and keys", []string{"default", "users"}, host.KeyRange{From: []byte("key-0002000"), To: []byte("key-0003000")}},
			{"from a key on", nil, host.KeyRange{From: []byte("key-0006000")}},
			{"before all keys", nil, host.KeyRange{To: []byte("a")}},
		} {
			t.Run(strategy+" "+c.name, func(t *testing.T) {
				target := filepath.Join(t.TempDir(), "part")
				restored, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{
					Snapshots: []string{m.ID}, Target: target, Families: c.families, Keys: c.keys,
				})
				require.NoError(t, err)
				assert.Equal(t, sumRange(t, path, c.families, c.keys), sumRange(t, target, nil, host.KeyRange{}))
				if strategy == "native-full" {
					assert.Positive(t, restored.Skipped)
					assert.Less(t, restored.Bytes, m.BytesFull)
				}
			})
		}
	}
}

// sumRange sums up a part of a database, family by family.
func sumRange(t *testing.T, path string, families []string, keys host.KeyRange) map[string]canonical.Sum {
	t.Helper()
	db, err := rocks.OpenOffline(path)
	require.NoError(t, err)
	defer db.Close()
	view, err := db.View()
	require.NoError(t, err)
	defer view.Close()
	wanted := make(map[string]bool)
	for _, name := range families {
		wanted[name] = true
	}
	sums := make(map[string]canonical.Sum)
	for _, family := range view.Families() {
		if families != nil && !wanted[family.Name] {
			continue
		}
		scan, err := view.Scan(family.ID, keys.From, keys.To)
		require.NoError(t, err)
		var sum canonical.Sum
		buf := make([]byte, 4<<20)
		for {
			n, _, err := scan.Next(buf)
			require.NoError(t, err)
			if n == 0 {
				break
			}
			require.NoError(t, sum.AddBlock(buf[:n]))
		}
		scan.Close()
		if sum.Records > 0 {
			sums[family.Name] = sum
		}
	}
	return sums
}

// TestRescaleRewritesBorders goes from three workers to two: only tables that
// reach over a border are rewritten, and what holds nothing wanted is not fetched.
func TestRescaleRewritesBorders(t *testing.T) {
	const count = 128
	creation := rocks.Creation{WriteBufferBytes: 256 << 10, TableBytes: 64 << 10, Compression: "none"}
	f := newFleet(t, 3, count, creation, func(db *rocks.DB, worker uint32, groups keygroup.Range) {
		for half := range uint64(2) {
			writeGroups(t, db, "default", 2*uint64(worker)+half, 5000, groups, count)
			require.NoError(t, db.Flush())
		}
		require.NoError(t, db.CompactAll())
	})
	want := f.sums(t)
	refs := f.snapshots(t, "native-full")
	to, restored := f.rescale(t, refs, 2, host.RestoreOptions{Method: host.ByFiles})
	assert.Equal(t, want, to.sums(t))
	for i, r := range restored {
		groups, err := keygroup.RangeFor(uint32(i), 2, count)
		require.NoError(t, err)
		lower, upper := groups.Bounds(count)
		var across, outside int64
		for _, m := range r.Sources {
			for _, file := range m.Contents {
				switch {
				case file.LargestKey == nil:
				case bytes.Compare(file.LargestKey, lower) < 0, upper != nil && bytes.Compare(file.SmallestKey, upper) >= 0:
					outside++
				case bytes.Compare(file.SmallestKey, lower) < 0, upper != nil && bytes.Compare(file.LargestKey, upper) >= 0:
					across += file.Size
				}
			}
		}
		assert.Positive(t, across)
		assert.Positive(t, r.Rewritten)
		assert.LessOrEqual(t, r.Rewritten, across)
		assert.Positive(t, outside)
		assert.GreaterOrEqual(t, int64(r.Skipped), outside)
	}
}

// TestShardsMerge merges databases with blob files: by their files where each has a
// space of file numbers, and else by their records, with the reason.
func TestShardsMerge(t *testing.T) {
	const count = 128
	for _, sharded := range []bool{true, false} {
		creation := rocks.Creation{BlobFiles: true, MinBlobBytes: 32}
		f := newFleet(t, 2, count, creation, func(*rocks.DB, uint32, keygroup.Range) {})
		for i, cfg := range f.workers {
			if sharded {
				require.NoError(t, surgery.Shard(cfg.Database.Path, uint(i+1)))
			}
			dbtest.Edit(t, cfg.Database.Path, creation, func(db *rocks.DB) {
				writeGroups(t, db, "default", uint64(i), 300, keygroup.Range(cfg.KeyGroups.Range), count)
				require.NoError(t, db.Flush())
			})
		}
		want := f.sums(t)
		to, restored := f.rescale(t, f.snapshots(t, "native-full"), 1, host.RestoreOptions{})
		assert.Equal(t, want, to.sums(t))
		if sharded {
			assert.Equal(t, host.ByFiles, restored[0].Method, restored[0].Fallback)
		} else {
			assert.Equal(t, host.ByRecords, restored[0].Method)
			assert.Contains(t, restored[0].Fallback, "blob")
		}
	}
}

// TestRestoreGivesTheShard restores into the space of file numbers that the
// configuration names.
func TestRestoreGivesTheShard(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "canonical")
	cfg.Database.Shard = 7
	target := restore(t, cfg, m.ID)
	set, err := version.Read(target)
	require.NoError(t, err)
	assert.Equal(t, uint64(7), set.NextFile>>40)
	assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
}

// TestLinkedRestore shares files with the repository. What the database does
// afterwards changes none of them, and prune takes none from it.
func TestLinkedRestore(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	cfg.Retention.Grace = 0
	both := snapshots(t, cfg, "native-full", "incremental")
	target := filepath.Join(t.TempDir(), "db")
	restored, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{both[0].ID}, Target: target, Link: true})
	require.NoError(t, err)
	assert.Positive(t, restored.Linked)
	want := dbtest.Digest(t, target)
	assert.Equal(t, dbtest.Digest(t, path), want)
	dbtest.Edit(t, target, rocks.Creation{}, func(db *rocks.DB) {
		put(t, db, "orders", 40, 300)
		ingest(t, db, "orders", "key-0000100", "key-0000900")
		require.NoError(t, db.Flush())
	})
	now := dbtest.Digest(t, target)
	r := repository(t, cfg)
	verified, err := r.Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	assert.Empty(t, verified.Problems)
	_, err = r.Prune(t.Context(), host.PruneOptions{Remove: []string{both[0].ID}})
	require.NoError(t, err)
	assert.Equal(t, now, dbtest.Digest(t, target))
	dbtest.Edit(t, target, rocks.Creation{}, func(db *rocks.DB) { require.NoError(t, db.CompactAll()) })
	assert.Equal(t, now, dbtest.Digest(t, target))
	assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, both[1].ID)))
}
