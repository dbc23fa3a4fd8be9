package host_test

import (
	"bytes"
	"context"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/age"
	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// openRepository opens the repository over any store and with any options.
func openRepository(t testing.TB, cfg *config.Config, options ...host.Option) *host.Repository {
	t.Helper()
	r, err := host.OpenRepository(t.Context(), cfg, options...)
	require.NoError(t, err)
	return r
}

func verify(t testing.TB, r *host.Repository, o host.VerifyOptions) *host.Verified {
	t.Helper()
	v, err := r.Verify(t.Context(), o)
	require.NoError(t, err)
	return v
}

// everyObject returns the names of all objects and modules that snapshots refer to.
func everyObject(list []*host.Manifest) []string {
	names := make(map[string]bool)
	for _, m := range list {
		names[catalog.ModuleName(m.Strategy.Module)] = true
		for _, f := range m.Contents {
			names[f.Object] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// calls writes down which data objects and modules are opened.
type calls struct {
	sync.Mutex
	opened []string
}

func (c *calls) note(op blob.Op) {
	if op.Verb == blob.VerbOpen && !strings.HasPrefix(op.Name, "db/") && op.Name != "format.json" {
		c.Lock()
		defer c.Unlock()
		c.opened = append(c.opened, op.Name)
	}
}

// TestVerifyPasses has each level do what it says and no more.
func TestVerifyPasses(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[1].make(t))
	list := snapshots(t, cfg, append(dbtest.Builtin, "incremental")...)
	names := everyObject(list)
	for i, level := range host.Levels {
		var c calls
		var last host.Progress
		r := openRepository(t, cfg, host.WithStore(blob.Observe(store(t, cfg), c.note)), host.WithProgress(func(p host.Progress) {
			if p.Phase == "verify" {
				last = p
			}
		}))
		v := verify(t, r, host.VerifyOptions{Level: level})
		assert.Empty(t, v.Problems)
		assert.Equal(t, 4, v.Snapshots)
		require.Len(t, v.Passes, i+1)
		assert.Equal(t, 1+4, v.Passes[0].Checked, "the format and four snapshots; %s", level)
		assert.Equal(t, len(names), v.Objects+3, "and three modules")
		for n, p := range v.Passes {
			assert.Equal(t, host.Levels[n], p.Level)
			assert.NotZero(t, p.Checked)
			assert.Zero(t, p.Problems+p.Left)
		}
		slices.Sort(c.opened)
		switch level {
		case host.LevelCatalog, host.LevelObjects:
			assert.Empty(t, c.opened, level)
		case host.LevelData:
			assert.Equal(t, names, c.opened, "each once")
			assert.Equal(t, v.Bytes, v.Passes[2].Bytes)
		case host.LevelRestore:
			assert.Equal(t, 4, v.Passes[3].Checked)
		}
		if i > 0 {
			assert.Equal(t, v.Bytes, last.BytesDone)
			assert.Equal(t, last.BytesTotal, last.BytesDone)
		}
	}
	_, err := os.Stat(filepath.Join(cfg.Repository.Dir(), "db", cfg.Repository.Name, "pins"))
	if err == nil {
		requireAlone(t, filepath.Join(cfg.Repository.Dir(), "db", cfg.Repository.Name, "pins"))
	}
}

// TestVerifySample has t runs read everything between them, each thing once.
func TestVerifySample(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[1].make(t))
	list := snapshots(t, cfg, append(dbtest.Builtin, "incremental")...)
	names := everyObject(list)
	victim := list[0].Contents[0]
	damages[1].inflict(t, cfg, victim.Object)
	gone := list[2].Contents[0]
	damages[0].inflict(t, cfg, gone.Object)
	for _, of := range []int{1, 3, 7} {
		var c calls
		r := openRepository(t, cfg, host.WithStore(blob.Observe(store(t, cfg), c.note)))
		found, checked := 0, 0
		for n := 1; n <= of; n++ {
			before := len(c.opened)
			v := verify(t, r, host.VerifyOptions{Level: host.LevelData, Sample: host.Sample{N: n, Of: of}})
			assert.Contains(t, v.Problems, host.Finding{Snapshot: list[2].ID, File: gone.Name, Object: gone.Object, What: "is missing"},
				"every run asks for every object")
			found += len(v.Problems) - 1
			p := v.Passes[2]
			checked += p.Checked
			assert.Equal(t, p.Checked, len(c.opened)-before)
			assert.Equal(t, len(names)-1, p.Checked+p.Left)
		}
		assert.Equal(t, 1, found, "one run reads the damaged object")
		slices.Sort(c.opened)
		want := slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == gone.Object })
		assert.Equal(t, want, c.opened, "of %d", of)
		assert.Equal(t, len(want), checked)
	}
}

