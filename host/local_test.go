package host_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

const keepOne = "[local]\nkeep = 1\n"

// kept returns the folders of the checkpoints that are kept beside a database.
func kept(t testing.TB, path string) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join(rocks.Staging(path), "*"))
	require.NoError(t, err)
	return list
}

func requireKept(t testing.TB, path string, want ...*host.Manifest) {
	t.Helper()
	var names []string
	for _, folder := range kept(t, path) {
		names = append(names, filepath.Base(folder))
	}
	var ids []string
	for _, m := range want {
		ids = append(ids, "kept-"+m.ID)
	}
	require.ElementsMatch(t, ids, names)
}

// lose removes the database and nothing else.
func lose(t testing.TB, path string) { require.NoError(t, os.RemoveAll(path)) }

// TestLocalRecovery loses a database and restores it to where it was. Nothing is
// read from the repository but the manifest.
func TestLocalRecovery(t *testing.T) {
	for _, shape := range shapes {
		t.Run(shape.name, func(t *testing.T) {
			path := shape.make(t)
			want := dbtest.Digest(t, path)
			cfg := dbtest.Config(t, path, keepOne)
			list := snapshots(t, cfg, "native-full", "incremental")
			requireKept(t, path, list[1])
			older, _ := goOn(t, cfg, list[0].ID, filepath.Join(t.TempDir(), "older"))
			assert.Zero(t, older.Local, "another snapshot of the same files")
			assert.Equal(t, list[0].BytesFull, older.Bytes)

			lose(t, path)
			restored, opened := goOn(t, cfg, list[1].ID, path)
			assert.Empty(t, opened)
			assert.Equal(t, list[1].BytesFull, restored.Local)
			assert.Zero(t, restored.Bytes)
			assert.Equal(t, want, dbtest.Digest(t, path))
			requireShared(t, list[1], kept(t, path)[0], path)

			dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) { // what the database does now is its own
				put(t, db, "default", 99, 50)
				require.NoError(t, db.CompactAll())
			})
			again, opened := goOn(t, cfg, list[1].ID, filepath.Join(t.TempDir(), "again"))
			assert.Empty(t, opened)
			assert.Equal(t, want, dbtest.Digest(t, again.Target))
		})
	}
}

// requireShared demands that a database shares with a checkpoint what never
// changes, and that all else is its own.
func requireShared(t *testing.T, m *host.Manifest, kept, path string) {
	t.Helper()
	for _, f := range m.Contents {
		a, errA := os.Stat(filepath.Join(kept, "files", f.Name))
		b, errB := os.Stat(filepath.Join(path, f.Name))
		if strings.HasSuffix(f.Name, ".log") && errB != nil {
			continue // RocksDB has recovered it
		}
		require.NoError(t, errors.Join(errA, errB))
		fixed := strings.HasSuffix(f.Name, ".sst") || strings.HasSuffix(f.Name, ".blob")
		assert.Equal(t, fixed, os.SameFile(a, b), f.Name)
	}
}

