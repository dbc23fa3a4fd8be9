package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
)

var owner = Owner{Host: "web-1", PID: 42}

// repository makes an empty repository in a directory of its own.
func repository(t testing.TB) (store blob.Store, root string) {
	t.Helper()
	root = t.TempDir()
	store, err := dir.Create(root)
	require.NoError(t, err)
	_, err = Init(t.Context(), store, Format{})
	require.NoError(t, err)
	return store, root
}

func open(t testing.TB, store blob.Store) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), store, "orders")
	require.NoError(t, err)
	return c
}

func acquire(t testing.TB, c *Catalog) *Writer {
	t.Helper()
	w, err := c.Acquire(t.Context(), owner)
	require.NoError(t, err)
	return w
}

func commit(t testing.TB, w *Writer) *Manifest {
	t.Helper()
	m := manifest()
	require.NoError(t, w.commit(t.Context(), m))
	return m
}

// manifest returns a valid manifest with one new and one reused file.
func manifest() *Manifest {
	session := uuid.NewString()
	digest := strings.Repeat("0a", 32)
	return &Manifest{
		Summary: Summary{
			ID: uuid.NewString(), Database: "orders", Lineage: uuid.NewString(),
			Created: time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC), Kind: KindNative,
			Strategy: Strategy{Name: "incremental", Module: digest, ABI: "1.0"},
			Base:     uuid.NewString(), Labels: map[string]string{"why": "test"},
			Files: 2, BytesFull: 107, BytesNew: 7, BytesReused: 100, BytesShared: 100,
		},
		Detail: Detail{
			RocksDB:  "7.8.3",
			Families: []Family{{ID: 0, Name: "default", Comparator: "leveldb.BytewiseComparator"}},
			Contents: []File{
				{Name: "000007.sst", Kind: abi.KindTable, Scope: abi.ScopeShared, Reused: true,
					Object: ObjectName(uuid.NewString(), 3), Size: 100, Digest: digest,
					SmallestKey: []byte{0}, LargestKey: []byte{0xff}},
				{Name: "CURRENT", Kind: abi.KindCurrent, Object: ObjectName(session, 0), Size: 7, Digest: digest, Level: -1},
			},
			State: map[string][]byte{"n": {1}},
			Meta:  map[string][]byte{"offset": []byte("12")},
		},
	}
}

// list returns the readable summaries and the errors, in order.
func list(t testing.TB, c *Catalog) (summaries []Summary, errs []error) {
	t.Helper()
	for s, err := range c.Snapshots(t.Context()) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		summaries = append(summaries, s)
	}
	return summaries, errs
}

// check returns how many manifests are sound, and what is wrong.
func check(t testing.TB, c *Catalog) (sound int, errs []error) {
	t.Helper()
	for m, err := range c.Check(t.Context(), Head{}) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		require.NotNil(t, m)
		sound++
	}
	return sound, errs
}

// entryFile returns the path of an entry in a directory store.
func entryFile(root string, slot uint64) string {
	return filepath.Join(root, filepath.FromSlash(entryName("orders", slot)))
}

func overwrite(t testing.TB, path string, data []byte) {
	t.Helper()
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, data, 0o600))
}

func TestCommittedManifestIsReadBackWhole(t *testing.T) {
	store, _ := repository(t)
	w := acquire(t, open(t, store))
	m := commit(t, w)
	assert.EqualValues(t, 2, m.Slot)
	assert.EqualValues(t, 1, m.Epoch)

	other := open(t, store)
	got, err := other.Manifest(t.Context(), 2)
	require.NoError(t, err)
	assert.Equal(t, m, got)

	summaries, errs := list(t, other)
	assert.Empty(t, errs)
	assert.Equal(t, []Summary{m.Summary}, summaries)
}

func TestManifestOfNoSnapshot(t *testing.T) {
	store, _ := repository(t)
	c := open(t, store)
	acquire(t, c)
	for _, slot := range []uint64{0, 1, 2} {
		_, err := c.Manifest(t.Context(), slot)
		assert.ErrorIs(t, err, fs.ErrNotExist, "slot %d", slot)
	}
}

