package host_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

const (
	rocksdbTTL = "[column_families.default]\nttl = { format = \"rocksdb\", seconds = 100 }\n"
	prefixTTL  = "[column_families.carts]\nttl = { format = \"ms-prefix\", seconds = 100 }\n"
)

// instant is the time of the snapshots of most of these tests.
const instant = 1_700_000_000

// clockAt stops the clock of a host some seconds after the instant.
func clockAt(seconds int64) host.Option {
	return host.WithClock(func() time.Time { return time.Unix(instant+seconds, 0) })
}

// ttlDatabase makes a database of three column families: default, with RocksDB's
// own TTL, carts, with times before its values, and plain. Each has a record that
// was written at each of some times, in seconds after the instant.
func ttlDatabase(t *testing.T, written ...int64) string {
	t.Helper()
	o := grocksdb.NewDefaultOptions()
	defer o.Destroy()
	o.SetCreateIfMissing(true)
	model := filepath.Join(t.TempDir(), "model")
	app, err := grocksdb.OpenDbWithTTL(o, model, 100)
	require.NoError(t, err)
	for _, name := range []string{"carts", "plain"} {
		h, err := app.CreateColumnFamilyWithTTL(o, name, 100)
		require.NoError(t, err)
		h.Destroy()
	}
	app.Close()
	text, err := rocks.OptionsText(model)
	require.NoError(t, err)
	const filter = "compaction_filter_factory={id=TtlCompactionFilterFactory;user_filter_factory=nullptr;ttl=100;}"
	require.Equal(t, 3, strings.Count(text, filter))
	first, rest, _ := strings.Cut(text, filter) // default comes first and keeps it
	text = first + filter + strings.ReplaceAll(rest, filter, "compaction_filter_factory=nullptr")
	path := filepath.Join(t.TempDir(), "db")
	made, err := rocks.Create(path, text, []string{"carts", "plain"})
	require.NoError(t, err)
	require.NoError(t, made.Close())
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		for _, at := range written {
			key := fmt.Appendf(nil, "at-%+05d", at)
			suffixed := binary.LittleEndian.AppendUint32([]byte("value"), uint32(instant+at))
			prefixed := append(binary.BigEndian.AppendUint64(nil, uint64(1000*(instant+at))), "value"...)
			require.NoError(t, db.PutBlock("default", canonical.AppendRecord(nil, key, suffixed)))
			require.NoError(t, db.PutBlock("carts", canonical.AppendRecord(nil, key, prefixed)))
			require.NoError(t, db.PutBlock("plain", canonical.AppendRecord(nil, key, []byte("v"))))
			require.NoError(t, db.Flush())
		}
	})
	return path
}

// take takes a snapshot of a database at rest, some seconds after the instant.
func take(t *testing.T, cfg *config.Config, strategy string, seconds int64, options ...host.Option) *host.Manifest {
	t.Helper()
	own := *cfg
	own.Snapshot.Strategy = strategy // so that no other module is loaded
	h := open(t, &own, append(options, host.Offline(), clockAt(seconds))...)
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	return m
}

// held counts the records of a database that RocksDB holds, expired or not.
func held(t *testing.T, path string) map[string]int {
	t.Helper()
	db, err := rocks.OpenOffline(path)
	require.NoError(t, err)
	defer db.Close()
	view, err := db.View()
	require.NoError(t, err)
	defer view.Close()
	counts := make(map[string]int)
	for _, f := range view.Families() {
		scan, err := view.Scan(f.ID, nil, nil)
		require.NoError(t, err)
		_, counts[f.Name], err = scan.Next(make([]byte, 1<<16))
		require.NoError(t, err)
		scan.Close()
	}
	return counts
}

// records returns how many records a content has, by column family.
func records(c *host.Content) map[string]int {
	counts := make(map[string]int)
	for name, sum := range c.Families {
		counts[name] = int(sum.Records)
	}
	return counts
}