// TestNothingIsKept of what is no native snapshot, and without being asked to.
func TestNothingIsKept(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	snapshot(t, dbtest.Config(t, path), "native-full")
	requireClean(t, path)
	cfg := dbtest.Config(t, path, keepOne)
	snapshot(t, cfg, "canonical")
	requireClean(t, path)
	h := open(t, cfg, host.Offline())
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
	require.NoError(t, err)
	_, err = h.Snapshot(t.Context(), host.SnapshotOptions{Savepoint: true})
	require.NoError(t, err)
	_, err = h.Plan(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	requireKept(t, path, m)
}

// TestKeptOnesGo as soon as there is no use for them.
func TestKeptOnesGo(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	file := func(keep int) string { return fmt.Sprintf("[local]\nkeep = %d\n", keep) }
	cfg := dbtest.Config(t, path, file(3))
	list := snapshots(t, cfg, "native-full", "incremental", "native-full", "incremental")
	requireKept(t, path, list[1:]...)

	removed, err := repository(t, cfg).Prune(t.Context(), host.PruneOptions{Remove: []string{list[2].ID}})
	require.NoError(t, err)
	require.NotNil(t, removed)
	requireKept(t, path, list[1:]...)
	list = append(list, snapshot(t, cfg, "canonical"))
	requireKept(t, path, list[1], list[3])

	note := filepath.Join(rocks.Staging(path), "kept-"+list[3].ID, "note")
	require.NoError(t, os.WriteFile(note, []byte("damaged"), 0o600))
	list = append(list, snapshot(t, cfg, "native-full"))
	requireKept(t, path, list[1], list[5])

	fewer := *cfg
	fewer.Local.Keep = 1
	reader := open(t, &fewer, host.Offline(), host.ReadOnlyRepository())
	require.NoError(t, reader.Close())
	requireKept(t, path, list[1], list[5])
	require.NoError(t, open(t, &fewer, host.Offline()).Close())
	requireKept(t, path, list[5])
	fewer.Local.Keep = 0
	snapshot(t, &fewer, "incremental")
	requireClean(t, path)
}

// TestLocalDamage changes what is kept in every way, in a repository that can tell
// by the manifest and in an encrypted one, where only the note can.
func TestLocalDamage(t *testing.T) {
	unraced(t)
	_, both := newKey(t)
	for name, lines := range map[string]string{"plain": "", "encrypted": both} {
		t.Run(name, func(t *testing.T) {
			path := shapes[1].make(t)
			want := dbtest.Digest(t, path)
			cfg := dbtest.Config(t, path, keepOne, lines)
			list := snapshots(t, cfg, "incremental", "incremental")
			m, folder := list[1], kept(t, path)[0]
			untouched, opened := goOn(t, cfg, m.ID, filepath.Join(t.TempDir(), "untouched"))
			require.Empty(t, opened, "the digests of what was reused are known too")
			require.Equal(t, m.BytesFull, untouched.Local)
			lose(t, path) // or the damage would be the database's as well
			for i := range m.Contents {
				f := &m.Contents[i]
				file := filepath.Join(folder, "files", f.Name)
				for damage, do := range localDamages {
					sound, err := os.ReadFile(file)
					require.NoError(t, err)
					do(t, file, sound)
					restored, opened := goOn(t, cfg, m.ID, filepath.Join(t.TempDir(), "restored"))
					assert.Equal(t, []string{f.Object}, opened, damage+" "+f.Name)
					assert.Equal(t, m.BytesFull-f.Size, restored.Local, damage+" "+f.Name)
					assert.Equal(t, f.Size, restored.Bytes, damage+" "+f.Name)
					found, err := os.ReadFile(filepath.Join(restored.Target, f.Name))
					require.NoError(t, err)
					require.True(t, bytes.Equal(sound, found), damage+" "+f.Name)
					require.NoError(t, errors.Join(os.RemoveAll(file), os.WriteFile(file, sound, 0o644)))
				}
			}
			flipNote(t, cfg, m, filepath.Join(folder, "note"), want)
		})
	}
}

var localDamages = map[string]func(t *testing.T, file string, sound []byte){
	"flip": func(t *testing.T, file string, sound []byte) {
		changed := bytes.Clone(sound)
		changed[len(changed)/2] ^= 1
		require.NoError(t, os.WriteFile(file, changed, 0o644))
	},
	"cut": func(t *testing.T, file string, sound []byte) {
		require.NoError(t, os.Truncate(file, int64(len(sound)-1)))
	},
	"longer": func(t *testing.T, file string, sound []byte) {
		require.NoError(t, os.Truncate(file, int64(len(sound)+1)))
	},
	"gone": func(t *testing.T, file string, _ []byte) { require.NoError(t, os.Remove(file)) },
	"link": func(t *testing.T, file string, sound []byte) {
		elsewhere := filepath.Join(t.TempDir(), "file")
		require.NoError(t, errors.Join(os.Remove(file), os.WriteFile(elsewhere, sound, 0o644), os.Symlink(elsewhere, file)))
	},
	"pipe": func(t *testing.T, file string, _ []byte) {
		require.NoError(t, errors.Join(os.Remove(file), unix.Mkfifo(file, 0o644)))
	},
}

// flipNote changes bytes all over a note, which then vouches for nothing.
func flipNote(t *testing.T, cfg *config.Config, m *host.Manifest, note, want string) {
	t.Helper()
	sound, err := os.ReadFile(note)
	require.NoError(t, err)
	for at := 0; at < len(sound); at += 1 + len(sound)/8 {
		changed := bytes.Clone(sound)
		changed[at] ^= 1
		require.NoError(t, os.WriteFile(note, changed, 0o600))
		restored, _ := goOn(t, cfg, m.ID, filepath.Join(t.TempDir(), "restored"))
		assert.Zero(t, restored.Local, at)
		assert.Equal(t, want, dbtest.Digest(t, restored.Target))
	}
	require.NoError(t, os.WriteFile(note, sound, 0o600))
}

// TestRottenFileIsNotVouchedFor rots a table after it was stored: what the note of
// the next snapshot knows of it comes from when it was sound.
func TestRottenFileIsNotVouchedFor(t *testing.T) {
	_, both := newKey(t)
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path, keepOne, both)
	first := snapshot(t, cfg, "incremental")
	table := tableOf(t, first)
	flipByte(t, filepath.Join(path, table.Name), int(table.Size/3))
	second := snapshot(t, cfg, "incremental")
	restored, opened := goOn(t, cfg, second.ID, filepath.Join(t.TempDir(), "restored"))
	assert.Equal(t, []string{table.Object}, opened)
	assert.Equal(t, want, dbtest.Digest(t, restored.Target))

	require.NoError(t, os.RemoveAll(rocks.Staging(path))) // with it, what is known of the digests
	third := snapshot(t, cfg, "incremental")
	restored, opened = goOn(t, cfg, third.ID, filepath.Join(t.TempDir(), "restored"))
	assert.Contains(t, opened, table.Object)
	assert.NotZero(t, restored.Local, "what is new in it")
	assert.Equal(t, want, dbtest.Digest(t, restored.Target))
}

