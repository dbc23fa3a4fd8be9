package host_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// onlyPack returns the name of the one pack of shared files that a snapshot has.
func onlyPack(t *testing.T, m *host.Manifest) string {
	t.Helper()
	names := slices.Collect(maps.Keys(packsOf(m)))
	require.Len(t, names, 1)
	return names[0]
}

// TestPackCopy copies packs to where files go into packs and to where they do not,
// as they are and to other recipients, and goes on there.
func TestPackCopy(t *testing.T) {
	unraced(t)
	path := tiny(t, 30)
	_, key := newKey(t)
	_, other := newKey(t)
	for name, c := range map[string]struct {
		from, to []string
		pack     bool
		asIs     bool
	}{
		"plain into packs": {nil, nil, true, true},
		"plain unpacked":   {nil, nil, false, true},
		"same key":         {[]string{key}, []string{key}, true, true},
		"other key":        {[]string{key}, []string{other}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			from := packed(dbtest.Config(t, path, c.from...))
			to := named(dbtest.Config(t, path, c.to...), "other")
			if c.pack {
				to = packed(to)
			}
			var taken taken
			for range 2 {
				m := increment(t, from, "increment")
				taken.manifests, taken.digests = append(taken.manifests, m), append(taken.digests, dbtest.Digest(t, path))
			}
			copied, err := copyAll(t, from, to)
			require.NoError(t, err)
			stored := names(t, store(t, to), "objects/")
			assert.Len(t, stored, copied.Objects)
			if c.pack {
				assert.LessOrEqual(t, len(stored), 3, "one that is shared, and two that are not")
			} else {
				assert.Greater(t, len(stored), 30)
			}
			requireSame(t, taken, to, c.asIs)
			for i, m := range taken.manifests {
				assert.Equal(t, taken.digests[i], dbtest.Digest(t, restore(t, to, m.ID)))
			}
			requireSound(t, to)
			next := increment(t, to, "increment")
			assert.Equal(t, taken.manifests[1].BytesShared, next.BytesReused)
		})
	}
}

// TestPackRepair heals packs of which the database still has every file, whatever
// became of them.
func TestPackRepair(t *testing.T) {
	unraced(t)
	path := tiny(t, 20)
	want := dbtest.Digest(t, path)
	cfg := packed(dbtest.Config(t, path))
	m := increment(t, cfg, "increment")
	h := open(t, cfg, host.Offline())
	for _, d := range damages {
		d.inflict(t, cfg, onlyPack(t, m))
		v := verify(t, h.Repository, host.VerifyOptions{Level: host.LevelData})
		require.NotEmpty(t, v.Problems, d.name)
		if d.name == "missing" {
			require.Len(t, v.Problems, 20, "every file is named")
		}
		if d.name == "middle byte" {
			require.Len(t, v.Problems, 1, "what is whole can be restored")
		}
		repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
		require.NoError(t, err, d.name)
		assert.Len(t, repaired.Healed, len(v.Problems), d.name)
		requireSound(t, cfg)
		assert.Empty(t, names(t, store(t, cfg), "damaged/"), d.name)
	}
	assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, m.ID)))
}

// TestPackThatCannotBeHealed leaves a damaged pack to the snapshots that can do with
// the rest of it, and keeps later ones from reusing it.
func TestPackThatCannotBeHealed(t *testing.T) {
	unraced(t)
	path := tiny(t, 20)
	cfg := packed(dbtest.Config(t, path))
	cfg.Repository.Pack.MaxSpaceAmplification = 0
	first := increment(t, cfg, "increment")
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) { // the first tables go
		require.NoError(t, db.DeleteRange("default", []byte("key-0000000"), []byte("key-0000005")))
		require.NoError(t, db.CompactRange("default", []byte("key-0000000"), []byte("key-0000005")))
	})
	second, want := increment(t, cfg, "increment"), dbtest.Digest(t, path)
	pack := onlyPack(t, first)
	require.True(t, packsOf(second)[pack])
	gone := slices.IndexFunc(first.Contents, func(f host.File) bool {
		return f.Object == pack && !slices.ContainsFunc(second.Contents, func(g host.File) bool { return g.Name == f.Name })
	})
	require.GreaterOrEqual(t, gone, 0)
	lost := first.Contents[gone]
	damage{do: flip(func(int) int { return int(lost.Segment.Offset) })}.inflict(t, cfg, pack)

	h := open(t, cfg, host.Offline())
	repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.Equal(t, host.CodeIrreparable, host.CodeOf(err), "%v", err)
	require.Len(t, repaired.Left, 1)
	assert.Equal(t, lost.Name, repaired.Left[0].File)
	assert.Contains(t, repaired.Left[0].How, "damaged/"+filepath.Base(pack))
	require.NoError(t, h.Close())
	assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, second.ID)), "it never needed what is damaged")
	_, err = repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{first.ID}, Target: filepath.Join(t.TempDir(), "first")})
	assert.Equal(t, host.CodeDamaged, host.CodeOf(err))

	third := increment(t, cfg, "increment")
	assert.False(t, packsOf(third)[pack])
	assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, third.ID)))
}

// TestPackMissing has an increment upload what a missing pack held, and put nothing
// under its name.
func TestPackMissing(t *testing.T) {
	unraced(t)
	cfg := packed(dbtest.Config(t, tiny(t, 20)))
	for _, strategy := range []string{"increment", "incremental"} {
		base := increment(t, cfg, strategy)
		damages[0].inflict(t, cfg, onlyPack(t, base))
		next := increment(t, cfg, strategy)
		assert.Zero(t, next.BytesReused)
		assert.NoFileExists(t, filepath.Join(cfg.Repository.Dir(), onlyPack(t, base)))
		restore(t, cfg, next.ID)
	}
}

