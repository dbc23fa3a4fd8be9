package host_test

import (
	"context"
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
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// plainIncrement is an incremental strategy that runs without a sandbox.
type plainIncrement struct{}

func (plainIncrement) Init(context.Context, abi.Session) error { return nil }

func (plainIncrement) Prepare(_ context.Context, s abi.Session) error {
	base := make([]abi.Base, 1)
	n, err := s.BasesRead(0, base)
	if err == nil && n > 0 {
		err = s.BaseUse(base[0].Slot)
	}
	if err == nil {
		_, err = s.Checkpoint()
	}
	return err
}

func (plainIncrement) Snapshot(ctx context.Context, s abi.Session) error {
	return abi.Transfer(ctx, s, func(f abi.File) abi.Choice {
		const shareable = abi.FileImmutable | abi.FileIdentified
		if f.Flags&shareable != shareable {
			return abi.Choice{Scope: abi.ScopePrivate}
		}
		return abi.Choice{Reuse: f.Flags&abi.FileInBase != 0, Scope: abi.ScopeShared}
	})
}

// increment takes a snapshot with "incremental", the module, or with "increment",
// which is native.
func increment(t testing.TB, cfg *config.Config, strategy string) *host.Manifest {
	t.Helper()
	h := open(t, cfg, host.Offline(), host.WithStrategy("increment", func() abi.Strategy { return plainIncrement{} }))
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: strategy})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	return m
}

// TestNextSnapshotHeals has an increment store a missing object of its base again,
// which makes the base whole too.
func TestNextSnapshotHeals(t *testing.T) {
	for _, shape := range shapes[:2] {
		path := shape.make(t)
		want := dbtest.Digest(t, path)
		cfg := dbtest.Config(t, path)
		for _, strategy := range []string{"incremental", "increment"} {
			base := increment(t, cfg, strategy)
			lost := 0
			for _, f := range base.Contents {
				if f.Identity != "" {
					damages[0].inflict(t, cfg, f.Object)
					lost++
				}
			}
			require.NotZero(t, lost)
			require.Len(t, verify(t, repository(t, cfg), host.VerifyOptions{Level: host.LevelObjects, Snapshots: []string{base.ID}}).Problems, lost)
			next := increment(t, cfg, strategy)
			assert.Equal(t, base.BytesShared, next.BytesReused)
			for _, m := range []*host.Manifest{base, next} {
				assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, m.ID)))
			}
			assert.Empty(t, verify(t, repository(t, cfg), host.VerifyOptions{Level: host.LevelData}).Problems)
		}
	}
}

// objects returns the object of the first file of each kind that can be damaged.
func objects(m *host.Manifest) []host.File {
	kinds := make(map[abi.Kind]bool)
	var list []host.File
	for _, f := range m.Contents {
		if !kinds[f.Kind] && f.Size > 1 {
			kinds[f.Kind] = true
			list = append(list, f)
		}
	}
	return list
}

// TestRepairFromDatabase damages files that the database still holds, in every
// way.
func TestRepairFromDatabase(t *testing.T) {
	for _, shape := range shapes[:2] {
		path := shape.make(t)
		want := dbtest.Digest(t, path)
		cfg := dbtest.Config(t, path)
		m := snapshot(t, cfg, "incremental")
		h := open(t, cfg, host.Offline())
		for _, d := range damages {
			for _, f := range objects(m) {
				d.inflict(t, cfg, f.Object)
			}
			repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
			require.NoError(t, err, d.name)
			assert.Len(t, repaired.Healed, len(objects(m)), d.name)
			assert.Len(t, repaired.Verified.Problems, len(objects(m)), d.name)
			for _, r := range repaired.Healed {
				assert.Equal(t, "from the database's "+r.File, r.How)
			}
			assert.Empty(t, verify(t, h.Repository, host.VerifyOptions{Level: host.LevelData}).Problems, d.name)
		}
		assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, m.ID)))
		assert.Empty(t, intents(t, cfg))
		requireClean(t, path)
	}
}