func tableOf(t *testing.T, m *host.Manifest) *host.File {
	t.Helper()
	for i := range m.Contents {
		if strings.HasSuffix(m.Contents[i].Name, ".sst") {
			return &m.Contents[i]
		}
	}
	require.Fail(t, "no table")
	return nil
}

// TestKeptOfAnother has checkpoints of other repositories, databases and hosts.
func TestKeptOfAnother(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path, keepOne)
	m := snapshot(t, cfg, "incremental")

	away := at(cfg, filepath.Join(t.TempDir(), "db")) // another host, which has nothing
	restored, _ := goOn(t, away, m.ID, away.Database.Path)
	assert.Zero(t, restored.Local)
	dbtest.Fill(t, away.Database.Path, "default", 5, 100)
	theirs := snapshot(t, away, "incremental")
	requireKept(t, away.Database.Path, theirs)

	requireKept(t, path, m) // the first one comes back, to a newer snapshot than its own
	lose(t, path)
	restored, _ = goOn(t, cfg, "latest", path)
	assert.Equal(t, theirs.ID, restored.Snapshot.ID)
	assert.Zero(t, restored.Local)
	assert.Equal(t, dbtest.Digest(t, away.Database.Path), dbtest.Digest(t, path))

	other := dbtest.Config(t, path, keepOne) // another repository, with a copy of the snapshot
	_, err := repository(t, cfg).Copy(t.Context(), repository(t, other), host.CopyOptions{})
	require.NoError(t, err)
	copied, _ := goOn(t, other, m.ID, filepath.Join(t.TempDir(), "copied"))
	assert.Zero(t, copied.Local)
}

// TestDrillReadsTheRepository although everything is on this machine.
func TestDrillReadsTheRepository(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path, keepOne)
	m := snapshot(t, cfg, "native-full")
	flipByte(t, filepath.Join(cfg.Repository.Dir(), tableOf(t, m).Object), 100)
	assert.NotEmpty(t, verify(t, repository(t, cfg), host.VerifyOptions{Level: host.LevelRestore}).Problems)
	assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, restore(t, cfg, m.ID)), "but it heals what is lost")
}

