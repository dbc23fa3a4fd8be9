package host_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/durable"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// matrix drives deeds through every failure of every operation.
type matrix struct {
	stage    stage
	template *world
}

func newMatrix(t *testing.T, open provider) *matrix {
	m := &matrix{}
	m.stage.root = memory(t)
	m.template = newWorld(t, m.folder(t), open)
	t.Cleanup(durable.Intercept(m.stage.intercept))
	return m
}

// memory returns a folder in memory where there is a file system for that: what
// is stopped here are programs, not disks.
func memory(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp("/dev/shm", "rocksnap-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return folder
}

func (m *matrix) folder(t testing.TB) string {
	t.Helper()
	folder, err := os.MkdirTemp(m.stage.root, "world")
	require.NoError(t, err)
	return folder
}

// run does a deed in a world of its own, with a fault in the calls of its stores
// or in its changes of the file system, and then looks at what has become of the
// world.
func (m *matrix) run(t *testing.T, d deed, changes bool, f fault) *script {
	t.Helper()
	w := m.template.clone(t, m.folder(t))
	w.turn = f.at
	d.prepare(t, w)
	s := &script{fault: f}
	repository, other := w.store, w.other
	if changes {
		m.stage.scripts.Store(w.folder, s)
	} else {
		repository, other = s.store(w.store), s.store(w.other)
	}
	err := d.do(t.Context(), w, repository, other)
	m.stage.scripts.Delete(w.folder)
	d.settle(t, w, err)
	w.requireSnapshots(t, w.store, w.must)
	w.requireNothingElse(t)
	require.NoError(t, os.RemoveAll(w.folder))
	return s
}

// envMatrix, when it is set, has the matrix leave nothing out.
const envMatrix = "ROCKSNAP_TEST_MATRIX"

// each runs a deed once for each failure of each of its operations, or of every
// so manyth.
func (m *matrix) each(t *testing.T, d deed, changes bool, floor, stride int) {
	if os.Getenv(envMatrix) != "" {
		stride = 1
	} else if raced() {
		stride *= 2
	}
	whole := m.run(t, d, changes, fault{})
	require.GreaterOrEqual(t, len(whole.ops), floor, whole.ops)
	for at := 1; at <= len(whole.ops); at += stride {
		for _, kind := range kinds(whole, at, changes) {
			t.Run(fmt.Sprintf("%s %d", kind, at), func(t *testing.T) {
				t.Parallel()
				m.run(t, d, changes, fault{kind, at})
			})
		}
	}
}

// kinds lists the faults of the nth operation that differ in what they leave, or
// in what is known of it. To stop before a read is to stop before the next write,
// which is another number, unless the read is to find out what became of a write.
func kinds(whole *script, n int, change bool) []kind {
	if change {
		return []kind{stopped, lost}
	}
	var list []kind
	if !isRead(whole.verb(n)) || n > 1 && !isRead(whole.verb(n-1)) {
		list = append(list, stopped)
	}
	switch blob.Verb(whole.verb(n)) {
	case blob.VerbCreate:
		return append(list, lost, vanished)
	case blob.VerbDelete:
		return append(list, lost, cut)
	case blob.VerbOpen, blob.VerbList:
		return append(list, cut)
	}
	return append(list, lost)
}

func isRead(verb string) bool {
	switch blob.Verb(verb) {
	case blob.VerbOpen, blob.VerbList, blob.VerbStat:
		return true
	}
	return false
}

// TestMatrixDirectory is the matrix of a repository in a directory.
func TestMatrixDirectory(t *testing.T) {
	unraced(t)
	m := newMatrix(t, func(t testing.TB, folder, name string) blob.Store {
		s, err := dir.Create(filepath.Join(folder, name))
		require.NoError(t, err)
		return s
	})
	for _, d := range deeds {
		t.Run(d.name+", calls", func(t *testing.T) { m.each(t, d, false, d.calls.floor, d.calls.stride) })
		t.Run(d.name+", changes", func(t *testing.T) { m.each(t, d, true, d.changes.floor, d.changes.stride) })
	}
}

// TestMatrixVersity is the matrix of a repository in a bucket. What a deed changes
// on this machine is no different there.
func TestMatrixVersity(t *testing.T) {
	unraced(t)
	server := storetest.Versity(t)
	server.Env(t)
	m := newMatrix(t, func(t testing.TB, folder, name string) blob.Store {
		o := server.Options()
		o.Prefix = filepath.Base(folder) + "/" + name
		s, err := s3.Open(t.Context(), o)
		require.NoError(t, err)
		return s
	})
	for _, d := range deeds {
		t.Run(d.name, func(t *testing.T) { m.each(t, d, false, d.calls.floor, 8*d.calls.stride) })
	}
}
