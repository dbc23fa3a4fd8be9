package host_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// envPack is the number of files in the databases of TestPacks.
const envPack = "ROCKSNAP_TEST_PACK_FILES"

func tinyFiles(t testing.TB) int {
	n, err := strconv.Atoi(cmp.Or(os.Getenv(envPack), "300"))
	require.NoError(t, err)
	return n
}

// tiny makes a database of n tables, each of one record.
func tiny(t testing.TB, n int) string {
	t.Helper()
	path := dbtest.New(t, rocks.Creation{})
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) { addTiny(t, db, 0, n) })
	return path
}

// addTiny adds the tables of the records from first on.
func addTiny(t testing.TB, db *rocks.DB, first, n int) {
	t.Helper()
	folder := t.TempDir()
	var files []string
	for i := range n {
		w, err := rocks.NewTableWriter(db, "default", folder)
		require.NoError(t, err)
		require.NoError(t, w.AddBlock(record(fmt.Sprintf("key-%07d", first+i), fmt.Sprint("value ", first+i))))
		written, err := w.Finish()
		require.NoError(t, err)
		require.NoError(t, w.Close())
		files = append(files, written...)
	}
	require.NoError(t, db.Ingest("default", files))
}

// packed has files go into packs.
func packed(cfg *config.Config) *config.Config {
	other := *cfg
	other.Repository.Pack = &config.Pack{Below: 64 << 10, Into: 1 << 20, MaxSpaceAmplification: 2}
	return &other
}

// countObjects returns how many objects hold the files of a snapshot.
func countObjects(m *host.Manifest) int {
	names := make(map[string]bool)
	for _, f := range m.Contents {
		names[f.Object] = true
	}
	return len(names)
}

// packsOf returns the names of the packs that hold shared files of a snapshot.
func packsOf(m *host.Manifest) map[string]bool {
	names := make(map[string]bool)
	for _, f := range m.Contents {
		if f.Segment != nil && f.Scope == abi.ScopeShared {
			names[f.Object] = true
		}
	}
	return names
}

// TestPacks has many files become few objects, with every strategy of files.
func TestPacks(t *testing.T) {
	n := tinyFiles(t)
	path := tiny(t, n)
	want := dbtest.Digest(t, path)
	most := 4 + n/500 // about 1 KiB each, and a few that are private
	for _, strategy := range []string{"incremental", "increment", "native-full"} {
		t.Run(strategy, func(t *testing.T) {
			cfg := packed(dbtest.Config(t, path))
			m := increment(t, cfg, strategy)
			require.Greater(t, len(m.Contents), n)
			assert.LessOrEqual(t, countObjects(m), most)
			assert.Len(t, names(t, store(t, cfg), "objects/"), countObjects(m))
			var opened atomic.Int64
			r := observed(t, cfg, func(op blob.Op) {
				if op.Verb == blob.VerbOpen && len(op.Name) > 8 && op.Name[:8] == "objects/" {
					opened.Add(1)
				}
			})
			target := t.TempDir() + "/restored"
			_, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
			require.NoError(t, err)
			assert.Equal(t, want, dbtest.Digest(t, target))
			assert.LessOrEqual(t, int(opened.Load()), 10+n/60, "neighbours are read together")
			requireSound(t, cfg)
			if strategy == "native-full" {
				return
			}
			next := increment(t, cfg, strategy)
			assert.Equal(t, m.BytesShared, next.BytesReused)
			assert.Equal(t, packsOf(m), packsOf(next))
			requireSound(t, cfg)
		})
	}
}

// TestPackScopes keeps what dies with its snapshot apart from what is shared, and
// has a savepoint share nothing.
func TestPackScopes(t *testing.T) {
	cfg := packed(dbtest.Config(t, tiny(t, 20)))
	m := increment(t, cfg, "increment")
	scopes := make(map[string]abi.Scope)
	for _, f := range m.Contents {
		require.NotNil(t, f.Segment, f.Name)
		if scope, known := scopes[f.Object]; known {
			assert.Equal(t, scope, f.Scope, f.Name)
		}
		scopes[f.Object] = f.Scope
	}
	assert.Len(t, scopes, 2)
	saved := savepoint(t, cfg, "native-full")
	assert.Equal(t, 1, countObjects(saved))
	assert.Empty(t, packsOf(saved))
}