// TestLocalElsewhere restores where nothing can be linked: on another file system,
// and with what is kept on one that cannot be written to.
func TestLocalElsewhere(t *testing.T) {
	folder := small(t)
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path, keepOne)
	m := snapshot(t, cfg, "native-full")
	far, opened := goOn(t, cfg, m.ID, filepath.Join(folder, "restored"))
	assert.Empty(t, opened)
	assert.Equal(t, m.BytesFull, far.Local)

	beside := filepath.Dir(path)
	require.NoError(t, unix.Mount(beside, beside, "", unix.MS_BIND, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(beside, unix.MNT_DETACH)) })
	require.NoError(t, unix.Mount("", beside, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""))
	read, opened := goOn(t, cfg, m.ID, filepath.Join(t.TempDir(), "restored"))
	assert.Empty(t, opened)
	assert.Equal(t, m.BytesFull, read.Local)
	assert.Equal(t, dbtest.Digest(t, far.Target), dbtest.Digest(t, read.Target))
}

// TestLocalNeedsNoRoom restores a lost database where there is no room for a second
// one: the checkpoint holds the space of the first.
func TestLocalNeedsNoRoom(t *testing.T) {
	folder := small(t)
	path := filepath.Join(folder, "db")
	require.NoError(t, os.CopyFS(path, os.DirFS(bulky(t, 800, false))))
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path, keepOne)
	m := snapshot(t, cfg, "native-full")
	lose(t, path)
	restored, opened := goOn(t, cfg, m.ID, path)
	assert.Empty(t, opened)
	assert.Equal(t, m.BytesFull, restored.Local)
	assert.Equal(t, want, dbtest.Digest(t, path))
}

// TestKeepingFails at each of its changes, one after the other: the snapshot is
// committed all the same, and what was being kept is gone or whole.
func TestKeepingFails(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path, keepOne)
	h := open(t, cfg, host.Offline())
	failures := 0
	for stop, failed := 1, true; failed; stop++ {
		var mu sync.Mutex
		seen := 0 // changes since it began
		failed = false
		end := durable.Intercept(func(op durable.Op, change func() error) error {
			mu.Lock()
			defer mu.Unlock()
			if seen > 0 && strings.HasPrefix(op.Path, rocks.Staging(path)) || filepath.Base(op.Path) == "note" {
				seen++
			}
			if seen == stop && !failed {
				failed = true
				failures++
				return unix.EIO
			}
			return change()
		})
		m, err := h.Snapshot(t.Context(), host.SnapshotOptions{})
		end()
		require.NoError(t, err)
		if _, err := os.Stat(filepath.Join(rocks.Staging(path), "kept-"+m.ID)); err == nil {
			restored, opened := goOn(t, cfg, m.ID, filepath.Join(t.TempDir(), "restored"))
			assert.Empty(t, opened)
			assert.Equal(t, m.BytesFull, restored.Local)
		}
		require.LessOrEqual(t, len(kept(t, path)), 2)
		require.Less(t, stop, 30)
	}
	assert.GreaterOrEqual(t, failures, 5, "create, write and sync the note, rename, sync, remove the one before")
	last, err := h.Snapshot(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	requireKept(t, path, last)
}

func flipByte(t *testing.T, file string, at int) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	text[at] ^= 1
	require.NoError(t, os.WriteFile(file, text, 0o644))
}

// TestKeptNoteThatIsNone puts what is no file, or one without end, in the place of a
// note: nobody waits for it.
func TestKeptNoteThatIsNone(t *testing.T) {
	unraced(t)
	for name, replace := range map[string]func(string) error{
		"pipe":   func(note string) error { return unix.Mkfifo(note, 0o600) },
		"folder": func(note string) error { return os.Mkdir(note, 0o700) },
		"link":   func(note string) error { return os.Symlink("/dev/zero", note) },
		"huge":   func(note string) error { return errors.Join(os.WriteFile(note, nil, 0o600), os.Truncate(note, 1<<40)) },
	} {
		t.Run(name, func(t *testing.T) {
			path := blobbed(t)
			cfg := dbtest.Config(t, path, keepOne)
			m := snapshot(t, cfg, "native-full")
			note := filepath.Join(kept(t, path)[0], "note")
			require.NoError(t, errors.Join(os.Remove(note), replace(note)))
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				assert.Zero(t, claimed(t, cfg, host.RestoreOptions{Snapshots: []string{m.ID}}).Local)
				requireKept(t, path, snapshot(t, cfg, "native-full"))
			}()
			select {
			case <-ended:
			case <-time.After(5 * time.Second):
				t.Fatal("it waits for a note")
			}
		})
	}
}
