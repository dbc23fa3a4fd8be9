package host_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// envCopier makes TestCopier a process that is going to be killed. Its words are
// the configurations of the source and of the destination.
const envCopier = "ROCKSNAP_TEST_COPIER"

// TestCopier is the victim of TestKilledCopy. It takes its time over each object,
// and prints a line when it is stored.
func TestCopier(t *testing.T) {
	files := strings.Fields(os.Getenv(envCopier))
	if len(files) != 2 {
		t.Skip("only for TestKilledCopy")
	}
	from, err := config.Load(files[0])
	require.NoError(t, err)
	to, err := config.Load(files[1])
	require.NoError(t, err)
	to.Repository.Transfer.Workers = 1
	r, err := host.OpenRepository(t.Context(), to, host.WithStore(announcing{store(t, to)}))
	require.NoError(t, err)
	_, err = repository(t, from).Copy(t.Context(), r, host.CopyOptions{})
	require.NoError(t, err)
}

// copierPause is the time that the victim takes over an object. What it has stored
// is noted each second.
const copierPause = 150 * time.Millisecond

// announcing is a slow store that prints the name of every data object.
type announcing struct{ blob.Store }

func (a announcing) Create(ctx context.Context, name string, r io.Reader) error {
	err := a.Store.Create(ctx, name, r)
	if err == nil && strings.HasPrefix(name, "objects/") {
		time.Sleep(copierPause)
		fmt.Println("stored", name)
	}
	return err
}

// killCopier kills a copy after it has stored so many objects.
func killCopier(t *testing.T, from, to *config.Config, objects int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run", "^TestCopier$")
	cmd.Env = append(os.Environ(), envCopier+"="+from.Path+" "+to.Path)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	for lines := bufio.NewScanner(out); objects > 0 && lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "stored ") {
			objects--
		}
	}
	require.Zero(t, objects, "the victim ended by itself")
	require.NoError(t, cmd.Process.Kill())
	require.Error(t, cmd.Wait())
}

// TestKilledCopy goes on with a copy that was killed: what was noted is not sent
// again.
func TestKilledCopy(t *testing.T) {
	unraced(t)
	_, key := newKey(t)
	_, other := newKey(t)
	for name, lines := range map[string][2]string{"plain": {}, "same key": {key, key}, "another key": {key, other}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of it is waiting
			const killed = 14
			path := manyFiles(t, killed)
			from, to := dbtest.Config(t, path, lines[0]), dbtest.Config(t, path, lines[1])
			m := snapshot(t, from, "native-full")
			killCopier(t, from, to, killed)
			require.Empty(t, listed(t, to))
			sent := atomic.Int32{}
			r := observed(t, to, func(op blob.Op) {
				if stores(op) {
					sent.Add(1)
				}
			})
			copied, err := repository(t, from).Copy(t.Context(), r, host.CopyOptions{})
			require.NoError(t, err)
			assert.NotZero(t, copied.Resumed)
			assert.EqualValues(t, copied.Objects, sent.Load())
			unnoted := int(time.Second/copierPause) + 2
			assert.LessOrEqual(t, copied.Objects, m.Files-killed+unnoted)
			taken{[]*host.Manifest{m}, []string{dbtest.Digest(t, path)}}.requireCopied(t, to)
		})
	}
}

// manyFiles makes a database of so many tables and a few more files.
func manyFiles(t *testing.T, tables int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	families := make([]string, tables)
	for i := range families {
		families[i] = fmt.Sprintf("family-%d", i)
	}
	dbtest.Edit(t, path, rocks.Creation{Families: families}, func(db *rocks.DB) {
		for i, family := range families {
			put(t, db, family, uint64(i), 20)
		}
		require.NoError(t, db.Flush())
	})
	return path
}