// TestTTL writes, lets expire, takes snapshots and restores, through every
// built-in strategy as wasm: canonical drops what has expired at its instant,
// native keeps and hides it, and no restore makes a record younger.
func TestTTL(t *testing.T) {
	path := ttlDatabase(t, -200, -101, -100, -50, 0, 5000)
	cfg := dbtest.Config(t, path, rocksdbTTL, prefixTTL)
	all := map[string]int{"default": 6, "carts": 6, "plain": 6}
	live := map[string]int{"default": 4, "carts": 4, "plain": 6}
	for _, strategy := range dbtest.Builtin {
		m := take(t, cfg, strategy, 0)
		for _, f := range m.Families {
			want := map[string]*catalog.TTL{"default": {Format: "rocksdb", Seconds: 100}, "carts": {Format: "ms-prefix", Seconds: 100}}[f.Name]
			assert.Equal(t, want, f.TTL, f.Name)
		}
		kept := all
		if strategy == "canonical" {
			kept = live
			assert.EqualValues(t, 14, m.Records)
		}
		target := restore(t, cfg, m.ID)
		assert.Equal(t, kept, held(t, target), strategy)

		// Content is what is live, whoever holds it, at any later time.
		for _, at := range []struct {
			seconds int64
			live    map[string]int
		}{{0, live}, {1, map[string]int{"default": 3, "carts": 3, "plain": 6}}, {100, map[string]int{"default": 2, "carts": 2, "plain": 6}}, {10_000, map[string]int{"plain": 6}}} {
			r, err := host.OpenRepository(t.Context(), cfg, clockAt(at.seconds))
			require.NoError(t, err)
			ofSnapshot, err := r.DigestSnapshot(t.Context(), m.ID)
			require.NoError(t, err)
			for name, n := range records(ofSnapshot) {
				assert.Equal(t, at.live[name], n, "%s %s after %d s", strategy, name, at.seconds)
			}
			restored, err := host.DigestDatabase(t.Context(), target, 1, nil, clockAt(at.seconds)) // by the note of the restore
			require.NoError(t, err)
			live, err := host.DigestConfigured(t.Context(), cfg, clockAt(at.seconds))
			require.NoError(t, err)
			assert.Equal(t, live.Digest, restored.Digest)
			assert.Equal(t, live.Digest, ofSnapshot.Digest)
		}
	}
	// Verification proves what was stored, not what has become of it.
	r, err := host.OpenRepository(t.Context(), cfg, clockAt(10_000))
	require.NoError(t, err)
	verified, err := r.Verify(t.Context(), host.VerifyOptions{Level: host.LevelRestore})
	require.NoError(t, err)
	assert.Empty(t, verified.Problems)
}

// TestTTLDiff compares a canonical with a native snapshot, of which only the one
// holds what had expired.
func TestTTLDiff(t *testing.T) {
	path := ttlDatabase(t, -200, -50)
	cfg := dbtest.Config(t, path, rocksdbTTL, prefixTTL)
	full, live := take(t, cfg, "native-full", 0), take(t, cfg, "canonical", 0)
	r, err := host.OpenRepository(t.Context(), cfg, clockAt(0))
	require.NoError(t, err)
	for change, err := range r.DiffRecords(t.Context(), full.ID, live.ID) {
		require.NoError(t, err)
		assert.Fail(t, "differs", "%+v", change)
	}
}

// pumped exports every column family by way of the guest's own scans.
type pumped struct{ dbtest.Records }

func (p *pumped) Snapshot(_ context.Context, s abi.Session) error {
	families := make([]abi.Family, p.Families)
	if _, err := s.FamiliesRead(0, families); err != nil {
		return err
	}
	buf := make([]byte, 1<<16)
	for _, f := range families {
		scan, err := s.ScanOpen(f.ID, 0, 0)
		if err != nil {
			return err
		}
		defer scan.Close()
		stream, err := s.StreamOpen(abi.StreamSpec{Kind: abi.StreamRecords, Family: f.ID})
		if err != nil {
			return err
		}
		for n := 1; n > 0; {
			if n, err = s.Pump(scan, stream, buf); err != nil {
				return err
			}
		}
		if err := stream.Close(); err != nil {
			return err
		}
	}
	return nil
}