func TestFind(t *testing.T) {
	store, root := repository(t)
	c := open(t, store)
	_, err := c.Find(t.Context(), Latest)
	require.ErrorIs(t, err, fs.ErrNotExist)

	w := acquire(t, c)
	for _, id := range []string{
		"aaaa0000-0000-7000-8000-000000000000",
		"aaaa1111-0000-7000-8000-000000000000",
		"bbbb1111-0000-7000-8000-000000000000",
	} {
		m := manifest()
		m.ID = id
		require.NoError(t, w.commit(t.Context(), m))
	}
	acquire(t, c) // an epoch after the newest snapshot

	for _, test := range []struct {
		id   string
		slot uint64
		err  error
	}{
		{"aaaa0000-0000-7000-8000-000000000000", 2, nil},
		{"aaaa1", 3, nil},
		{"BBBB", 4, nil},
		{Latest, 4, nil},
		{"aaaa", 0, ErrAmbiguous},
		{"bbb", 0, fs.ErrNotExist},
		{"", 0, fs.ErrNotExist},
		{"cccc", 0, fs.ErrNotExist},
	} {
		m, err := c.Find(t.Context(), test.id)
		if test.err != nil {
			assert.ErrorIs(t, err, test.err, test.id)
			continue
		}
		require.NoError(t, err, test.id)
		assert.Equal(t, test.slot, m.Slot, test.id)
	}

	overwrite(t, entryFile(root, 4), []byte("x"))
	_, err = c.Find(t.Context(), Latest)
	assert.ErrorIs(t, err, ErrDamaged, "an older snapshot is not the latest")
	_, err = c.Find(t.Context(), "bbbb")
	assert.ErrorIs(t, err, fs.ErrNotExist)
	assert.ErrorIs(t, err, ErrDamaged, "the damaged one may be it")
	_, err = c.Find(t.Context(), "aaaa0")
	assert.NoError(t, err)
}

func TestDamageHidesNoOtherSnapshot(t *testing.T) {
	store, root := repository(t)
	c := open(t, store)
	w := acquire(t, c)
	for range 3 {
		commit(t, w)
	}
	overwrite(t, entryFile(root, 3), []byte(magic))

	summaries, errs := list(t, c)
	assert.Len(t, summaries, 2)
	require.Len(t, errs, 1)
	var damage *DamageError
	require.ErrorAs(t, errs[0], &damage)
	assert.Equal(t, entryName("orders", 3), damage.Object)
	assert.ErrorIs(t, errs[0], ErrDamaged)
	assert.ErrorIs(t, errs[0], abi.ECORRUPT)

	sound, errs := check(t, c)
	assert.Equal(t, 2, sound)
	assert.Len(t, errs, 1)
}

func TestDamagedLastEntryKeepsNoWriterOut(t *testing.T) {
	for name, data := range map[string]string{"garbage": strings.Repeat("x", 200), "short": "x", "empty": ""} {
		t.Run(name, func(t *testing.T) {
			store, root := repository(t)
			c := open(t, store)
			commit(t, acquire(t, c))
			overwrite(t, entryFile(root, 2), []byte(data))
			assert.EqualValues(t, 4, commit(t, acquire(t, c)).Slot)
		})
	}
}

func TestEveryTruncationAndFlipIsFound(t *testing.T) {
	store, root := repository(t)
	c := open(t, store)
	commit(t, acquire(t, c))
	for _, slot := range []uint64{1, 2} {
		whole, err := os.ReadFile(entryFile(root, slot))
		require.NoError(t, err)
		for i := range whole {
			flipped := append([]byte(nil), whole...)
			flipped[i] ^= 1 << (i % 8)
			for _, bad := range [][]byte{flipped, whole[:i]} {
				_, err := decodeEntry(bad)
				require.Error(t, err, "slot %d, byte %d", slot, i)
				require.NotErrorIs(t, err, ErrVersion, "slot %d, byte %d", slot, i)
			}
		}
		_, err = decodeEntry(append(whole, 0))
		require.Error(t, err)
	}
}

