package host_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// grouped is a database whose keys begin with a key group.
type grouped struct {
	path  string
	count uint32
	held  keygroup.Range
}

// newGrouped fills every key group of a range with records of a kilobyte that do
// not compress, in two column families.
func newGrouped(t *testing.T, count uint32, held keygroup.Range, each int) grouped {
	t.Helper()
	g := grouped{dbtest.New(t, rocks.Creation{Families: []string{"orders"}, TableBytes: 1 << 20}), count, held}
	random := rand.NewChaCha8([32]byte{byte(held.First)})
	dbtest.Edit(t, g.path, rocks.Creation{}, func(db *rocks.DB) {
		for group := held.First; group <= held.Last; group++ {
			for _, family := range []string{"default", "orders"} {
				var block []byte
				for i := range each {
					value := make([]byte, 1000)
					random.Read(value)
					block = canonical.AppendRecord(block, fmt.Appendf(keygroup.Prefix(group, count), "key-%05d", i), value)
				}
				require.NoError(t, db.PutBlock(family, block))
			}
		}
		require.NoError(t, db.CompactAll())
	})
	return g
}

// groupsOf is the part of a configuration that declares key groups.
func (g grouped) lines() string {
	return fmt.Sprintf("[keygroups]\ncount = %d\nrange = \"%s\"\n", g.count, g.held)
}

// in returns a configuration for the database that shares the repository of
// another one.
func (g grouped) in(cfg *config.Config) *config.Config {
	own := at(cfg, g.path)
	own.KeyGroups = &config.KeyGroups{Count: g.count, Range: config.KeyRange{First: g.held.First, Last: g.held.Last}}
	return own
}

const smallFrames = "[strategies.canonical.config]\nframe_bytes = 32768\n"

// filteredDigest is the content digest of those records of a database that a
// filter lets through.
func filteredDigest(t *testing.T, path string, let func(family string, key []byte) bool) string {
	t.Helper()
	kind, err := host.KindOf(host.RocksDB)
	require.NoError(t, err)
	sums := make(map[string]canonical.Sum)
	require.NoError(t, kind.Read(t.Context(), path, func(family string, packed []byte) error {
		sum := sums[family]
		for key, value := range canonical.Records(packed) {
			if let(family, key) {
				sum.Add(key, value)
			}
		}
		sums[family] = sum
		return nil
	}))
	return canonical.Database(sums)
}

// TestRestoreOneGroup reads little more of a canonical snapshot than the frames of
// the key groups that are wanted, encrypted or not.
func TestRestoreOneGroup(t *testing.T) {
	each, frames := 128, smallFrames // 32 MB
	if text := os.Getenv("ROCKSNAP_TEST_GROUP_RECORDS"); text != "" {
		var err error
		each, err = strconv.Atoi(text)
		require.NoError(t, err)
		frames = "" // those of a snapshot that is not small
	}
	g := newGrouped(t, 128, keygroup.Range{First: 0, Last: 127}, each)
	_, key := newKey(t)
	for name, lines := range map[string]string{"plain": "", "encrypted": key} {
		t.Run(name, func(t *testing.T) {
			cfg := dbtest.Config(t, g.path, frames, g.lines(), lines)
			m := snapshot(t, cfg, "canonical")
			for _, wanted := range []keygroup.Range{{First: 77, Last: 77}, {First: 0, Last: 0}, {First: 126, Last: 127}, {First: 60, Last: 63}} {
				restored := restorePart(t, cfg, host.RestoreOptions{KeyGroups: &wanted})
				assert.Equal(t, filteredDigest(t, g.path, func(_ string, key []byte) bool { return wanted.Contains(uint32(key[0])) }),
					dbtest.Digest(t, restored.Target))
				share := float64(restored.Bytes) / float64(m.BytesFull)
				groups := float64(wanted.Last - wanted.First + 1)
				t.Logf("key groups %s of 128: %.2f %% of %d bytes in %v", wanted, 100*share, m.BytesFull, restored.Duration)
				assert.Less(t, share, 0.03*groups, "key groups %s", wanted)
				assert.Equal(t, uint64(groups)*2*uint64(each), restored.Records)
				assert.Equal(t, host.ByRecords, restored.Method)
				assert.Positive(t, restored.Files)
				assert.Equal(t, m.Files, restored.Files+restored.Skipped)
			}
		})
	}
}

