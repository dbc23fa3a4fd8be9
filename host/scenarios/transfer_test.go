package scenarios

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// eachStore runs a test with a repository in a directory, and with one on a server.
// The database has six tables.
func eachStore(t *testing.T, test func(t *testing.T, w *world)) {
	server := storetest.Versity(t)
	server.Env(t)
	remote, err := s3.Open(t.Context(), server.Options())
	require.NoError(t, err)
	for name, open := range map[string]func() (blob.Store, error){
		"directory": func() (blob.Store, error) { return dir.Create(filepath.Join(t.TempDir(), "repo")) },
		"s3":        func() (blob.Store, error) { return remote, nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, rocks.Creation{Families: []string{"a", "b", "c", "d", "e"}})
			store, err := open()
			require.NoError(t, err)
			_, err = catalog.Init(t.Context(), store, catalog.Format{})
			require.NoError(t, err)
			require.NoError(t, w.host.Close())
			w.store.Store = store
			w.cfg.Repository.Transfer.Workers = 5
			w.host = w.lend()
			w.fillEach(1)
			test(t, w)
		})
	}
}

// fillEach writes a table into each column family.
func (w *world) fillEach(round int) {
	w.t.Helper()
	for family := range w.model {
		for i := range 20 {
			w.put(family, fmt.Sprintf("%s-%d-%d", family, round, i), strings.Repeat(family, 100+round*i))
		}
	}
	require.NoError(w.t, w.db.Flush())
}

// isData tells objects of data from documents.
func isData(name string) bool { return strings.HasPrefix(name, "objects/") }

// failNth fails the nth call for a data object, and those after it.
func failNth(n int32, err error) hook {
	var calls atomic.Int32
	return func(_ context.Context, name string) error {
		if isData(name) && calls.Add(1) >= n {
			return err
		}
		return nil
	}
}

// TestMultiThreadUploadThreadPoolExceptionRethrow is scenario 27: the very error of the
// store reaches the caller, through the module.
func TestMultiThreadUploadThreadPoolExceptionRethrow(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world) {
		broken := errors.New("no more credit at the store")
		w.store.onCreate(failNth(3, broken))
		_, err := w.host.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "incremental"})
		require.ErrorIs(t, err, broken)
		assert.Contains(t, err.Error(), broken.Error())
		assert.NotEqual(t, host.CodePlugin, host.CodeOf(err))
	})
}

// TestUploadedSstCanBeCleanedUp is scenario 28: a batch that fails at its last file is
// in no list. What it has stored serves the next snapshot, and is swept after that,
// with what lands when all is over.
func TestUploadedSstCanBeCleanedUp(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world) {
		first := w.take("incremental")
		want := map[string]content{first.ID: w.content()}
		w.fillEach(2)
		broken := errors.New("the last one")
		w.store.onCreate(failNth(6, broken))
		op := w.begin("incremental")
		_, err := op.Wait()
		require.ErrorIs(t, err, broken)
		w.store.onCreate(nil)
		w.lists(want)
		late := catalog.ObjectName(op.ID(), 99)
		require.NoError(t, w.store.Create(t.Context(), late, strings.NewReader("lands late")))

		next := w.take("incremental")
		want[next.ID] = w.content()
		assert.True(t, slices.ContainsFunc(tables(next), func(f host.File) bool { return strings.Contains(f.Object, op.ID()) }))
		w.remove()
		assert.NotContains(t, w.stored(), late)
		w.holds(want)
	})
}

// TestMultiThreadUploadCorrectly is scenario 29: each object holds the bytes of the
// file that the manifest says it holds.
func TestMultiThreadUploadCorrectly(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world) {
		m := w.take("native-full")
		require.Len(t, tables(m), 6)
		for _, f := range tables(m) {
			want, err := os.ReadFile(filepath.Join(w.cfg.Database.Path, f.Name))
			require.NoError(t, err)
			body, err := w.store.Open(t.Context(), f.Object, 0, -1)
			require.NoError(t, err)
			got, err := io.ReadAll(body)
			require.NoError(t, errors.Join(err, body.Close()))
			assert.Equal(t, want, got, f.Name)
		}
	})
}

// TestMultiThreadRestoreThreadPoolExceptionRethrow is scenarios 32 and 35: the error of
// one file is the error of the restore, with nothing around it but where it happened.
func TestMultiThreadRestoreThreadPoolExceptionRethrow(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world) {
		m := w.take("native-full")
		broken := errors.New("the tape is torn")
		lost := tables(m)[3].Object
		w.store.onOpen(func(_ context.Context, name string) error {
			if name == lost {
				return broken
			}
			return nil
		})
		_, err := w.tryRestore(m.ID)
		require.ErrorIs(t, err, broken)
		assert.Equal(t, 1, strings.Count(err.Error(), broken.Error()))
		assert.NotContains(t, err.Error(), "\n")
		assert.Contains(t, err.Error(), m.ID)
	})
}

func (w *world) tryRestore(id string) (target string, err error) {
	w.t.Helper()
	target = filepath.Join(w.t.TempDir(), "restored")
	_, err = w.repository().Restore(w.t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: target})
	return target, err
}

