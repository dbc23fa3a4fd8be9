package host_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// estate is databases that came of each other, with their snapshots in one
// repository.
type estate struct {
	t       *testing.T
	random  *rand.Rand
	owners  []*config.Config  // a database each
	digests map[string]string // of snapshots, by id
	suspect map[string]bool   // snapshots that something was lost of
	backup  *config.Config    // another repository, with copies
	fill    uint64
}

// TestEstate claims, forks, copies, packs, keeps, kills and prunes in any order. After
// each step whatever is listed restores to what was saved.
func TestEstate(t *testing.T) {
	for seed := range soaked(1) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			cfg := dbtest.Config(t, blobbed(t))
			if seed%3 == 2 {
				cfg.Repository.URL += "-encrypted"
				encrypted(t, cfg)
				_, err := host.Init(t.Context(), cfg, host.InitOptions{SkipProbe: true})
				require.NoError(t, err)
			}
			e := &estate{t: t, random: rand.New(rand.NewPCG(seed, 5)), owners: []*config.Config{cfg}, digests: make(map[string]string), suspect: make(map[string]bool)}
			e.prepareBackup(seed)
			for i := range 30 {
				t.Log(i, e.step())
				e.check(1)
			}
			e.check(1000)
		})
	}
}

func (e *estate) step() string {
	steps := []struct {
		name string
		do   func(*config.Config)
	}{
		{"write", e.write}, {"write", e.write}, {"snapshot", e.snapshot}, {"snapshot", e.snapshot}, {"snapshot", e.snapshot},
		{"savepoint", e.savepoint}, {"restore", e.restore}, {"restore", e.restore}, {"part", e.part}, {"prune", e.prune}, {"prune", e.prune},
		{"suspended", e.suspended}, {"suspended", e.suspended}, {"killed", e.killed}, {"damage", e.damageKept}, {"made anew", e.makeAnew},
		{"cloned", e.clone}, {"compact", e.compact}, {"repair", e.repair}, {"lost", e.lose}, {"copied", e.copy},
	}
	s := steps[e.random.IntN(len(steps))]
	cfg := e.owner()
	s.do(cfg)
	return s.name + " " + cfg.Repository.Name + " " + filepath.Base(filepath.Dir(cfg.Database.Path))
}

// owner returns one of the databases, with settings that change from time to time.
func (e *estate) owner() *config.Config {
	cfg := *e.owners[e.random.IntN(len(e.owners))]
	cfg.Local.Keep = e.random.IntN(3)
	if e.random.IntN(2) == 0 {
		cfg.Repository.Pack = &config.Pack{Below: 64 << 10, Into: 1 << 20, MaxSpaceAmplification: []float64{0, 1, 2}[e.random.IntN(3)]}
	}
	return &cfg
}

func (e *estate) write(cfg *config.Config) {
	e.fill++
	dbtest.Fill(e.t, cfg.Database.Path, "default", e.fill, 20+e.random.IntN(100))
}

func (e *estate) compact(cfg *config.Config) {
	dbtest.Edit(e.t, cfg.Database.Path, rocks.Creation{}, func(db *rocks.DB) { require.NoError(e.t, db.CompactAll()) })
}

func (e *estate) strategy() string {
	return []string{"incremental", "incremental", "incremental", "native-full", "canonical"}[e.random.IntN(5)]
}

func (e *estate) open(cfg *config.Config, options ...host.Option) *host.Host {
	return open(e.t, cfg, append(append(options, host.Offline()), dbtest.Native()...)...)
}

func (e *estate) take(cfg *config.Config, o host.SnapshotOptions) {
	h := e.open(cfg)
	m, err := h.Snapshot(e.t.Context(), o)
	require.NoError(e.t, err)
	require.NoError(e.t, h.Close())
	e.digests[m.ID] = dbtest.Digest(e.t, cfg.Database.Path)
}

func (e *estate) snapshot(cfg *config.Config) {
	e.take(cfg, host.SnapshotOptions{Strategy: e.strategy()})
}

func (e *estate) savepoint(cfg *config.Config) {
	e.take(cfg, host.SnapshotOptions{Strategy: e.strategy(), Savepoint: true})
}

// any returns a snapshot of a name, or "".
func (e *estate) any(cfg *config.Config) string {
	list := listed(e.t, cfg)
	if len(list) == 0 {
		return ""
	}
	return list[e.random.IntN(len(list))]
}

func (e *estate) name(cfg *config.Config) *config.Config {
	names := []string{cfg.Repository.Name, cfg.Repository.Name, "second", "third"}
	return named(cfg, names[e.random.IntN(len(names))])
}