// TestRepairFromTwin has two snapshots that share nothing and hold the same bytes
// heal one another, after the database has lost them.
func TestRepairFromTwin(t *testing.T) {
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	pair := snapshots(t, cfg, "native-full", "native-full")
	other := at(cfg, shapes[2].make(t))
	h := open(t, other, host.Offline())
	for i := range pair[0].Contents { // some of this one, some of that
		damages[i%2*3].inflict(t, cfg, pair[i%2].Contents[i].Object)
	}
	repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	assert.Len(t, repaired.Healed, len(pair[0].Contents))
	for _, m := range pair {
		assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, m.ID)))
	}
	damages[0].inflict(t, cfg, pair[0].Contents[0].Object)
	damages[1].inflict(t, cfg, pair[1].Contents[0].Object)
	repaired, err = h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelObjects})
	assert.Equal(t, host.CodeIrreparable, host.CodeOf(err), "the twin is no better: %v", err)
	assert.Len(t, repaired.Left, 1)
	assert.NoFileExists(t, filepath.Join(cfg.Repository.Dir(), pair[0].Contents[0].Object))
	assert.FileExists(t, filepath.Join(cfg.Repository.Dir(), pair[1].Contents[0].Object))
}

// TestRepairLeavesTheRest says what cannot be healed, heals the rest, and takes
// nothing away that is damaged.
func TestRepairLeavesTheRest(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	full := snapshot(t, cfg, "native-full")
	records := snapshot(t, cfg, "canonical")
	manifest := slices.IndexFunc(full.Contents, func(f host.File) bool { return f.Kind == abi.KindManifest })
	current := slices.IndexFunc(full.Contents, func(f host.File) bool { return f.Kind == abi.KindCurrent })
	damages[1].inflict(t, cfg, full.Contents[manifest].Object)
	damages[1].inflict(t, cfg, full.Contents[current].Object)
	damages[1].inflict(t, cfg, full.Contents[0].Object)
	damages[1].inflict(t, cfg, records.Contents[0].Object)
	damages[1].inflict(t, cfg, entry(cfg, records)) // after it was read, verify no longer knows its files
	dbtest.Fill(t, path, "users", 9, 10)            // its MANIFEST and CURRENT are others now, of which one has the old size

	h := open(t, cfg, host.Offline())
	repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
	assert.Equal(t, host.CodeIrreparable, host.CodeOf(err), "%v", err)
	assert.Equal(t, 21, host.CodeIrreparable.ExitStatus())
	require.Len(t, repaired.Healed, 1)
	assert.Equal(t, full.Contents[0].Object, repaired.Healed[0].Object)
	left := make(map[string]string)
	for _, r := range repaired.Left {
		assert.NotEmpty(t, r.How)
		left[r.Object] = r.How
	}
	assert.Contains(t, left, entry(cfg, records))
	assert.Contains(t, left, full.Contents[manifest].Object)
	assert.Contains(t, left, full.Contents[current].Object)
	for object := range left {
		assert.FileExists(t, filepath.Join(cfg.Repository.Dir(), object), "damaged is better than gone")
	}
	assert.Empty(t, intents(t, cfg))
	requireClean(t, path)
}

// TestRepairCanonical cannot heal records, which are in no file of the database.
func TestRepairCanonical(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	m := snapshot(t, cfg, "canonical")
	damages[0].inflict(t, cfg, m.Contents[0].Object)
	repaired, err := open(t, cfg, host.Offline()).Repair(t.Context(), host.VerifyOptions{Level: host.LevelCatalog})
	assert.Equal(t, host.CodeIrreparable, host.CodeOf(err), "%v", err)
	assert.Equal(t, host.LevelObjects, repaired.Verified.Level)
	assert.Equal(t, []host.Remedy{{
		Finding: host.Finding{Snapshot: m.ID, File: m.Contents[0].Name, Object: m.Contents[0].Object, What: "is missing"},
		How:     "neither the database nor another object holds it",
	}}, repaired.Left)
}