// TestMultiThreadRestoreCorrectly is scenario 33: three snapshots of six tables are
// restored side by side, each into its own directory, with the very files.
func TestMultiThreadRestoreCorrectly(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world) {
		var all sync.WaitGroup
		var list []*host.Manifest
		var want []content
		for round := range 3 {
			w.fillEach(round)
			list, want = append(list, w.take("incremental")), append(want, w.content())
		}
		targets := make([]string, len(list))
		for i, m := range list {
			all.Go(func() { targets[i] = w.restore(m.ID) })
		}
		all.Wait()
		for i, target := range targets {
			assert.Equal(t, want[i], contents(t, target))
			for _, f := range tables(list[i]) {
				info, err := os.Stat(filepath.Join(target, f.Name))
				require.NoError(t, err)
				assert.Equal(t, f.Size, info.Size())
			}
		}
	})
}

// TestMultiThreadCleanupOnFailure is scenario 34: a restore that fails leaves no
// target. What it has fetched stays hidden beside it for the next attempt, which the
// same repository makes, and is gone after that.
func TestMultiThreadCleanupOnFailure(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world) {
		m := w.take("native-full")
		w.cfg.Repository.Transfer.Workers = 1 // so that three files are there before the fourth fails
		r := w.repository()
		options := host.RestoreOptions{Snapshots: []string{m.ID}, Target: filepath.Join(t.TempDir(), "restored")}
		broken := errors.New("broken")
		w.store.onOpen(failNth(4, broken))
		_, err := r.Restore(t.Context(), options)
		require.ErrorIs(t, err, broken)
		require.NoDirExists(t, options.Target)
		w.store.onOpen(nil)
		restored, err := r.Restore(t.Context(), options)
		require.NoError(t, err)
		assert.Positive(t, restored.Resumed)
		assert.Equal(t, w.content(), contents(t, options.Target))
		assert.Equal(t, []string{"restored"}, names(t, filepath.Dir(options.Target)))
	})
}

// TestRootCauseVisibleAmongCascadeFailures is scenario 36: one transfer fails, and all
// others are cancelled because of it. The error tells of the one.
func TestRootCauseVisibleAmongCascadeFailures(t *testing.T) {
	root := errors.New("root cause")
	cascade := func(victim func(name string) bool) hook {
		return func(ctx context.Context, name string) error {
			switch {
			case victim(name):
				return root
			case isData(name):
				<-ctx.Done()
				return fmt.Errorf("%s was closed: %w", name, ctx.Err())
			}
			return nil
		}
	}
	eachStore(t, func(t *testing.T, w *world) {
		m := w.take("native-full")
		w.store.onOpen(cascade(func(name string) bool { return name == tables(m)[2].Object }))
		_, err := w.tryRestore(m.ID)
		require.ErrorIs(t, err, root)
		assert.NotContains(t, err.Error(), "was closed")
		w.store.onOpen(nil)

		w.store.onCreate(cascade(func(name string) bool { return strings.HasSuffix(name, "-000003") }))
		_, err = w.host.Snapshot(t.Context(), host.SnapshotOptions{Strategy: "native-full"})
		require.ErrorIs(t, err, root)
		assert.NotContains(t, err.Error(), "was closed")
	})
}

// TestMultipleDistinctFailuresMergedInMessage is scenario 37: three files fail at the
// same time, each in its own way. All are named, in one line, and each once.
func TestMultipleDistinctFailuresMergedInMessage(t *testing.T) {
	eachStore(t, func(t *testing.T, w *world) {
		m := w.take("native-full")
		victims := []string{tables(m)[1].Object, tables(m)[2].Object, tables(m)[3].Object}
		failures := []error{errors.New("first disk"), errors.New("second disk"), errors.New("third disk")}
		var together sync.WaitGroup
		together.Add(len(victims))
		w.store.onOpen(func(_ context.Context, name string) error {
			i := slices.Index(victims, name)
			if i < 0 {
				return nil
			}
			together.Done()
			together.Wait()
			return failures[i]
		})
		_, err := w.tryRestore(m.ID)
		for _, failure := range failures {
			require.ErrorIs(t, err, failure)
			assert.Equal(t, 1, strings.Count(err.Error(), failure.Error()), err)
		}
		assert.NotContains(t, err.Error(), "\n")
	})
}

// TestLinkImpossible is scenario 76, FLINK-25468: where files cannot be linked they are
// copied, to the same result.
func TestLinkImpossible(t *testing.T) {
	w := newWorld(t, rocks.Creation{})
	w.write(1)
	m := w.take("native-full")
	r, err := host.OpenRepository(t.Context(), w.cfg) // without the hooks, through which nothing is linked
	require.NoError(t, err)
	for folder, linked := range map[string]bool{otherDevice(t, w.cfg.Repository.Dir()): false, t.TempDir(): true} {
		target := filepath.Join(folder, "restored")
		restored, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target, Link: true})
		require.NoError(t, err)
		assert.Equal(t, linked, restored.Linked > 0, folder)
		assert.Equal(t, w.content(), contents(t, target))
	}
	require.NotZero(t, count(m, abi.KindTable))
}

func count(m *host.Manifest, kind abi.Kind) (n int) {
	for _, f := range m.Contents {
		if f.Kind == kind {
			n++
		}
	}
	return n
}