func TestListFindsTruncation(t *testing.T) {
	store, root := repository(t)
	c := open(t, store)
	commit(t, acquire(t, c))
	whole, err := os.ReadFile(entryFile(root, 2))
	require.NoError(t, err)
	overwrite(t, entryFile(root, 2), whole[:len(whole)-1])
	_, errs := list(t, c)
	require.Len(t, errs, 1)
	assert.ErrorIs(t, errs[0], ErrDamaged)
}

func TestEntryInTheWrongPlaceIsDamage(t *testing.T) {
	store, root := repository(t)
	c := open(t, store)
	w := acquire(t, c)
	commit(t, w)
	data, err := os.ReadFile(entryFile(root, 2))
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(entryFile(root, 3), data, 0o600))
	_, errs := check(t, c)
	require.Len(t, errs, 1)
	assert.ErrorContains(t, errs[0], "slot 2")

	other := filepath.Join(root, "db", "other", "entries")
	require.NoError(t, os.MkdirAll(other, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(other, filepath.Base(entryFile(root, 2))), data, 0o600))
	o, err := Open(t.Context(), store, "other")
	require.NoError(t, err)
	_, err = o.Manifest(t.Context(), 2)
	assert.ErrorIs(t, err, ErrDamaged)
}

func TestCheckFollowsTheChain(t *testing.T) {
	store, root := repository(t)
	c := open(t, store)
	w := acquire(t, c)
	for range 48 {
		commit(t, w)
	}
	commit(t, acquire(t, c))
	sound, errs := check(t, c)
	require.Empty(t, errs)
	require.Equal(t, 49, sound)

	t.Run("replaced entry", func(t *testing.T) {
		whole, err := os.ReadFile(entryFile(root, 20))
		require.NoError(t, err)
		m, err := c.Manifest(t.Context(), 20)
		require.NoError(t, err)
		m.Labels = map[string]string{"why": "forged"}
		overwrite(t, entryFile(root, 20), encode(t, m))
		_, errs := check(t, c)
		require.Len(t, errs, 1)
		assert.ErrorContains(t, errs[0], entryName("orders", 21))
		assert.ErrorIs(t, errs[0], ErrDamaged)
		overwrite(t, entryFile(root, 20), whole)
	})
	t.Run("omitted entries", func(t *testing.T) {
		require.NoError(t, store.Delete(t.Context(), entryName("orders", 30)))
		require.NoError(t, store.Delete(t.Context(), entryName("orders", 1)))
		sound, errs := check(t, c)
		require.Len(t, errs, 2)
		assert.ErrorContains(t, errs[0], entryName("orders", 1))
		assert.ErrorContains(t, errs[1], entryName("orders", 30))
		assert.Equal(t, 48, sound)
	})
	t.Run("stale epoch", func(t *testing.T) {
		m := manifest()
		m.Version, m.Epoch, m.Slot = FormatVersion, 1, 53
		require.NoError(t, os.WriteFile(entryFile(root, 53), encode(t, m), 0o600))
		_, errs := check(t, c)
		require.NotEmpty(t, errs)
		assert.ErrorContains(t, errs[len(errs)-1], "epoch 1")
	})
}

// encode lays out a manifest as Commit does, with the place that it names.
func encode(t testing.TB, m *Manifest) []byte {
	t.Helper()
	head, err := encodeHead(&m.Summary)
	require.NoError(t, err)
	body, err := pack(&m.Detail)
	require.NoError(t, err)
	return sealEntry(typeManifest, head, body)
}

func TestStrayFilesAreNoEntries(t *testing.T) {
	store, _ := repository(t)
	c := open(t, store)
	for _, name := range []string{"README", "1", "00000000000000000000", "00000000000000000009.bak"} {
		require.NoError(t, store.Create(t.Context(), entriesPrefix("orders")+name, strings.NewReader("x")))
	}
	assert.EqualValues(t, 2, commit(t, acquire(t, c)).Slot)
	summaries, errs := list(t, c)
	assert.Empty(t, errs)
	assert.Len(t, summaries, 1)
}