// restorePart restores into a new directory.
func restorePart(t *testing.T, cfg *config.Config, o host.RestoreOptions) *host.Restored {
	t.Helper()
	o.Target = filepath.Join(t.TempDir(), "restored")
	restored, err := repository(t, cfg).Restore(t.Context(), o)
	require.NoError(t, err)
	requireAlone(t, filepath.Dir(o.Target), "restored")
	return restored
}

// meeting is a store in which whoever opens an object waits for somebody else who
// does, so that one after the other they would wait for ever.
type meeting struct {
	blob.Store
	come chan struct{}
}

func (m meeting) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	if isObject(blob.VerbOpen, name) {
		select {
		case m.come <- struct{}{}:
		case <-m.come:
		case <-time.After(20 * time.Second):
			return nil, errors.New("nobody else reads")
		}
	}
	return m.Store.Open(ctx, name, offset, length)
}

// TestRestoreRangeInParallel reads the files of which a part is wanted at the same
// time.
func TestRestoreRangeInParallel(t *testing.T) {
	g := newGrouped(t, 16, keygroup.Range{First: 0, Last: 15}, 50)
	cfg := dbtest.Config(t, g.path, smallFrames, g.lines())
	m := snapshot(t, cfg, "canonical")
	require.Len(t, m.Contents, 2, "a file for each column family, each read by the same number of requests")
	r, err := host.OpenRepository(t.Context(), cfg, host.WithStore(meeting{store(t, cfg), make(chan struct{})}))
	require.NoError(t, err)
	_, err = r.Restore(t.Context(), host.RestoreOptions{Target: filepath.Join(t.TempDir(), "target"), KeyGroups: &keygroup.Range{First: 3, Last: 5}})
	require.NoError(t, err)
}

// TestRestorePartially restores parts of snapshots of every kind, by key group, by
// key and by column family.
func TestRestorePartially(t *testing.T) {
	g := newGrouped(t, 1000, keygroup.Range{First: 250, Last: 273}, 20)
	cfg := dbtest.Config(t, g.path, smallFrames, g.lines())
	key := func(group uint32, rest string) []byte { return append(keygroup.Prefix(group, 1000), rest...) }
	parts := map[string]host.RestoreOptions{
		"one group":              {KeyGroups: &keygroup.Range{First: 256, Last: 256}},
		"some groups":            {KeyGroups: &keygroup.Range{First: 255, Last: 260}},
		"all groups":             {KeyGroups: &keygroup.Range{First: 250, Last: 273}},
		"from a key":             {Keys: host.KeyRange{From: key(260, "key-00007")}},
		"up to a key":            {Keys: host.KeyRange{To: key(260, "key-00007")}},
		"between keys":           {Keys: host.KeyRange{From: key(255, "key-00007"), To: key(255, "key-00009")}},
		"between others":         {Keys: host.KeyRange{From: key(255, "z"), To: key(256, "a")}},
		"before all":             {Keys: host.KeyRange{To: key(250, "")}},
		"behind all":             {Keys: host.KeyRange{From: key(274, "")}},
		"groups and keys":        {KeyGroups: &keygroup.Range{First: 255, Last: 260}, Keys: host.KeyRange{From: key(258, "key-00010"), To: key(270, "")}},
		"a column family":        {Families: []string{"orders"}},
		"a family and its group": {Families: []string{"orders", "orders"}, KeyGroups: &keygroup.Range{First: 273, Last: 273}},
	}
	for _, m := range snapshots(t, cfg, "canonical", "native-full") {
		for name, o := range parts {
			t.Run(m.Kind+" "+name, func(t *testing.T) {
				o.Snapshots, o.Method = []string{m.ID}, host.ByRecords
				want := filteredDigest(t, g.path, func(family string, key []byte) bool { return asked(&o, family, key) })
				assert.Equal(t, want, dbtest.Digest(t, restorePart(t, cfg, o).Target))
				if m.Kind == "canonical" && name == "groups and keys" {
					o.Engine = "pebble"
					assert.Equal(t, want, digestOf(t, "pebble", restorePart(t, cfg, o).Target).Digest)
				}
			})
		}
	}
}

// asked tells, in the plainest way, whether a record is wanted.
func asked(o *host.RestoreOptions, family string, key []byte) bool {
	switch {
	case o.Families != nil && o.Families[0] != family:
		return false
	case o.KeyGroups != nil && !o.KeyGroups.Contains(uint32(binary.BigEndian.Uint16(key))):
		return false
	case bytes.Compare(key, o.Keys.From) < 0:
		return false
	}
	return o.Keys.To == nil || bytes.Compare(key, o.Keys.To) < 0
}