// TestRepairEncrypted cannot make encrypted bytes again.
func TestRepairEncrypted(t *testing.T) {
	path := shapes[0].make(t)
	cfg, _ := withKey(t, path)
	m := snapshot(t, cfg, "incremental")
	damages[0].inflict(t, cfg, m.Contents[0].Object)
	h := open(t, cfg, host.Offline())
	repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelObjects})
	require.NoError(t, h.Close())
	assert.Equal(t, host.CodeIrreparable, host.CodeOf(err), "%v", err)
	require.Len(t, repaired.Left, 1)
	assert.Contains(t, repaired.Left[0].How, "only a new snapshot")
	next := snapshot(t, cfg, "incremental")
	assert.False(t, next.Contents[0].Reused)
	assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, next.ID)))
}

// TestRepairSetsAside has a store without checksums hold damaged objects that the
// next increment reuses, until they are set aside: encrypted, and of a file that
// the database has lost.
func TestRepairSetsAside(t *testing.T) {
	for _, encrypted := range []bool{true, false} {
		path := shapes[0].make(t)
		cfg := dbtest.Config(t, path)
		if encrypted {
			cfg, _ = withKey(t, path)
		}
		base := snapshot(t, cfg, "incremental")
		i := slices.IndexFunc(base.Contents, func(f host.File) bool { return f.Kind == abi.KindTable })
		f := base.Contents[i]
		damages[2].inflict(t, cfg, f.Object)
		spoilt, err := os.ReadFile(filepath.Join(cfg.Repository.Dir(), f.Object))
		require.NoError(t, err)
		reused := snapshot(t, cfg, "incremental")
		require.Equal(t, f.Object, reused.Contents[i].Object, "nobody knows that it is damaged")

		here := cfg
		if !encrypted {
			here = at(cfg, shapes[2].make(t))
		}
		h := open(t, here, host.Offline())
		repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
		require.NoError(t, h.Close())
		assert.Equal(t, host.CodeIrreparable, host.CodeOf(err), "%v", err)
		assert.Equal(t, "take a snapshot: it stores anew what the database still has", host.HintOf(err))
		require.Len(t, repaired.Left, 2)
		aside := "damaged/" + filepath.Base(f.Object)
		for _, r := range repaired.Left {
			assert.Contains(t, r.How, "set aside as "+aside)
		}
		kept, err := os.ReadFile(filepath.Join(cfg.Repository.Dir(), aside))
		require.NoError(t, err)
		assert.Equal(t, spoilt, kept)

		next := snapshot(t, cfg, "incremental")
		assert.Equal(t, encrypted, next.Contents[i].Object != f.Object, "what is not encrypted is healed")
		assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, next.ID)))
		v := verify(t, repository(t, cfg), host.VerifyOptions{Level: host.LevelRestore, Snapshots: []string{next.ID}})
		assert.Empty(t, v.Problems)
	}
}

// TestRepairSetsAsideAgain goes on where a repair was killed, between the copy and
// the deletion, and leaves alone what only the store's account says is damaged.
func TestRepairSetsAsideAgain(t *testing.T) {
	cfg, _ := withKey(t, shapes[0].make(t))
	m := snapshot(t, cfg, "incremental")
	i := slices.IndexFunc(m.Contents, func(f host.File) bool { return f.Kind == abi.KindTable })
	object := filepath.Join(cfg.Repository.Dir(), m.Contents[i].Object)

	disk := store(t, cfg)
	h := open(t, cfg, host.Offline(), host.WithStore(lying{disk}))
	repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelObjects})
	require.NoError(t, h.Close())
	assert.Equal(t, host.CodeIrreparable, host.CodeOf(err), "%v", err)
	assert.Len(t, repaired.Left, len(m.Contents))
	assert.FileExists(t, object, "every byte of it is right")

	damages[2].inflict(t, cfg, m.Contents[i].Object)
	require.NoError(t, disk.Create(t.Context(), "damaged/"+filepath.Base(object), strings.NewReader("the copy")))
	h = open(t, cfg, host.Offline())
	repaired, err = h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, h.Close())
	assert.Equal(t, host.CodeIrreparable, host.CodeOf(err), "%v", err)
	require.Len(t, repaired.Left, 1)
	assert.Contains(t, repaired.Left[0].How, "set aside")
	assert.NoFileExists(t, object)
}