// uploader is a strategy that uploads files in a way of its own.
type uploader struct {
	plainIncrement
	run func(ctx context.Context, s abi.Session, files []abi.File) error
}

func (u uploader) Snapshot(ctx context.Context, s abi.Session) error {
	files := make([]abi.File, 4096)
	n, err := s.FilesRead(0, files)
	if err != nil {
		return err
	}
	return u.run(ctx, s, files[:n])
}

// offer uploads files, and demands that all are accepted.
func offer(s abi.Session, files ...abi.File) error {
	for _, f := range files {
		n, err := s.Upload([]abi.Upload{{File: f.ID, Scope: abi.ScopePrivate, User: uint64(f.ID)}})
		if err == nil && n != 1 {
			err = fmt.Errorf("file %d was not accepted", f.ID)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// await reads as many completions as there are files, one by one, and returns the
// user values of those that failed.
func await(s abi.Session, files int) (failed []uint64, err error) {
	for range files {
		done := make([]abi.Completion, 1)
		n, err := s.Wait(done)
		if err != nil || n != 1 {
			return failed, fmt.Errorf("%d completions: %w", n, err)
		}
		if done[0].Err() != nil {
			failed = append(failed, done[0].User)
		}
	}
	return failed, nil
}

// transferred uploads files and waits for them, none of which may fail.
func transferred(s abi.Session, files ...abi.File) error {
	err := offer(s, files...)
	if err != nil {
		return err
	}
	failed, err := await(s, len(files))
	if err == nil && len(failed) > 0 {
		err = fmt.Errorf("files %v failed", failed)
	}
	return err
}

// TestPackGuests has strategies wait as they like: none waits for ever.
func TestPackGuests(t *testing.T) {
	path := tiny(t, 40)
	want := dbtest.Digest(t, path)
	for name, c := range map[string]struct {
		run     func(s abi.Session, files []abi.File) error
		objects int
	}{
		"all at once": {func(s abi.Session, files []abi.File) error { return transferred(s, files...) }, 1},
		"one by one": {func(s abi.Session, files []abi.File) error {
			var errs []error
			for _, f := range files {
				errs = append(errs, transferred(s, f))
			}
			return errors.Join(errs...)
		}, 43},
		"in three parts": {func(s abi.Session, files []abi.File) error {
			return errors.Join(transferred(s, files[:10]...), transferred(s, files[10]), transferred(s, files[11:]...))
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := packed(dbtest.Config(t, path))
			cfg.Repository.Transfer.Workers = 1
			h := open(t, cfg, host.Offline(), host.WithStrategy("mine", func() abi.Strategy {
				return uploader{run: func(_ context.Context, s abi.Session, files []abi.File) error {
					if err := c.run(s, files); err != nil {
						return err
					}
					n, err := s.Wait(make([]abi.Completion, 1))
					assert.Zero(t, n, "nothing is under way")
					return err
				}}
			}))
			m, err := h.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "mine"})
			require.NoError(t, err)
			assert.Equal(t, c.objects, countObjects(m))
			assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, m.ID)))
		})
	}
}

