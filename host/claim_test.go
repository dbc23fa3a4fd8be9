package host_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// claimed restores with options, into a new directory unless they name one.
func claimed(t testing.TB, cfg *config.Config, o host.RestoreOptions) *host.Restored {
	t.Helper()
	if o.Target == "" {
		o.Target = filepath.Join(t.TempDir(), "restored")
	}
	restored, err := repository(t, cfg).Restore(t.Context(), o)
	require.NoError(t, err)
	return restored
}

// pruneAll keeps the newest snapshot and what is pinned, without any grace.
func pruneAll(t testing.TB, cfg *config.Config, remove ...string) *host.Pruned {
	t.Helper()
	own := *cfg
	own.Retention = config.Retention{KeepLast: 1}
	pruned, err := repository(t, &own).Prune(t.Context(), host.PruneOptions{Remove: remove, Sweep: true})
	require.NoError(t, err)
	return pruned
}

// blobbed makes a database with values in blob files, in two tables.
func blobbed(t *testing.T) string {
	path := dbtest.New(t, rocks.Creation{BlobFiles: true, MinBlobBytes: 64})
	for seed := range uint64(2) { // few enough that nothing is compacted of itself
		dbtest.Fill(t, path, "default", seed, 200)
	}
	return path
}

// TestClaimModes is scenario 67: take, restore, take, restore, with every way to
// claim and every strategy, and prune between.
func TestClaimModes(t *testing.T) {
	for _, strategy := range dbtest.Builtin {
		for _, claim := range []host.Claim{host.ClaimAuto, host.NotClaimed, host.Forked} {
			t.Run(strategy+" "+string(claim), func(t *testing.T) {
				t.Parallel()
				testClaim(t, strategy, claim)
			})
		}
	}
}

func testClaim(t *testing.T, strategy string, claim host.Claim) {
	path := blobbed(t)
	cfg := dbtest.Config(t, path)
	first := snapshot(t, cfg, strategy)
	restored := claimed(t, cfg, host.RestoreOptions{Claim: claim})
	if claim == host.ClaimAuto {
		claim = host.Claimed
	}
	require.Equal(t, claim, restored.Claim)
	next := at(cfg, restored.Target)
	dbtest.Fill(t, restored.Target, "default", 9, 30)
	want := dbtest.Digest(t, restored.Target)
	second := snapshot(t, next, strategy)
	assert.Equal(t, claim == host.Claimed, second.Lineage == first.Lineage)
	if strategy == "incremental" && claim != host.NotClaimed {
		assert.Equal(t, first.ID, second.Base)
		assert.Equal(t, first.BytesShared, second.BytesReused, "tables and blob files alike")
	} else {
		assert.Zero(t, second.BytesReused)
		assert.Empty(t, second.Base)
		requireApart(t, first, second)
	}
	pruneAll(t, next)
	kept := []string{second.ID}
	if claim == host.NotClaimed {
		kept = []string{first.ID, second.ID}
		assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, first.ID)))
	}
	require.Equal(t, kept, listed(t, next))
	again := claimed(t, next, host.RestoreOptions{Snapshots: []string{second.ID}, Claim: claim})
	assert.Equal(t, want, dbtest.Digest(t, again.Target))
	third := snapshot(t, at(cfg, again.Target), strategy)
	assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, third.ID)))
	requireSound(t, cfg)
}

// requireApart demands that two snapshots have no object in common.
func requireApart(t testing.TB, a, b *host.Manifest) {
	t.Helper()
	for _, f := range a.Contents {
		require.False(t, slices.ContainsFunc(b.Contents, func(g host.File) bool { return f.Object == g.Object }), f.Name)
	}
}

// TestForksNeverMix makes two databases of one snapshot, which go on to write
// different files under the same numbers, blob files among them, in one repository.
func TestForksNeverMix(t *testing.T) {
	unraced(t)
	for _, name := range []string{"", "staging"} {
		t.Run("name "+name, func(t *testing.T) {
			path := blobbed(t)
			cfg := dbtest.Config(t, path)
			first := snapshot(t, cfg, "incremental")
			var forks []*config.Config
			for range 2 {
				target := claimed(t, cfg, host.RestoreOptions{Claim: host.Forked}).Target
				fork := at(cfg, target)
				if name != "" && len(forks) == 1 {
					fork = named(at(cfg, target), name)
				}
				forks = append(forks, fork)
			}
			want, numbers := make(map[string]string), make(map[uint64]int)
			for round := range 2 {
				for i, fork := range forks {
					dbtest.Fill(t, fork.Database.Path, "default", uint64(10+2*round+i), 40)
					m := snapshot(t, fork, "incremental")
					want[m.ID] = dbtest.Digest(t, fork.Database.Path)
					assert.NotZero(t, m.BytesReused)
					if round == 0 {
						assert.Equal(t, first.ID, m.Base)
						assert.Equal(t, first.BytesShared, m.BytesReused)
					}
					for _, f := range m.Contents {
						if !f.Reused && f.Identity != "" {
							numbers[f.Number]++
						}
					}
					assert.Equal(t, want[m.ID], dbtest.Digest(t, restore(t, fork, m.ID)))
				}
			}
			shared := 0
			for _, n := range numbers {
				shared += n / 2
			}
			assert.NotZero(t, shared, "the forks wrote files of one number")
			pruneAll(t, cfg)
			pruneAll(t, forks[1])
			for _, fork := range forks {
				for _, id := range listed(t, fork) {
					if digest, ok := want[id]; ok {
						assert.Equal(t, digest, dbtest.Digest(t, restore(t, fork, id)))
					}
				}
				requireSound(t, fork)
			}
		})
	}
}