var errEnough = errors.New("enough")

// TestPackRot has a table that rotted on the database's own disk fail alone.
func TestPackRot(t *testing.T) {
	path := tiny(t, 10)
	cfg := packed(dbtest.Config(t, path))
	var failed []uint64
	var rotten abi.File
	h := open(t, cfg, host.Offline(), host.WithStrategy("mine", func() abi.Strategy {
		return uploader{run: func(_ context.Context, s abi.Session, files []abi.File) error {
			rotten = files[4]
			name, err := s.FileName(rotten.ID)
			if err == nil {
				err = os.Truncate(filepath.Join(path, name), 100) // the checkpoint links it
			}
			if err != nil {
				return err
			}
			if err = offer(s, files...); err == nil {
				failed, err = await(s, len(files))
			}
			if err != nil {
				return err
			}
			return errEnough
		}}
	}))
	_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "mine"})
	require.ErrorContains(t, err, "enough")
	assert.Equal(t, []uint64{uint64(rotten.ID)}, failed)
}

// TestPackResume goes on from the packs of a session that came to no end.
func TestPackResume(t *testing.T) {
	unraced(t)
	_, key := newKey(t)
	for name, lines := range map[string][]string{"plain": nil, "encrypted": {key}} {
		t.Run(name, func(t *testing.T) {
			path := tiny(t, 30)
			cfg := packed(dbtest.Config(t, path, lines...))
			entries := 0
			faulty := blob.Faulty(store(t, cfg), func(c blob.Call) blob.Fault {
				if c.Verb == blob.VerbCreate && strings.Contains(c.Name, "/entries/") {
					if entries++; entries == 2 {
						return blob.Fault{Mode: blob.Fail}
					}
				}
				return blob.Fault{}
			})
			increments := host.WithStrategy("increment", func() abi.Strategy { return plainIncrement{} })
			h := open(t, cfg, host.Offline(), host.WithStore(faulty), increments)
			_, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "increment"})
			require.ErrorIs(t, err, blob.ErrFault)
			require.NoError(t, h.Close())
			left := names(t, store(t, cfg), "objects/")
			require.Len(t, names(t, store(t, cfg), "db/db/notes/"), 1, "a pack is noted as a whole")

			m := increment(t, cfg, "increment")
			assert.Contains(t, left, onlyPack(t, m))
			assert.Len(t, names(t, store(t, cfg), "objects/"), len(left)+1, "only what is private is stored anew")
			assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, m.ID)))
			cfg.Retention = config.Retention{KeepLast: 1}
			_, err = repository(t, cfg).Prune(t.Context(), host.PruneOptions{Sweep: true})
			require.NoError(t, err)
			requireSound(t, cfg)
		})
	}
}

// TestPackCutShort tells a pack that ends too early by the files that it lacks.
func TestPackCutShort(t *testing.T) {
	cfg := packed(dbtest.Config(t, tiny(t, 20)))
	m := increment(t, cfg, "increment")
	damages[5].inflict(t, cfg, onlyPack(t, m))
	_, err := repository(t, cfg).Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: filepath.Join(t.TempDir(), "target")})
	assert.Equal(t, host.CodeDamaged, host.CodeOf(err), "%v", err)
}

// short is a store that hands out less than it is asked for, in one go.
type short struct{ blob.Store }

func (s short) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	body, err := s.Store.Open(ctx, name, offset, length)
	if err != nil || !strings.HasPrefix(name, "objects/") {
		return body, err
	}
	return struct {
		io.Reader
		io.Closer
	}{oneByOne{body}, body}, nil
}

type oneByOne struct{ from io.Reader }

func (o oneByOne) Read(p []byte) (int, error) { return o.from.Read(p[:min(len(p), 7)]) }

// TestPackInSmallReads restores a pack that comes a few bytes at a time.
func TestPackInSmallReads(t *testing.T) {
	path := tiny(t, 5)
	cfg := packed(dbtest.Config(t, path))
	m := increment(t, cfg, "increment")
	r, err := host.OpenRepository(t.Context(), cfg, host.WithStore(short{store(t, cfg)}))
	require.NoError(t, err)
	target := filepath.Join(t.TempDir(), "target")
	_, err = r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
	require.NoError(t, err)
	assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
}

// TestPackKeptLocally takes files from the checkpoint on this machine by digests that
// only the session knows which stored them, encrypted, in packs.
func TestPackKeptLocally(t *testing.T) {
	unraced(t)
	_, key := newKey(t)
	path := tiny(t, 10)
	want := dbtest.Digest(t, path)
	cfg := packed(dbtest.Config(t, path, key, keepOne))
	increment(t, cfg, "increment")
	m := increment(t, cfg, "increment") // the digests of what it reuses are from the note before
	lose(t, path)
	restored, opened := goOn(t, cfg, m.ID, path)
	assert.Empty(t, opened)
	assert.Equal(t, m.BytesFull, restored.Local)
	assert.Equal(t, want, dbtest.Digest(t, path))
}

// TestPackInSavepoint moves a savepoint away, and restores it from there.
func TestPackInSavepoint(t *testing.T) {
	path := tiny(t, 10)
	cfg := packed(dbtest.Config(t, path))
	m := savepoint(t, cfg, "native-full")
	require.Equal(t, 1, countObjects(m))
	moved := filepath.Join(t.TempDir(), "moved")
	require.NoError(t, os.Rename(folder(cfg, m), moved))
	requireRestorable(t, cfg, "file:"+moved, dbtest.Digest(t, path))
}