// TestVerifySampleOfDrills has each snapshot restored by one of the runs.
func TestVerifySampleOfDrills(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	snapshots(t, cfg, "native-full", "canonical", "canonical", "native-full")
	r := repository(t, cfg)
	checked := 0
	for n := 1; n <= 3; n++ {
		v := verify(t, r, host.VerifyOptions{Level: host.LevelRestore, Sample: host.Sample{N: n, Of: 3}})
		assert.Empty(t, v.Problems)
		checked += v.Passes[3].Checked
		assert.Equal(t, 4, v.Passes[3].Checked+v.Passes[3].Left)
	}
	assert.Equal(t, 4, checked)
}

func TestParseSample(t *testing.T) {
	for text, want := range map[string]host.Sample{"": {}, "1/1": {N: 1, Of: 1}, "2/7": {N: 2, Of: 7}} {
		s, err := host.ParseSample(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, s)
		if text != "" {
			assert.Equal(t, text, s.String())
		}
	}
	for _, text := range []string{"0/1", "2/1", "1", "/", "1/", "a/b", "1/2/3", "-1/2", "1/-2", "1.5/2", " 1/2"} {
		_, err := host.ParseSample(text)
		assert.Equal(t, host.CodeUsage, host.CodeOf(err), text)
	}
}

func TestVerifyRefusesNonsense(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	m := snapshot(t, cfg, "native-full")
	r := repository(t, cfg)
	for _, o := range []host.VerifyOptions{
		{},
		{Level: "deep"},
		{Level: host.LevelData, Sample: host.Sample{N: 3, Of: 2}},
		{Level: host.LevelData, Sample: host.Sample{N: 0, Of: 2}},
		{Level: host.LevelObjects, Sample: host.Sample{N: 1, Of: 2}},
		{Level: host.LevelCatalog, Seen: "yesterday"},
		{Level: host.LevelCatalog, Seen: "0:" + strings.Repeat("ab", 32)},
		{Level: host.LevelCatalog, Seen: "1:" + strings.Repeat("ab", 31)},
		{Level: host.LevelCatalog, Seen: "1:" + strings.Repeat("ab", 32), Snapshots: []string{m.ID}},
	} {
		v, err := r.Verify(t.Context(), o)
		assert.Nil(t, v)
		assert.Equal(t, host.CodeUsage, host.CodeOf(err), "%v: %v", o, err)
		assert.NotEmpty(t, host.HintOf(err), "%v", o)
	}
	_, err := r.Verify(t.Context(), host.VerifyOptions{Level: host.LevelData, Snapshots: []string{"ffff"}})
	assert.Error(t, err)
}

// TestVerifyNamed looks at the named snapshots alone.
func TestVerifyNamed(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	list := snapshots(t, cfg, "native-full", "native-full")
	damages[0].inflict(t, cfg, list[0].Contents[0].Object)
	r := repository(t, cfg)
	v := verify(t, r, host.VerifyOptions{Level: host.LevelRestore, Snapshots: []string{"latest", list[1].ID}})
	assert.Empty(t, v.Problems)
	assert.Equal(t, 1, v.Snapshots)
	assert.Equal(t, len(list[1].Contents), v.Objects)
	v = verify(t, r, host.VerifyOptions{Level: host.LevelObjects, Snapshots: []string{list[0].ID}})
	assert.Len(t, v.Problems, 1)
}