// TestTTLOfScans has a strategy see what the host would export, so that the seal
// holds for what it writes.
func TestTTLOfScans(t *testing.T) {
	path := ttlDatabase(t, -200, -50)
	cfg := dbtest.Config(t, path, rocksdbTTL, prefixTTL, "[strategies.pumped]\nmodule = \"none\"\nallow = [\"scan\", \"stream\"]\n")
	exported := take(t, cfg, "canonical", 0)
	scanned := take(t, cfg, "pumped", 0, host.WithStrategy("pumped", func() abi.Strategy { return new(pumped) }))
	assert.EqualValues(t, 4, scanned.Records)
	assert.Equal(t, exported.ContentDigest, scanned.ContentDigest)
}

// TestTTLOfALentDatabase takes snapshots of a database that its application has
// open with RocksDB's TTL, which hides the times from the application.
func TestTTLOfALentDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	o, w := grocksdb.NewDefaultOptions(), grocksdb.NewDefaultWriteOptions()
	defer o.Destroy()
	defer w.Destroy()
	o.SetCreateIfMissing(true)
	app, err := grocksdb.OpenDbWithTTL(o, path, 100)
	require.NoError(t, err)
	defer app.Close()
	require.NoError(t, app.Put(w, []byte("key"), []byte("value")))
	cfg := dbtest.Config(t, path, rocksdbTTL)
	offset := time.Duration(0)
	h := open(t, cfg, host.WithDB(app), host.WithClock(func() time.Time { return time.Now().Add(offset) }))
	for _, test := range []struct {
		later  time.Duration
		native int
		live   uint64
	}{{0, 1, 1}, {time.Hour, 1, 0}} {
		offset = test.later
		full, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
		require.NoError(t, err)
		live, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "canonical"})
		require.NoError(t, err)
		assert.Equal(t, test.live, live.Records)
		target := restore(t, cfg, full.ID)
		assert.Equal(t, test.native, held(t, target)["default"])
		content, err := h.Digest(t.Context())
		require.NoError(t, err)
		assert.Equal(t, test.live, content.Records)

		again, err := grocksdb.OpenDbWithTTL(o, target, 100)
		require.NoError(t, err)
		r := grocksdb.NewDefaultReadOptions()
		value, err := again.GetBytes(r, []byte("key"))
		require.NoError(t, err)
		assert.Equal(t, "value", string(value), "the restored database is as good with the TTL as the old one")
		r.Destroy()
		again.Close()
	}
}