func (e *estate) restore(cfg *config.Config) {
	id := e.any(cfg)
	if id == "" || len(e.owners) > 8 {
		return
	}
	claim := []host.Claim{host.ClaimAuto, host.NotClaimed, host.Forked, host.Forked}[e.random.IntN(4)]
	target := filepath.Join(e.t.TempDir(), "restored")
	_, err := repository(e.t, cfg).Restore(e.t.Context(), host.RestoreOptions{Snapshots: []string{id}, Claim: claim, Target: target})
	if e.suspect[id] && err != nil {
		return
	}
	require.NoError(e.t, err)
	require.Equal(e.t, e.digests[id], dbtest.Digest(e.t, target))
	other := at(cfg, target)
	if claim == host.Forked {
		other = e.name(other)
	}
	e.owners = append(e.owners, other)
}

// part restores a half into a database of its own.
func (e *estate) part(cfg *config.Config) {
	id := e.any(cfg)
	if id == "" || len(e.owners) > 8 {
		return
	}
	half := host.KeyRange{From: []byte("key-0000100")}
	if e.random.IntN(2) == 0 {
		half = host.KeyRange{To: []byte("key-0000100")}
	}
	target := filepath.Join(e.t.TempDir(), "part")
	_, err := repository(e.t, cfg).Restore(e.t.Context(), host.RestoreOptions{Snapshots: []string{id}, Keys: half, Target: target})
	if e.suspect[id] && err != nil {
		return
	}
	require.NoError(e.t, err)
	e.owners = append(e.owners, e.name(at(cfg, target)))
}

func (e *estate) prune(cfg *config.Config) {
	var remove []string
	if id := e.any(cfg); id != "" && e.random.IntN(3) == 0 {
		_, err := repository(e.t, cfg).Unpin(e.t.Context(), id)
		require.NoError(e.t, err)
		remove = append(remove, id)
	}
	pruneAll(e.t, cfg, remove...)
}

// suspended prunes, and takes snapshots, while a session waits for its store.
func (e *estate) suspended(cfg *config.Config) {
	gate := newGate(store(e.t, cfg))
	h := e.open(cfg, host.WithStore(gate))
	op, err := h.Begin(e.t.Context(), host.SnapshotOptions{Strategy: e.strategy(), Savepoint: e.random.IntN(5) == 0})
	require.NoError(e.t, err)
	for range 3 {
		other := e.owner()
		if other.Database.Path == cfg.Database.Path || e.random.IntN(2) == 0 {
			e.prune(other)
		} else {
			e.snapshot(other)
		}
	}
	gate.open()
	m, err := op.Wait()
	require.NoError(e.t, h.Close())
	if err == nil {
		e.digests[m.ID] = dbtest.Digest(e.t, cfg.Database.Path)
		return
	}
	require.Equal(e.t, host.CodeFenced, host.CodeOf(err), "%v", err)
}

// killed breaks a snapshot off.
func (e *estate) killed(cfg *config.Config) {
	failing := &failsAt{Store: store(e.t, cfg)}
	failing.left.Store(int64(2 + e.random.IntN(12)))
	h := e.open(cfg, host.WithStore(failing))
	m, err := h.Snapshot(e.t.Context(), host.SnapshotOptions{Strategy: e.strategy(), Savepoint: e.random.IntN(3) == 0})
	require.NoError(e.t, h.Close())
	if err == nil {
		e.digests[m.ID] = dbtest.Digest(e.t, cfg.Database.Path)
	}
}

// damageKept changes what is kept on this machine.
func (e *estate) damageKept(cfg *config.Config) {
	files, err := filepath.Glob(filepath.Join(rocks.Staging(cfg.Database.Path), "kept-*", "files", "*"))
	require.NoError(e.t, err)
	if len(files) == 0 {
		return
	}
	file := files[e.random.IntN(len(files))]
	sound, err := os.ReadFile(file)
	require.NoError(e.t, err)
	if len(sound) > 0 {
		sound[e.random.IntN(len(sound))] ^= 1
	}
	require.NoError(e.t, os.Remove(file)) // it has another name in the database
	require.NoError(e.t, os.WriteFile(file, sound, 0o644))
}

// makeAnew destroys a database, and perhaps leaves the note, as RocksDB does; what is
// kept beside it is of the one before.
func (e *estate) makeAnew(cfg *config.Config) {
	path := filepath.Join(cfg.Database.Path, "ROCKSNAP")
	note, err := os.ReadFile(path)
	require.NoError(e.t, os.RemoveAll(cfg.Database.Path))
	e.fill++
	dbtest.Edit(e.t, cfg.Database.Path, rocks.Creation{BlobFiles: true, MinBlobBytes: 64}, func(db *rocks.DB) {
		require.NoError(e.t, db.PutBlock("default", dbtest.Block(e.fill, 50)))
		require.NoError(e.t, db.Flush())
	})
	if err == nil && e.random.IntN(2) == 0 {
		require.NoError(e.t, os.WriteFile(path, note, 0o644))
	}
}