// TestForkWhoseOriginIsGone: what a fork was made of may be pruned at any time, of
// another database too, and then there is nothing to share.
func TestForkWhoseOriginIsGone(t *testing.T) {
	unraced(t)
	path := blobbed(t)
	cfg := dbtest.Config(t, path)
	snapshot(t, cfg, "incremental")
	target := claimed(t, cfg, host.RestoreOptions{Claim: host.Forked}).Target
	fork := named(at(cfg, target), "staging")
	dbtest.Fill(t, path, "default", 5, 400)
	dbtest.Edit(t, path, rocks.Creation{BlobFiles: true, MinBlobBytes: 64}, func(db *rocks.DB) { require.NoError(t, db.CompactAll()) })
	snapshot(t, cfg, "incremental")
	pruneAll(t, cfg)
	m := snapshot(t, fork, "incremental")
	assert.Empty(t, m.Base)
	assert.Zero(t, m.BytesReused)
	assert.Equal(t, dbtest.Digest(t, target), dbtest.Digest(t, restore(t, fork, m.ID)))
	requireSound(t, fork)
}

// TestForkOutlivesItsOrigin: what a fork shares with another database stays when
// that one is pruned, while the fork's session runs and afterwards.
func TestForkOutlivesItsOrigin(t *testing.T) {
	unraced(t)
	path := blobbed(t)
	cfg := dbtest.Config(t, path)
	first := snapshot(t, cfg, "incremental")
	target := claimed(t, cfg, host.RestoreOptions{Claim: host.Forked}).Target
	fork := named(at(cfg, target), "staging")
	gate := newGate(store(t, fork))
	h := open(t, fork, host.WithStore(gate), host.Offline())
	op, err := h.Begin(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
	require.NoError(t, err)
	snapshot(t, cfg, "native-full")
	pruned := pruneAll(t, cfg, first.ID)
	assert.Zero(t, pruned.Objects, "a session may use them")
	assert.NotEmpty(t, pruned.Held)
	gate.open()
	m, err := op.Wait()
	require.NoError(t, err)
	require.NoError(t, h.Close())
	assert.Equal(t, first.ID, m.Base)
	assert.Equal(t, first.BytesShared, m.BytesReused)
	pruned = pruneAll(t, cfg)
	assert.NotZero(t, pruned.Objects, "what was the first one's alone")
	assert.Equal(t, dbtest.Digest(t, target), dbtest.Digest(t, restore(t, fork, m.ID)))
	requireSound(t, fork)
	next := snapshot(t, fork, "incremental")
	assert.Equal(t, m.ID, next.Base)
}

// TestForkOfOthersKeys: what is encrypted for others is shared by no fork.
func TestForkOfOthersKeys(t *testing.T) {
	unraced(t)
	path := blobbed(t)
	cfg := dbtest.Config(t, path)
	cfg.Repository.URL += "-encrypted"
	encrypted(t, cfg)
	_, err := host.Init(t.Context(), cfg, host.InitOptions{SkipProbe: true})
	require.NoError(t, err)
	first := snapshot(t, cfg, "incremental")
	target := claimed(t, cfg, host.RestoreOptions{Claim: host.Forked}).Target
	other := at(cfg, target)
	encrypted(t, other)
	assert.Zero(t, snapshot(t, other, "incremental").BytesReused)
	same := at(cfg, claimed(t, cfg, host.RestoreOptions{Snapshots: []string{first.ID}, Claim: host.Forked}).Target)
	assert.Equal(t, first.BytesShared, snapshot(t, same, "incremental").BytesReused)
}

// TestPlanOfAFork stores nothing, and tells what the snapshot then does.
func TestPlanOfAFork(t *testing.T) {
	path := blobbed(t)
	cfg := dbtest.Config(t, path)
	first := snapshot(t, cfg, "incremental")
	fork := named(at(cfg, claimed(t, cfg, host.RestoreOptions{Claim: host.Forked}).Target), "staging")
	h := open(t, fork, host.Offline(), host.ReadOnlyRepository())
	plan, err := h.Plan(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
	require.NoError(t, err)
	assert.Equal(t, first.BytesShared, plan.BytesReused)
}

// TestNoClaimPinsOnce: a source that is pinned needs no second pin, and only RocksDB has
// a history.
func TestNoClaimPinsOnce(t *testing.T) {
	cfg := dbtest.Config(t, blobbed(t))
	first := snapshot(t, cfg, "native-full")
	for range 2 {
		claimed(t, cfg, host.RestoreOptions{Claim: host.NotClaimed})
	}
	pins, err := repository(t, cfg).Pins(t.Context())
	require.NoError(t, err)
	require.Len(t, pins, 1)
	assert.Equal(t, first.ID, pins[0].Snapshot)
	assert.Equal(t, "restored with no-claim", pins[0].Reason)
	_, err = repository(t, cfg).Restore(t.Context(), host.RestoreOptions{
		Target: filepath.Join(t.TempDir(), "x"), Claim: host.NotClaimed, Engine: "jsonl",
	})
	assert.Equal(t, host.CodeUsage, host.CodeOf(err))
}

// TestRescaledForksReuse: what a restore of parts took as it was is reused by the
// next increment, out of the histories of other databases, however the first ones
// are pruned afterwards.
func TestRescaledForksReuse(t *testing.T) {
	unraced(t)
	const count = 16
	from := newFleet(t, 2, count, rocks.Creation{}, func(db *rocks.DB, i uint32, groups keygroup.Range) {
		for seed := range uint64(2) {
			writeGroups(t, db, "default", 10*uint64(i)+seed, 300, groups, count)
			require.NoError(t, db.Flush())
		}
	})
	want := from.sums(t)
	refs := from.snapshots(t, "incremental")
	to, restored := from.rescale(t, refs, 1, host.RestoreOptions{})
	require.Equal(t, host.ByFiles, restored[0].Method)
	require.Equal(t, host.Forked, restored[0].Claim)
	m := snapshot(t, to.workers[0], "incremental")
	var shared int64
	for _, source := range restored[0].Sources {
		shared += source.BytesShared
	}
	assert.Equal(t, shared, m.BytesReused, "nothing lies across a border")
	assert.Equal(t, restored[0].Snapshot.ID, m.Base)

	for _, cfg := range from.workers {
		snapshot(t, cfg, "canonical")
		pruneAll(t, cfg)
	}
	again := make(map[string]canonical.Sum)
	addContent(t, again, restore(t, to.workers[0], m.ID))
	assert.Equal(t, want, again)
	requireSound(t, to.workers[0])
}

// TestManyOrigins: only the origins that an intent has room for are built on, as
// nothing keeps the others from prune.
func TestManyOrigins(t *testing.T) {
	unraced(t)
	path := blobbed(t)
	cfg := dbtest.Config(t, path)
	first := snapshot(t, cfg, "incremental")
	target := claimed(t, cfg, host.RestoreOptions{Claim: host.Forked}).Target
	padOrigins(t, filepath.Join(target, "ROCKSNAP"), 128)
	fork := named(at(cfg, target), "staging")
	gate := newGate(store(t, fork))
	h := open(t, fork, host.WithStore(gate), host.Offline())
	op, err := h.Begin(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
	require.NoError(t, err)
	dbtest.Edit(t, path, rocks.Creation{BlobFiles: true, MinBlobBytes: 64}, func(db *rocks.DB) { require.NoError(t, db.CompactAll()) })
	snapshot(t, cfg, "native-full")
	pruneAll(t, cfg, first.ID)
	gate.open()
	m, err := op.Wait()
	require.NoError(t, err)
	require.NoError(t, h.Close())
	pruneAll(t, cfg)
	assert.Equal(t, dbtest.Digest(t, target), dbtest.Digest(t, restore(t, fork, m.ID)))
	requireSound(t, fork)
}

// padOrigins puts others before the origin that a note names, as of a restore of many
// snapshots.
func padOrigins(t *testing.T, file string, others int) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var note map[string]any
	require.NoError(t, json.Unmarshal(text, &note))
	origins := note["origins"].([]any)
	for range others {
		gone := map[string]any{"database": "gone", "snapshot": uuid.NewString(), "slot": 2}
		origins = append([]any{gone}, origins...)
	}
	note["origins"] = origins
	text, err = json.Marshal(note)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o644))
}