// TestRestoreSeveral merges snapshots of any kind that share no key group.
func TestRestoreSeveral(t *testing.T) {
	const count = 16
	var parts []grouped
	for i := range uint32(3) {
		parts = append(parts, newGrouped(t, count, keygroup.Range{First: 5 * i, Last: 5*i + 4}, 50))
	}
	cfg := dbtest.Config(t, parts[0].path, smallFrames)
	ids, digest := []string{}, func(let func(string, []byte) bool) string { return digestOfAll(t, parts, let) }
	for i, strategy := range []string{"canonical", "native-full", "canonical"} {
		ids = append(ids, snapshot(t, parts[i].in(cfg), strategy).ID)
	}
	ids[0], ids[2] = ids[2], ids[0] // any order
	for _, engine := range host.Engines() {
		o := host.RestoreOptions{Snapshots: ids, Engine: engine, Method: host.ByRecords}
		restored := restorePart(t, cfg, o)
		assert.Equal(t, digest(func(string, []byte) bool { return true }), digestOf(t, engine, restored.Target).Digest, engine)
		assert.Equal(t, uint64(3*5*2*50), restored.Records)
		o.KeyGroups = &keygroup.Range{First: 3, Last: 11}
		restored = restorePart(t, cfg, o)
		assert.Equal(t, digest(func(_ string, key []byte) bool { return o.KeyGroups.Contains(uint32(key[0])) }),
			digestOf(t, engine, restored.Target).Digest, engine)
		o.KeyGroups = &keygroup.Range{First: 2, Last: 3} // of one part only
		restored = restorePart(t, cfg, o)
		assert.Equal(t, digest(func(_ string, key []byte) bool { return o.KeyGroups.Contains(uint32(key[0])) }),
			digestOf(t, engine, restored.Target).Digest, engine)
	}
}

// digestOfAll is the content digest of several databases together.
func digestOfAll(t *testing.T, parts []grouped, let func(family string, key []byte) bool) string {
	kind, err := host.KindOf(host.RocksDB)
	require.NoError(t, err)
	sums := make(map[string]canonical.Sum)
	for _, g := range parts {
		require.NoError(t, kind.Read(t.Context(), g.path, func(family string, packed []byte) error {
			sum := sums[family]
			for key, value := range canonical.Records(packed) {
				if let(family, key) {
					sum.Add(key, value)
				}
			}
			sums[family] = sum
			return nil
		}))
	}
	return canonical.Database(sums)
}

// TestRestoreRefuses refuses what would make a database that lacks records, or has
// some twice, before anything is written.
func TestRestoreRefuses(t *testing.T) {
	low := newGrouped(t, 16, keygroup.Range{First: 0, Last: 7}, 2)
	high := newGrouped(t, 16, keygroup.Range{First: 8, Last: 15}, 2)
	middle := newGrouped(t, 16, keygroup.Range{First: 6, Last: 9}, 2)
	finer := newGrouped(t, 64, keygroup.Range{First: 32, Last: 63}, 2)
	cfg := dbtest.Config(t, low.path)
	id := make(map[string]string)
	for name, g := range map[string]grouped{"low": low, "high": high, "middle": middle, "finer": finer} {
		id[name] = snapshot(t, g.in(cfg), "canonical").ID
	}
	none := snapshot(t, cfg, "canonical")
	require.Nil(t, none.KeyGroups)
	id["none"] = none.ID
	groups := func(first, last uint32) *keygroup.Range { return &keygroup.Range{First: first, Last: last} }
	tests := []struct {
		name      string
		snapshots string
		o         host.RestoreOptions
		problem   string
	}{
		{"overlap", "low middle", host.RestoreOptions{}, "snapshots low and middle both hold key groups 6-7"},
		{"overlap within", "middle high", host.RestoreOptions{KeyGroups: groups(9, 12)}, "snapshots middle and high both hold key groups 9-9"},
		{"the same twice", "low low", host.RestoreOptions{}, "snapshots low and low both hold key groups 0-7"},
		{"gap at the end", "low", host.RestoreOptions{KeyGroups: groups(4, 9)}, "no snapshot that is restored holds key groups 8-9"},
		{"gap at the start", "high", host.RestoreOptions{KeyGroups: groups(4, 9)}, "no snapshot that is restored holds key groups 4-7"},
		{"other counts", "low finer", host.RestoreOptions{}, "snapshot low has 16 key groups and finer has 64"},
		{"no such groups", "low", host.RestoreOptions{KeyGroups: groups(3, 16)}, "key groups 3-16 are not a range of 16"},
		{"groups of none", "none", host.RestoreOptions{KeyGroups: groups(0, 1)}, "snapshot none declares no key groups"},
		{"several, one of none", "high none", host.RestoreOptions{}, "one of snapshots high and none declares no key groups"},
		{"no such family", "low", host.RestoreOptions{Families: []string{"order"}}, `column family "order" is in no snapshot that is restored`},
		{"no family", "low", host.RestoreOptions{Families: []string{}}, "no column family is asked for"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := test.problem
			for name := range strings.FieldsSeq(test.snapshots) {
				test.o.Snapshots = append(test.o.Snapshots, id[name])
				want = strings.NewReplacer(" "+name+" ", " "+id[name]+" ").Replace(want)
			}
			test.o.Target, test.o.Method = filepath.Join(t.TempDir(), "target"), host.ByRecords
			_, err := repository(t, cfg).Restore(t.Context(), test.o)
			require.ErrorContains(t, err, want)
			assert.Equal(t, host.CodeUsage, host.CodeOf(err))
			requireAlone(t, filepath.Dir(test.o.Target))
		})
	}
}