// clone copies a database as cp does, its note and the times of its files too.
func (e *estate) clone(cfg *config.Config) {
	if len(e.owners) > 8 {
		return
	}
	target := filepath.Join(e.t.TempDir(), "clone")
	out, err := exec.Command("cp", "-a", cfg.Database.Path, target).CombinedOutput()
	require.NoError(e.t, err, string(out))
	e.owners = append(e.owners, e.name(at(cfg, target)))
}

// prepareBackup makes a repository for copies, which may be encrypted for others.
func (e *estate) prepareBackup(seed uint64) {
	backup := *e.owners[0]
	backup.Repository.URL += "-backup"
	if seed%2 == 1 {
		encrypted(e.t, &backup)
	}
	_, err := host.Init(e.t.Context(), &backup, host.InitOptions{SkipProbe: true})
	require.NoError(e.t, err)
	e.backup = &backup
}

// copy carries over all snapshots of a name that can be had.
func (e *estate) copy(cfg *config.Config) {
	to := named(e.backup, cfg.Repository.Name)
	to.Repository.Pack = e.owner().Repository.Pack
	_, err := repository(e.t, cfg).Copy(e.t.Context(), repository(e.t, to), host.CopyOptions{})
	if err != nil {
		require.Contains(e.t, []host.Code{host.CodePartial, host.CodeDamaged}, host.CodeOf(err), "%v", err)
	}
	if e.random.IntN(2) == 0 {
		pruneAll(e.t, to)
	}
	verified, err := repository(e.t, to).Verify(e.t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(e.t, err)
	require.Empty(e.t, verified.Problems)
	for _, id := range listed(e.t, to) {
		if e.random.IntN(4) == 0 {
			require.Equal(e.t, e.digests[id], dbtest.Digest(e.t, restore(e.t, to, id)), id)
		}
	}
}

// repair stores anew what the database still has.
func (e *estate) repair(cfg *config.Config) {
	h := e.open(cfg)
	_, err := h.Repair(e.t.Context(), host.VerifyOptions{Level: host.LevelData})
	if err != nil {
		require.Equal(e.t, host.CodeIrreparable, host.CodeOf(err), "%v", err)
	}
	require.NoError(e.t, h.Close())
}

// lose damages an object, or deletes it.
func (e *estate) lose(cfg *config.Config) {
	var names []string
	for info, err := range store(e.t, cfg).List(e.t.Context(), "objects/", "") {
		require.NoError(e.t, err)
		names = append(names, info.Name)
	}
	if len(names) == 0 || e.random.IntN(3) > 0 {
		return
	}
	name := names[e.random.IntN(len(names))]
	for _, of := range e.names() {
		for _, id := range listed(e.t, of) {
			m, err := repository(e.t, of).Find(e.t.Context(), id)
			require.NoError(e.t, err)
			for _, f := range m.Contents {
				if f.Object == name {
					e.suspect[id] = true
				}
			}
		}
	}
	require.NoError(e.t, os.Remove(filepath.Join(cfg.Repository.Dir(), name)))
}

// names returns a database of each name.
func (e *estate) names() (list []*config.Config) {
	for _, name := range []string{e.owners[0].Repository.Name, "second", "third"} {
		list = append(list, named(e.owners[e.random.IntN(len(e.owners))], name))
	}
	return list
}

// check restores some of what is listed, of every name.
func (e *estate) check(most int) {
	for _, cfg := range e.names() {
		list := listed(e.t, cfg)
		e.random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		for _, id := range list[:min(most, len(list))] {
			target := filepath.Join(e.t.TempDir(), "restored")
			_, err := repository(e.t, cfg).Restore(e.t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: target})
			if e.suspect[id] && host.CodeOf(err) == host.CodeDamaged {
				continue
			}
			require.NoError(e.t, err)
			require.Equal(e.t, e.digests[id], dbtest.Digest(e.t, target), id)
			require.NoError(e.t, os.RemoveAll(target))
		}
		verified, err := repository(e.t, cfg).Verify(e.t.Context(), host.VerifyOptions{Level: host.LevelObjects})
		require.NoError(e.t, err)
		for _, p := range verified.Problems {
			require.True(e.t, e.suspect[p.Snapshot], p)
		}
	}
}