// TestTTLMismatch opens databases with other TTLs than they have.
func TestTTLMismatch(t *testing.T) {
	path := ttlDatabase(t, 0)
	both := dbtest.Config(t, path, rocksdbTTL, prefixTTL)
	m := take(t, both, "native-full", 0)
	restored := restore(t, both, m.ID)
	for _, test := range []struct {
		name, path string
		lines      string
		err, hint  string
	}{
		{"none, RocksDB's", path, prefixTTL,
			`column family "default" has no ttl in the configuration, but one of format rocksdb by RocksDB's OPTIONS`,
			`add ttl = { format = "rocksdb", seconds = 100 } under [column_families."default"]`},
		{"other format, RocksDB's", path, strings.Replace(rocksdbTTL, "rocksdb", "ms-prefix", 1) + prefixTTL,
			`column family "default" has a ttl of format ms-prefix in the configuration, but one of format rocksdb by RocksDB's OPTIONS`, "only seconds may change"},
		{"RocksDB's without a trace of it", path, rocksdbTTL + strings.Replace(prefixTTL, "ms-prefix", "rocksdb", 1),
			`column family "carts" has a ttl of format rocksdb in the configuration, but none by RocksDB's OPTIONS`, "take it out"},
		{"none, restored", restored, rocksdbTTL,
			`column family "carts" has no ttl in the configuration, but one of format ms-prefix by the note of its restore`, "add ttl"},
		{"one too many, restored", restored, rocksdbTTL + prefixTTL + strings.Replace(prefixTTL, "carts", "plain", 1),
			`column family "plain" has a ttl of format ms-prefix in the configuration, but none by the note of its restore`, "take it out"},
		{"one too many, history", path, rocksdbTTL + prefixTTL + strings.Replace(prefixTTL, "carts", "plain", 1),
			`column family "plain" has a ttl of format ms-prefix in the configuration, but none by its newest snapshot, ` + m.ID, "another [repository] name"},
		{"misspelt", path, rocksdbTTL + prefixTTL + strings.Replace(prefixTTL, "carts", "cart", 1),
			`the configuration has a ttl for column family "cart", which the database does not have`, "correct the name"},
	} {
		cfg := at(both, test.path)
		other, err := config.Parse(cfg.Path, []byte("version = 1\ndatabase.path = \"db\"\nrepository.url = \"file:r\"\nsnapshot.strategy = \"canonical\"\n"+test.lines), nil)
		require.NoError(t, err)
		cfg.Families = other.Families
		_, err = host.Open(t.Context(), cfg, host.WithModuleCache(dbtest.Cache()))
		require.ErrorContains(t, err, test.err, test.name)
		assert.Equal(t, host.CodeUsage, host.CodeOf(err))
		assert.Contains(t, host.HintOf(err), test.hint, test.name)
	}

	// Without any TTL in the configuration, the history is asked at a snapshot.
	plain := dbtest.New(t, rocks.Creation{})
	cfg := dbtest.Config(t, plain, strings.Replace(prefixTTL, "carts", "default", 1))
	dbtest.Edit(t, plain, rocks.Creation{}, func(db *rocks.DB) {
		require.NoError(t, db.PutBlock("default", record("k", "12345678value")))
	})
	take(t, cfg, "native-full", 0)
	cfg.Families = nil
	h := open(t, cfg, host.Offline())
	_, err := h.Snapshot(t.Context(), host.SnapshotOptions{})
	require.ErrorContains(t, err, `column family "default" has no ttl in the configuration, but one of format ms-prefix by its newest snapshot`)
	assert.Equal(t, host.CodeUsage, host.CodeOf(err))
}

// TestTTLSecondsMayChange opens a database with a longer life for its records.
func TestTTLSecondsMayChange(t *testing.T) {
	path := ttlDatabase(t, -200, 0)
	cfg := dbtest.Config(t, path, rocksdbTTL, prefixTTL)
	assert.EqualValues(t, 4, take(t, cfg, "canonical", 0).Records) // two of plain
	longer := dbtest.Config(t, path, strings.ReplaceAll(rocksdbTTL+prefixTTL, "100", "1000"))
	longer.Repository = cfg.Repository
	assert.EqualValues(t, 6, take(t, longer, "canonical", 0).Records)
}

// TestTTLOfAValueWithoutTime refuses to judge a value that has no room for a time;
// a native snapshot has no need to.
func TestTTLOfAValueWithoutTime(t *testing.T) {
	path := ttlDatabase(t, 0)
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		require.NoError(t, db.PutBlock("carts", record("broken", "short")))
	})
	cfg := dbtest.Config(t, path, rocksdbTTL, prefixTTL, "[strategies.pumped]\nmodule = \"none\"\nallow = [\"scan\", \"stream\"]\n")
	target := restore(t, cfg, take(t, cfg, "native-full", 0).ID)
	assert.Equal(t, 2, held(t, target)["carts"])
	h := open(t, cfg, host.Offline(), clockAt(0), host.WithStrategy("pumped", func() abi.Strategy { return new(pumped) }))
	for _, strategy := range []string{"canonical", "pumped"} {
		_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
		require.ErrorContains(t, err, `column family "carts": key 62726f6b656e: a value of 5 bytes is too short for a time in format ms-prefix`)
		assert.NotEqual(t, host.CodePlugin, host.CodeOf(err), "the strategy is not at fault")
	}
}