// TestRestoreRangeDamage damages the object of a canonical snapshot everywhere: a
// part of it is restored right, or the damage is found.
func TestRestoreRangeDamage(t *testing.T) {
	g := newGrouped(t, 16, keygroup.Range{First: 0, Last: 15}, 40)
	_, key := newKey(t)
	wanted := &keygroup.Range{First: 5, Last: 6}
	want := filteredDigest(t, g.path, func(family string, key []byte) bool { return family == "orders" && wanted.Contains(uint32(key[0])) })
	for name, lines := range map[string]string{"plain": "", "encrypted": key} {
		t.Run(name, func(t *testing.T) {
			cfg := dbtest.Config(t, g.path, smallFrames, g.lines(), lines)
			m := snapshot(t, cfg, "canonical")
			require.NoError(t, repository(t, cfg).Reveal(m))
			object := ""
			for _, f := range m.Contents {
				if f.Kind == abi.KindCanonical && f.Family == "orders" {
					require.Empty(t, object, "one object")
					object = filepath.Join(cfg.Repository.Dir(), filepath.FromSlash(f.Object))
				}
			}
			text, err := os.ReadFile(object)
			require.NoError(t, err)
			found := 0
			try := func(what string, damaged []byte) {
				require.NoError(t, os.Chmod(object, 0o644))
				require.NoError(t, os.WriteFile(object, damaged, 0o644))
				target := filepath.Join(t.TempDir(), "target")
				_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{
					Snapshots: []string{m.ID}, Target: target, KeyGroups: wanted, Families: []string{"orders"}, Engine: "jsonl",
				})
				if err == nil {
					assert.Equal(t, want, digestOf(t, "jsonl", target).Digest, what)
					return
				}
				found++
				// A header of age that is damaged looks like one for another key.
				assert.Contains(t, []host.Code{host.CodeDamaged, host.CodeKey}, host.CodeOf(err), "%s: %v", what, err)
				requireAlone(t, filepath.Dir(target))
			}
			try("whole", text)
			assert.Zero(t, found)
			for at := 0; at < len(text); at += len(text)/32 + 1 {
				damaged := bytes.Clone(text)
				damaged[at] ^= 0x10
				try(fmt.Sprintf("flipped at %d", at), damaged)
			}
			assert.Greater(t, found, 3, "two of sixteen key groups, and the start")
			assert.Less(t, found, 30, "other key groups are of no interest")
			before := found
			for _, size := range []int{0, 10, len(text) / 2, len(text) - 1} {
				try(fmt.Sprintf("cut to %d", size), text[:size])
			}
			try("longer", append(bytes.Clone(text), 0))
			assert.GreaterOrEqual(t, found, before+4)
			require.NoError(t, os.Remove(object))
			_, err = repository(t, cfg).Restore(t.Context(), host.RestoreOptions{
				Snapshots: []string{m.ID}, Target: filepath.Join(t.TempDir(), "target"), KeyGroups: wanted,
			})
			assert.ErrorContains(t, err, "is missing")
			assert.Equal(t, host.CodeDamaged, host.CodeOf(err))
		})
	}
}