func TestErrorOfTheListingEndsIt(t *testing.T) {
	store, _ := repository(t)
	commit(t, acquire(t, open(t, store)))
	c := open(t, blob.Faulty(store, func(call blob.Call) blob.Fault {
		if call.Verb == blob.VerbList {
			return blob.Fault{Mode: blob.Cut, At: 1}
		}
		return blob.Fault{}
	}))
	summaries, errs := list(t, c)
	assert.Empty(t, summaries)
	require.Len(t, errs, 1)
	assert.ErrorIs(t, errs[0], blob.ErrFault)
	_, err := c.Find(t.Context(), Latest)
	assert.ErrorIs(t, err, blob.ErrFault)
}

// reads counts what is read of entries.
type reads struct {
	blob.Store
	opens, bytes atomic.Int64
}

func (r *reads) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	r.opens.Add(1)
	r.bytes.Add(length)
	return r.Store.Open(ctx, name, offset, length)
}

func TestListReadsHeadsOnly(t *testing.T) {
	store, _ := repository(t)
	w := acquire(t, open(t, store))
	big := manifest()
	big.Meta["big"] = make([]byte, 1<<20)
	require.NoError(t, w.commit(t.Context(), big))
	wordy := manifest()
	wordy.Labels["long"] = strings.Repeat("x", 2*firstRead)
	require.NoError(t, w.commit(t.Context(), wordy))

	counted := &reads{Store: store}
	c := open(t, counted)
	counted.opens.Store(0)
	counted.bytes.Store(0)
	summaries, errs := list(t, c)
	assert.Empty(t, errs)
	assert.Equal(t, []Summary{big.Summary, wordy.Summary}, summaries)
	assert.EqualValues(t, 4, counted.opens.Load(), "one each, and one more for the long head")
	assert.Less(t, counted.bytes.Load(), int64(100<<10))
}

func TestModules(t *testing.T) {
	store, root := repository(t)
	c := open(t, store)
	code := []byte("\x00asm")
	sum := sha256.Sum256(code)
	digest := hex.EncodeToString(sum[:])
	require.NoError(t, c.PutModule(t.Context(), digest, code))
	require.NoError(t, c.PutModule(t.Context(), digest, code))
	got, err := c.Module(t.Context(), digest)
	require.NoError(t, err)
	assert.Equal(t, code, got)

	overwrite(t, filepath.Join(root, ModuleName(digest)), []byte("\x01asm"))
	_, err = c.Module(t.Context(), digest)
	assert.ErrorIs(t, err, ErrDamaged)
	for _, absent := range []string{strings.Repeat("00", 32), "../format.json"} {
		_, err = c.Module(t.Context(), absent)
		assert.ErrorIs(t, err, fs.ErrNotExist)
	}
}

func TestObjectNames(t *testing.T) {
	session := "0192f3a4-0000-7000-8000-000000000000"
	assert.Equal(t, "objects/9/0192f3a4-0000-7000-8000-000000000000-000007", ObjectName(session, 7))
	spread := map[string]bool{}
	for n := range 1000 {
		name := ObjectName(session, n)
		assert.NoError(t, blob.CheckName(name))
		assert.True(t, wellFormed(name))
		spread[name[:9]] = true
	}
	assert.Len(t, spread, 16)
	assert.True(t, wellFormed(ObjectName(session, 12345678)))
	for _, bad := range []string{"", "x", "objects", ObjectName("../..", 1), ObjectName(session, -1),
		ObjectName(session, 7) + "/", "objects/0/../" + ObjectName(session, 7),
		strings.Replace(ObjectName(session, 7), "000007", "7", 1)} {
		assert.False(t, wellFormed(bad), bad)
	}
}

// BenchmarkSnapshots lists 10,000 entries.
func BenchmarkSnapshots(b *testing.B) {
	store, root := repository(b)
	c := open(b, store)
	w := acquire(b, c)
	parent := w.tail.digest
	for slot := uint64(2); slot <= 10_000; slot++ {
		m := manifest()
		m.Version, m.Slot, m.Epoch, m.Parent = FormatVersion, slot, w.Epoch(), parent
		data := encode(b, m)
		parent = entryDigest(data)
		require.NoError(b, os.WriteFile(entryFile(root, slot), data, 0o600))
	}
	for b.Loop() {
		n := 0
		for _, err := range c.Snapshots(b.Context()) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if n != 9_999 {
			b.Fatalf("listed %d snapshots", n)
		}
	}
}