// TestPackFaults fails what goes into packs: a file that is submitted twice, one
// that cannot be read, one that is never waited for, and all of it at a cancel.
func TestPackFaults(t *testing.T) {
	unraced(t)
	path := tiny(t, 20)
	for name, c := range map[string]struct {
		run  func(ctx context.Context, s abi.Session, files []abi.File, cancel func()) error
		fail string
	}{
		"twice": {func(_ context.Context, s abi.Session, files []abi.File, _ func()) error {
			if err := offer(s, append(files, files[3])...); err != nil {
				return err
			}
			failed, err := await(s, len(files)+1)
			assert.Equal(t, []uint64{uint64(files[3].ID)}, failed)
			return err
		}, ""},
		"never waited for": {func(_ context.Context, s abi.Session, files []abi.File, _ func()) error {
			return offer(s, files...)
		}, "neither uploaded nor reused"},
		"cancelled": {func(ctx context.Context, s abi.Session, files []abi.File, cancel func()) error {
			if err := offer(s, files...); err != nil {
				return err
			}
			cancel()
			<-ctx.Done()
			_, err := await(s, 1)
			return err
		}, "canceled"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := packed(dbtest.Config(t, path))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			h := open(t, cfg, host.Offline(), host.WithStrategy("mine", func() abi.Strategy {
				return uploader{run: func(ctx context.Context, s abi.Session, files []abi.File) error { return c.run(ctx, s, files, cancel) }}
			}))
			_, err := h.Snapshot(ctx, host.SnapshotOptions{Strategy: "mine"})
			if c.fail == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.fail)
			requireClean(t, path)
		})
	}
}

// TestPackAmplification stores anew what is alive of a pack once too much of it is
// dead, but not before, and never where nobody asks for it.
func TestPackAmplification(t *testing.T) {
	unraced(t)
	for _, c := range []struct {
		most  float64
		dead  int // of 40 tables
		again bool
	}{{2, 15, false}, {2, 25, true}, {0, 35, false}} {
		path := tiny(t, 40)
		cfg := packed(dbtest.Config(t, path))
		cfg.Repository.Pack.MaxSpaceAmplification = c.most
		base := increment(t, cfg, "incremental")
		dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
			require.NoError(t, db.DeleteRange("default", []byte("key-"), fmt.Appendf(nil, "key-%07d", c.dead)))
			require.NoError(t, db.Flush())
			require.NoError(t, db.CompactRange("default", []byte("key-"), fmt.Appendf(nil, "key-%07d", c.dead)))
		})
		want := dbtest.Digest(t, path)
		next := increment(t, cfg, "incremental")
		assert.Equal(t, c.again, next.BytesReused == 0, c)
		for pack := range packsOf(base) {
			assert.Equal(t, !c.again, packsOf(next)[pack], c)
		}
		assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, next.ID)))
		last := increment(t, cfg, "incremental")
		assert.Equal(t, next.BytesShared, last.BytesReused, "what was stored anew has nothing dead in it")
		cfg.Retention = config.Retention{KeepLast: 1}
		_, err := repository(t, cfg).Prune(t.Context(), host.PruneOptions{})
		require.NoError(t, err)
		assert.Len(t, names(t, store(t, cfg), "objects/"), countObjects(last))
		requireSound(t, cfg)
	}
}

// TestPackOnServer leads packs through their life on a server, encrypted.
func TestPackOnServer(t *testing.T) {
	unraced(t)
	n := tinyFiles(t)
	path := tiny(t, n)
	want := dbtest.Digest(t, path)
	server := storetest.Versity(t)
	for _, how := range []string{"packed", "single"} {
		cfg := dbtest.Config(t, path)
		onServer(t, cfg, server)
		encrypted(t, cfg)
		if how == "packed" {
			cfg = packed(cfg)
		} else if os.Getenv(envPack) == "" {
			continue // it is there to compare
		}
		_, err := host.Init(t.Context(), cfg, host.InitOptions{SkipProbe: true})
		require.NoError(t, err)
		start := time.Now()
		m := increment(t, cfg, "increment")
		taken := time.Since(start)
		again := increment(t, cfg, "increment")
		reused := time.Since(start) - taken
		assert.Equal(t, m.BytesShared, again.BytesReused)
		start = time.Now()
		assert.Equal(t, want, dbtest.Digest(t, restore(t, cfg, m.ID)))
		t.Logf("%s: %d files in %d objects, taken in %v, again in %v, restored in %v", how, len(m.Contents), countObjects(m), taken, reused, time.Since(start))
		requireSound(t, cfg)
	}
}
