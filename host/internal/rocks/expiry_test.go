package rocks

import (
	"encoding/binary"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/linxGnu/grocksdb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/expiry"
)

// withTTL makes a database as an application does that opens it with RocksDB's
// own TTL, with the families "default" and "sessions" and a record in each.
func withTTL(t *testing.T, path string, seconds int) (*grocksdb.DB, *grocksdb.ColumnFamilyHandle) {
	t.Helper()
	o, w := grocksdb.NewDefaultOptions(), grocksdb.NewDefaultWriteOptions()
	defer o.Destroy()
	defer w.Destroy()
	o.SetCreateIfMissing(true)
	app, err := grocksdb.OpenDbWithTTL(o, path, seconds)
	require.NoError(t, err)
	sessions, err := app.CreateColumnFamilyWithTTL(o, "sessions", seconds)
	require.NoError(t, err)
	require.NoError(t, app.Put(w, []byte("k"), []byte("v")))
	require.NoError(t, app.PutCF(w, sessions, []byte("s"), []byte("w")))
	return app, sessions
}

// clock is a clock that a test sets.
type clock struct{ seconds atomic.Int64 }

func (c *clock) now() time.Time { return time.Unix(c.seconds.Load(), 0) }

func at(seconds int64) *clock {
	c := new(clock)
	c.seconds.Store(seconds)
	return c
}

// suffixed is a value as RocksDB's TTL stores it.
func suffixed(value string, seconds uint32) string {
	return string(binary.LittleEndian.AppendUint32([]byte(value), seconds))
}

// prefixed is a value with milliseconds before it.
func prefixed(value string, milliseconds uint64) string {
	return string(binary.BigEndian.AppendUint64(nil, milliseconds)) + value
}

// TestBorrowedWithTTL reads what is stored of a database that is open with
// RocksDB's TTL, times included: that wrapper hides them, and its iterators lack
// what a scan asks for, so that the library aborted.
func TestBorrowedWithTTL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	before := time.Now().Unix()
	app, sessions := withTTL(t, path, 3600)
	db := lend(t, app, path, []*grocksdb.ColumnFamilyHandle{sessions})
	found := content(t, db)
	for family, value := range map[string]string{"default": "v", "sessions": "w"} {
		require.Len(t, found[family], 1)
		stored := found[family][0].value
		require.Len(t, stored, 5)
		assert.Equal(t, value, stored[:1])
		assert.InDelta(t, before, binary.LittleEndian.Uint32([]byte(stored[1:])), 60)
	}
	require.NoError(t, db.Close())
	sessions.Destroy()
	app.Close()
}

// TestCompactionDropsWhatExpired compacts with every combination of a rule and a
// record, and leaves OPTIONS as it was.
func TestCompactionDropsWhatExpired(t *testing.T) {
	const now, life = 1_700_000_000, 100
	path := filepath.Join(t.TempDir(), "db")
	app, sessions := withTTL(t, path, 1)
	sessions.Destroy()
	app.Close()
	db := open(t, path, Creation{})
	require.NoError(t, db.Close())
	before, err := OptionsText(path)
	require.NoError(t, err)
	require.Contains(t, before, "TtlCompactionFilterFactory")

	suffix := []record{
		{"expired", suffixed("", now-life-1)}, {"expired-first", suffixed("x", 0)},
		{"future", suffixed("x", now+1000)}, {"last-second", suffixed("x", now-life)},
		{"short", "abc"}, {"signed", suffixed("x", 1<<31+5)}, {"unsigned", suffixed("x", 1<<32-1)},
	}
	prefix := []record{
		{"expired", prefixed("x", 1000*(now-life)-1)}, {"expired-first", prefixed("", 0)},
		{"future", prefixed("x", 1000*now+1)}, {"last", prefixed("x", 1000*(now-life))},
		{"overflow", prefixed("x", 1<<64-1)}, {"short", "1234567"},
	}
	isExpired := func(r record) bool { return r.key[:3] == "exp" }
	rules := expiry.Rules{"default": {Format: expiry.RocksDB, Seconds: life}, "sessions": {Format: expiry.MSPrefix, Seconds: life}}
	for _, test := range []struct {
		rules expiry.Rules
		drops bool
	}{{nil, false}, {rules, true}} {
		db, err := Open(path, Options{Expiry: Expiry{test.rules, at(now).now}})
		require.NoError(t, err)
		put(t, db, "default", append(suffix, record{"k", suffixed("", now)})...)
		put(t, db, "sessions", append(prefix, record{"s", prefixed("", 1000*now)})...)
		require.NoError(t, db.CompactAll())
		for name, records := range map[string][]record{"default": suffix, "sessions": prefix} {
			want := slices.Clone(records)
			if test.drops {
				want = slices.DeleteFunc(want, isExpired)
			}
			assert.Subset(t, content(t, db)[name], want)
			assert.Len(t, content(t, db)[name], len(want)+1)
		}
		require.NoError(t, db.Close())
		after, err := OptionsText(path)
		require.NoError(t, err)
		assert.Equal(t, before, after)
		require.NoError(t, checkSettings(path))
	}
}