// lying is a store that has wrong checksums of all that it holds.
type lying struct{ blob.Store }

func (l lying) Stat(ctx context.Context, name string) (blob.Info, error) {
	info, err := l.Store.Stat(ctx, name)
	info.CRC32C = new(uint32)
	return info, err
}

// TestRepairHistory cannot repair history, and does not promise to.
func TestRepairHistory(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	list := snapshots(t, cfg, "native-full", "canonical")
	damages[1].inflict(t, cfg, entry(cfg, list[0]))
	h := open(t, cfg, host.Offline())
	repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelObjects})
	assert.Equal(t, host.CodeIrreparable, host.CodeOf(err), "%v", err)
	require.NotEmpty(t, repaired.Left)
	for _, r := range repaired.Left {
		assert.True(t, r.InHistory())
		assert.Equal(t, "history cannot be repaired", r.How)
	}
	assert.Equal(t, host.HistoryHint, host.HintOf(err))
	damages[0].inflict(t, cfg, list[1].Contents[0].Object)
	_, err = h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelObjects})
	assert.Equal(t, host.HistoryHint+"; for the rest, take a snapshot: it stores anew what the database still has", host.HintOf(err))
}

// TestRepairModules stores a module again that a configured strategy still has.
func TestRepairModules(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	list := snapshots(t, cfg, "native-full", "native-full", "canonical")
	for _, d := range damages {
		for _, m := range list[1:] {
			d.inflict(t, cfg, catalog.ModuleName(m.Strategy.Module))
		}
		h := open(t, cfg, host.Offline())
		repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
		require.NoError(t, err, d.name)
		assert.Len(t, repaired.Healed, 3, "of each snapshot")
		assert.Empty(t, verify(t, h.Repository, host.VerifyOptions{Level: host.LevelData}).Problems)
		require.NoError(t, h.Close())
	}
	damages[0].inflict(t, cfg, catalog.ModuleName(list[2].Strategy.Module))
	without := *cfg
	without.Strategies = map[string]config.Strategy{"native-full": cfg.Strategies["native-full"]}
	repaired, err := open(t, &without, host.Offline()).Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
	assert.Equal(t, host.CodeIrreparable, host.CodeOf(err), "%v", err)
	require.Len(t, repaired.Left, 1)
	assert.Equal(t, "no configured strategy has this module", repaired.Left[0].How)
}

// TestRepairNothing leaves a sound repository as it is, down to its last file.
func TestRepairNothing(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	snapshot(t, cfg, "native-full")
	announce(t, cfg)
	h := open(t, cfg, host.Offline())
	before := files(t, cfg)
	repaired, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelRestore})
	require.NoError(t, err)
	assert.Empty(t, repaired.Healed)
	assert.Equal(t, before, files(t, cfg), "the leftovers of others too")
	require.NoError(t, h.Close())
	reader := open(t, cfg, host.Offline(), host.ReadOnlyRepository())
	_, err = reader.Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.Error(t, err, "it may change nothing")
}

// TestRepairFenced has a writer that was replaced repair nothing.
func TestRepairFenced(t *testing.T) {
	cfg := dbtest.Config(t, shapes[0].make(t))
	m := snapshot(t, cfg, "native-full")
	h := open(t, cfg, host.Offline())
	announce(t, cfg)
	damages[1].inflict(t, cfg, m.Contents[0].Object)
	_, err := h.Repair(t.Context(), host.VerifyOptions{Level: host.LevelData})
	assert.Equal(t, host.CodeFenced, host.CodeOf(err), "%v", err)
	assert.FileExists(t, filepath.Join(cfg.Repository.Dir(), m.Contents[0].Object))
}

// files lists every file of the repository.
func files(t testing.TB, cfg *config.Config) []string {
	t.Helper()
	var list []string
	root := cfg.Repository.Dir()
	require.NoError(t, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			name, _ := filepath.Rel(root, path)
			list = append(list, filepath.ToSlash(name))
		}
		return err
	}))
	return list
}