// TestVerifyServerChecksum believes a store that knows the checksum of what it
// holds, and downloads nothing.
func TestVerifyServerChecksum(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	m := snapshot(t, cfg, "native-full")
	f := m.Contents[0]
	damages[2].inflict(t, cfg, f.Object)
	var c calls
	r := openRepository(t, cfg, host.WithStore(summing{blob.Observe(store(t, cfg), c.note), store(t, cfg)}))
	v := verify(t, r, host.VerifyOptions{Level: host.LevelObjects})
	require.Len(t, v.Problems, 1)
	assert.Equal(t, f.Object, v.Problems[0].Object)
	assert.Contains(t, v.Problems[0].What, "checksum")
	assert.Empty(t, c.opened)
}

// summing is a store that reads an object to tell its checksum, as a server does.
type summing struct {
	blob.Store
	disk blob.Store
}

func (s summing) Stat(ctx context.Context, name string) (blob.Info, error) {
	info, err := s.Store.Stat(ctx, name)
	if err != nil {
		return info, err
	}
	body, err := s.disk.Open(ctx, name, 0, -1)
	if err != nil {
		return info, err
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	sum := crc32.Checksum(text, crc32.MakeTable(crc32.Castagnoli))
	info.CRC32C = &sum
	return info, err
}

// TestVerifyCountsOrphans counts what nothing refers to, and finds no fault with it.
func TestVerifyCountsOrphans(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	cfg.Retention.Grace = 0
	snapshot(t, cfg, "native-full")
	announced := announce(t, cfg)
	for _, session := range []string{uuid.NewString(), announced} {
		require.NoError(t, store(t, cfg).Create(t.Context(), catalog.ObjectName(session, 1), bytes.NewReader(make([]byte, 12))))
	}
	v := verify(t, repository(t, cfg), host.VerifyOptions{Level: host.LevelCatalog})
	assert.Empty(t, v.Problems)
	assert.Equal(t, 1, v.Orphans)
	assert.EqualValues(t, 12, v.OrphanBytes)
	cfg.Retention.Grace = config.Duration(1 << 40)
	assert.Zero(t, verify(t, repository(t, cfg), host.VerifyOptions{Level: host.LevelCatalog}).Orphans, "too young to go")
}

// announce leaves an intent and a note, as a session that was killed does.
func announce(t testing.TB, cfg *config.Config) (session string) {
	t.Helper()
	c, err := catalog.Open(t.Context(), store(t, cfg), cfg.Repository.Name)
	require.NoError(t, err)
	w, err := c.Acquire(t.Context(), catalog.Owner{Host: "here", PID: 1})
	require.NoError(t, err)
	session = uuid.Must(uuid.NewV7()).String()
	s, err := w.Begin(t.Context(), session)
	require.NoError(t, err)
	require.NoError(t, s.Note(t.Context(), catalog.Stored{Key: "table:1", Object: s.Mint(), Size: 40 << 20}))
	return session
}

// TestVerifyHoldsSnapshots has a pin in the repository whenever an object is read.
func TestVerifyHoldsSnapshots(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	list := snapshots(t, cfg, "native-full", "canonical")
	held := make(map[string]bool) // slot's pins at the moments of reading
	var mu sync.Mutex
	pins := filepath.Join(cfg.Repository.Dir(), "db", cfg.Repository.Name, "pins")
	r := openRepository(t, cfg, host.WithStore(blob.Observe(store(t, cfg), func(op blob.Op) {
		if op.Verb != blob.VerbOpen || !strings.HasPrefix(op.Name, "objects/") {
			return
		}
		entries, err := os.ReadDir(pins)
		mu.Lock()
		defer mu.Unlock()
		assert.NoError(t, err)
		for _, e := range entries {
			text, err := os.ReadFile(filepath.Join(pins, e.Name()))
			assert.NoError(t, err)
			for _, m := range list {
				if bytes.Contains(text, []byte(m.ID)) && slices.ContainsFunc(m.Contents, func(f host.File) bool { return f.Object == op.Name }) {
					held[op.Name] = true
				}
			}
		}
	})))
	v := verify(t, r, host.VerifyOptions{Level: host.LevelData})
	assert.Empty(t, v.Problems)
	assert.Len(t, held, v.Objects)
	requireAlone(t, pins)
}

// TestVerifyBesidePrune has prune remove a snapshot, objects and all, between the
// levels of a verification.
func TestVerifyBesidePrune(t *testing.T) {
	unraced(t)
	cfg := dbtest.Config(t, shapes[0].make(t))
	cfg.Retention.Grace = 0
	list := snapshots(t, cfg, "native-full", "canonical")
	object := filepath.Join(cfg.Repository.Dir(), list[0].Contents[0].Object)
	for _, level := range []host.Level{host.LevelObjects, host.LevelData} {
		before := false
		var once sync.Once
		other := repository(t, cfg)
		r := openRepository(t, cfg, host.WithStore(early{store(t, cfg), func(name string) {
			if !strings.HasPrefix(name, "objects/") {
				return
			}
			once.Do(func() {
				_, err := os.Stat(object)
				before = err == nil
				if before {
					_, err = other.Prune(t.Context(), host.PruneOptions{Remove: []string{list[0].ID}})
					assert.NoError(t, err)
					assert.NoFileExists(t, object)
				}
			})
		}}))
		v := verify(t, r, host.VerifyOptions{Level: level})
		assert.Empty(t, v.Problems, level)
		assert.Equal(t, level == host.LevelObjects, before)
	}
	damages[0].inflict(t, cfg, list[1].Contents[0].Object)
	assert.Len(t, verify(t, repository(t, cfg), host.VerifyOptions{Level: host.LevelData}).Problems, 1)
}

// early is a store that tells of every Stat before it happens.
type early struct {
	blob.Store
	tell func(name string)
}

func (e early) Stat(ctx context.Context, name string) (blob.Info, error) {
	e.tell(name)
	return e.Store.Stat(ctx, name)
}

// TestVerifyEncrypted proves every byte that is stored without a key. Only a drill
// needs one.
func TestVerifyEncrypted(t *testing.T) {
	unraced(t)
	cfg, key := withKey(t, shapes[0].make(t))
	list := snapshots(t, cfg, dbtest.Builtin...)
	cfg.Repository.Encryption.IdentityFile = ""
	r := repository(t, cfg)
	assert.Empty(t, verify(t, r, host.VerifyOptions{Level: host.LevelData}).Problems)
	v, err := r.Verify(t.Context(), host.VerifyOptions{Level: host.LevelRestore})
	assert.Equal(t, host.CodeKey, host.CodeOf(err), "%v", err)
	assert.Empty(t, v.Problems)
	assert.Equal(t, host.Pass{Level: host.LevelRestore, Unread: 3}, v.Passes[3])

	cfg.Repository.Encryption.IdentityFile = key
	v = verify(t, repository(t, cfg), host.VerifyOptions{Level: host.LevelRestore})
	assert.Empty(t, v.Problems)
	assert.Equal(t, 3, v.Passes[3].Checked)

	f := list[0].Contents[0]
	damages[2].inflict(t, cfg, f.Object)
	cfg.Repository.Encryption.IdentityFile = ""
	v = verify(t, repository(t, cfg), host.VerifyOptions{Level: host.LevelData})
	assert.Equal(t, []host.Finding{{Snapshot: list[0].ID, File: f.Name, Object: f.Object, What: "has changed: its digest is wrong"}}, v.Problems)
}

// withKey makes an encrypted repository; the private key is in the file.
func withKey(t testing.TB, path string) (cfg *config.Config, keyFile string) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	keyFile = filepath.Join(t.TempDir(), "key.txt")
	require.NoError(t, os.WriteFile(keyFile, []byte(key.String()+"\n"), 0o600))
	cfg = dbtest.Config(t, path, "[repository.encryption]",
		`recipients = ["`+key.Recipient().String()+`"]`, `identity_file = "`+keyFile+`"`)
	return cfg, keyFile
}