// TestCompactionWithoutStoredTTL drops by a format that RocksDB does not have,
// and leaves nothing in OPTIONS that another program would miss.
func TestCompactionWithoutStoredTTL(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Creation{})
	put(t, db, "default", record{"a", prefixed("x", 1000)}, record{"b", prefixed("x", 9000)})
	require.NoError(t, db.Close())
	db, err := Open(path, Options{Expiry: Expiry{expiry.Rules{"default": {Format: expiry.MSPrefix, Seconds: 5}}, at(10).now}})
	require.NoError(t, err)
	require.NoError(t, db.CompactAll())
	assert.Equal(t, []record{{"b", prefixed("x", 9000)}}, content(t, db)["default"])
	require.NoError(t, db.Close())
	require.NoError(t, checkSettings(path))
	text, err := OptionsText(path)
	require.NoError(t, err)
	assert.Contains(t, text, "\n  compaction_filter_factory=nullptr\n")
	assert.NotContains(t, text, "rocksnap")
}

// TestViewKeepsWhatWasLive compacts under a view, whose records expire meanwhile.
func TestViewKeepsWhatWasLive(t *testing.T) {
	rules := expiry.Rules{"default": {Format: expiry.MSPrefix, Seconds: 10}}
	c := at(100)
	path := filepath.Join(t.TempDir(), "db")
	open(t, path, Creation{}).Close()
	db, err := Open(path, Options{Expiry: Expiry{rules, c.now}})
	require.NoError(t, err)
	defer db.Close()
	put(t, db, "default", record{"long ago", prefixed("x", 1000)}, record{"still", prefixed("x", 95_000)})
	view, err := db.View()
	require.NoError(t, err)
	view.Hide(rules, c.now())
	c.seconds.Store(200)
	require.NoError(t, db.CompactAll())
	scan, err := view.Scan(0, nil, nil)
	require.NoError(t, err)
	buf := make([]byte, 1<<10)
	n, records, err := scan.Next(buf)
	require.NoError(t, err)
	assert.Equal(t, 1, records)
	assert.Equal(t, []record{{"still", prefixed("x", 95_000)}}, unpack(t, buf[:n]))
	scan.Close()
	view.Close()
	require.NoError(t, db.CompactAll())
	assert.Empty(t, content(t, db)["default"])
}

// TestScanHides reads live records only, whatever of them fits into a buffer, and
// names the record that cannot be judged.
func TestScanHides(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	db := open(t, path, Creation{})
	defer db.Close()
	var want []record
	for i, r := range sample(0, 3000, 30) {
		born := uint64(1000)
		if i%7 == 0 && (i < 1000 || i > 2000) { // with a gap of several buffers
			born = 500_000
		}
		r.value = prefixed(r.value, born)
		put(t, db, "default", r)
		if born > 1000 {
			want = append(want, r)
		}
	}
	view, err := db.View()
	require.NoError(t, err)
	defer view.Close()
	hidden := expiry.Rules{"default": {Format: expiry.MSPrefix, Seconds: 60}}
	view.Hide(hidden, time.Unix(520, 0))
	got, err := read(t, view, 0, nil, nil, 4096)
	require.NoError(t, err)
	assert.Equal(t, want, got)

	put(t, db, "default", record{"key-00001000", "short"})
	later, err := db.View()
	require.NoError(t, err)
	defer later.Close()
	later.Hide(hidden, time.Unix(520, 0))
	_, err = read(t, later, 0, nil, nil, 4096)
	assert.ErrorIs(t, err, abi.ECORRUPT)
	assert.ErrorContains(t, err, `column family "default": key 6b65792d3030303031303030: a value of 5 bytes is too short for a time in format ms-prefix`)
}

// TestRestoredTTLDropsNothing makes a database of the options of another one, as a
// restore does: its stored TTL, by the clock of the machine, must not take away
// what is being restored.
func TestRestoredTTLDropsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	app, sessions := withTTL(t, path, 1)
	sessions.Destroy()
	app.Close()
	text, err := OptionsText(path)
	require.NoError(t, err)
	made, err := Create(filepath.Join(t.TempDir(), "made"), text, []string{"default", "sessions"})
	require.NoError(t, err)
	old := record{"k", suffixed("v", 1000)}
	put(t, made, "sessions", old)
	require.NoError(t, made.CompactAll())
	assert.Equal(t, []record{old}, content(t, made)["sessions"])
	require.NoError(t, made.Close())
	again, err := OptionsText(made.Path())
	require.NoError(t, err)
	assert.Contains(t, again, "compaction_filter_factory={id=TtlCompactionFilterFactory;user_filter_factory=nullptr;ttl=1;}")
}