// TestCopyGoesOnWithinAFile breaks off in the middle of a large file, and right after
// it. In the first case it is sent under the same name again, so that a store can go
// on from the pieces that it has.
func TestCopyGoesOnWithinAFile(t *testing.T) {
	unraced(t)
	path := filepath.Join(t.TempDir(), "db")
	value := make([]byte, 33<<20)
	_, err := rand.NewChaCha8([32]byte{}).Read(value)
	require.NoError(t, err)
	dbtest.Edit(t, path, rocks.Creation{}, func(db *rocks.DB) {
		require.NoError(t, db.PutBlock("default", record("large", string(value))))
		require.NoError(t, db.Flush())
	})
	from := dbtest.Config(t, path)
	m := snapshot(t, from, "native-full")
	for name, keeps := range map[string]bool{"in the middle": false, "after it": true} {
		t.Run(name, func(t *testing.T) {
			to := dbtest.Config(t, path)
			to.Repository.Transfer.Workers = 1
			s := &failsAtLarge{Store: store(t, to), keeps: keeps}
			r, err := host.OpenRepository(t.Context(), to, host.WithStore(s))
			require.NoError(t, err)
			_, err = repository(t, from).Copy(t.Context(), r, host.CopyOptions{})
			require.ErrorIs(t, err, blob.ErrFault)
			require.NotEmpty(t, s.large)
			_, err = copyAll(t, from, to)
			require.NoError(t, err)
			taken{[]*host.Manifest{m}, []string{dbtest.Digest(t, path)}}.requireCopied(t, to)
			got, err := repository(t, to).Find(t.Context(), m.ID)
			require.NoError(t, err)
			assert.Equal(t, !keeps, refers(got, s.large), "a name is used once, for what is whole")
		})
	}
}

// TestCopySharesNothingPrivate breaks off between two snapshots that are alike, and
// whose objects may be referred to by one only: what the first copy has stored for
// the one is not taken for the other.
func TestCopySharesNothingPrivate(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	from, to := dbtest.Config(t, path), dbtest.Config(t, path)
	list := snapshots(t, from, "native-full", "native-full")
	entries := 0
	r, err := host.OpenRepository(t.Context(), to, host.WithStore(blob.Faulty(store(t, to), func(c blob.Call) blob.Fault {
		switch {
		case c.Verb == blob.VerbCreate && strings.Contains(c.Name, "/entries/"):
			entries++
		case c.Verb == blob.VerbCreate && strings.HasPrefix(c.Name, "objects/") && entries == 2: // an epoch and a manifest
			return blob.Fault{Mode: blob.Fail}
		}
		return blob.Fault{}
	})))
	require.NoError(t, err)
	_, err = repository(t, from).Copy(t.Context(), r, host.CopyOptions{})
	require.ErrorIs(t, err, blob.ErrFault)
	require.Equal(t, []string{list[0].ID}, listed(t, to))
	_, err = copyAll(t, from, to)
	require.NoError(t, err)
	first, err := repository(t, to).Find(t.Context(), list[0].ID)
	require.NoError(t, err)
	second, err := repository(t, to).Find(t.Context(), list[1].ID)
	require.NoError(t, err)
	for _, f := range second.Contents {
		assert.False(t, refers(first, f.Object), f.Name)
	}
}

// failsAtLarge is a store that takes nothing more once it has met an object of 32 MiB,
// which it may or may not have kept.
type failsAtLarge struct {
	blob.Store
	keeps bool
	large string // name of the object
}

// Resumes stands for a store that keeps pieces, which a folder does not.
func (f *failsAtLarge) Resumes(size int64) bool { return size >= 32<<20 }

func (f *failsAtLarge) Create(ctx context.Context, name string, r io.Reader) error {
	if f.large != "" {
		return blob.ErrFault
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if len(data) < 32<<20 {
		return f.Store.Create(ctx, name, bytes.NewReader(data))
	}
	f.large = name
	if !f.keeps {
		return blob.ErrFault
	}
	return f.Store.Create(ctx, name, bytes.NewReader(data))
}
