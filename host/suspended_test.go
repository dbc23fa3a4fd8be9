package host_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// site says where a store is, in words that go to another process.
type site struct{ endpoint, name string } // name of a bucket with a prefix, or of a folder without an endpoint

func (s site) open(ctx context.Context) (blob.Store, error) {
	if s.endpoint == local {
		return dir.Create(s.name)
	}
	bucket, prefix, _ := strings.Cut(s.name, "/")
	return s3.Open(ctx, s3.Options{Bucket: bucket, Prefix: prefix, Endpoint: s.endpoint, PathStyle: true})
}

const local = "-"

// moments are those at which a writer is suspended, each right before a call.
var moments = map[string]func(blob.Call) bool{
	"announces": nth(1, "/intents/"),
	"uploads":   nth(3, "objects/"),
	"commits":   nth(2, "/entries/"), // the first is the epoch
}

// nth recognises the creation of the nth object that has a part in its name.
func nth(n int, part string) func(blob.Call) bool {
	seen := 0
	return func(c blob.Call) bool {
		if c.Verb == blob.VerbCreate && strings.Contains(c.Name, part) {
			seen++
			return seen == n
		}
		return false
	}
}

// suspendable takes a snapshot. At the moment that is named it prints the name of
// the object that it is about to create, and goes on once there is a line to read.
func suspendable(ctx context.Context, cfg *config.Config, cache string, where site, moment string) error {
	store, err := where.open(ctx)
	if err != nil {
		return err
	}
	reached, input := moments[moment], bufio.NewReader(os.Stdin)
	gated := blob.Faulty(store, func(c blob.Call) blob.Fault {
		if reached(c) {
			fmt.Println(c.Name)
			_, _ = input.ReadString('\n')
		}
		return blob.Fault{}
	})
	h, err := host.Open(ctx, cfg, host.Offline(), host.WithStore(gated), host.WithModuleCache(cache))
	if err != nil {
		return err
	}
	m, err := h.Snapshot(ctx, host.SnapshotOptions{})
	if err != nil {
		return errors.Join(err, h.Close())
	}
	fmt.Println(m.ID)
	return h.Close()
}

// sleeper is a process that takes a snapshot and is suspended.
type sleeper struct {
	cmd    *exec.Cmd
	input  io.Writer
	errs   bytes.Buffer
	before string // the object that it was about to create
}

// suspend starts a process and stops it, by SIGSTOP, at a moment.
func suspend(t *testing.T, cfg *config.Config, where site, moment string) *sleeper {
	t.Helper()
	s := &sleeper{cmd: exec.Command(os.Args[0])}
	s.cmd.Env = append(os.Environ(), envVictim+"="+strings.Join([]string{cfg.Path, dbtest.Cache(), "suspendable", where.endpoint, where.name, moment}, " "))
	s.cmd.Stderr = &s.errs
	input, err := s.cmd.StdinPipe()
	require.NoError(t, err)
	s.input = input
	output, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() { _ = s.cmd.Process.Kill() }) // it has ended, unless the test failed
	line, err := bufio.NewReader(output).ReadString('\n')
	require.NoError(t, err)
	s.before = strings.TrimSpace(line)
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGSTOP))
	require.Eventually(t, s.sleeps, 10*time.Second, time.Millisecond)
	return s
}

// sleeps tells whether the kernel has stopped the process.
func (s *sleeper) sleeps() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && strings.HasPrefix(state, "T")
}

// resume lets the process go on to its end, and returns its exit status.
func (s *sleeper) resume(t *testing.T) int {
	t.Helper()
	require.True(t, s.sleeps())
	_, err := s.input.Write([]byte("\n"))
	require.NoError(t, err)
	require.NoError(t, s.cmd.Process.Signal(syscall.SIGCONT))
	defer time.AfterFunc(time.Minute, func() { _ = s.cmd.Process.Kill() }).Stop()
	_ = s.cmd.Wait() // the status says it
	return s.cmd.ProcessState.ExitCode()
}

// TestSuspended has a writer sleep while another one takes over. When it wakes up
// it is fenced: it commits nothing, deletes nothing, and says who came after it.
func TestSuspended(t *testing.T) {
	unraced(t)
	server := storetest.Versity(t)
	server.Env(t)
	sites := map[string]func(testing.TB) site{
		"directory": func(t testing.TB) site { return site{local, filepath.Join(t.TempDir(), "repo")} },
		"versitygw": func(t testing.TB) site { s := server.NewBucket(t); return site{s.Endpoint, s.Bucket} },
	}
	for name, where := range sites {
		for moment := range moments {
			t.Run(name+", "+moment, func(t *testing.T) { takeOver(t, where(t), moment, false) })
			t.Run(name+", "+moment+", prune", func(t *testing.T) { takeOver(t, where(t), moment, true) })
		}
	}
}

// takeOver suspends A at a moment. B, on a copy of the database, takes snapshots
// under the same name and, if it is to prune, frees the slot that A would take.
func takeOver(t *testing.T, where site, moment string, prune bool) {
	w := newPair(t, where)
	kept := map[string]string{}
	if !prune {
		kept[w.take(t).ID] = w.digest
	}
	a := suspend(t, w.cfg, where, moment)
	slot := w.lastSlot(t) + 1
	first := w.take(t)
	second := w.take(t)
	kept[first.ID], kept[second.ID] = w.digest, w.digest
	require.Equal(t, slot, first.Epoch)
	by := first.Epoch // the first newer one that is there
	if prune {
		w.remove(t, first.ID)
		delete(kept, first.ID)
		by = second.Epoch
		require.NotContains(t, names(t, w.store, "db/db/entries/"), fmt.Sprintf("db/db/entries/%020d", slot), "the slot that A wants is free again")
	}
	before := names(t, w.store, "")
	status := a.resume(t)

	assert.Equal(t, host.CodeFenced.ExitStatus(), status)
	assert.Equal(t, 11, status)
	assert.Contains(t, a.errs.String(), fmt.Sprintf("fenced: epoch %d of process %d", slot-1, a.cmd.Process.Pid))
	assert.Contains(t, a.errs.String(), fmt.Sprintf("replaced by epoch %d of process %d", by, os.Getpid()))
	assert.Subset(t, names(t, w.store, ""), before, "a stale writer deletes nothing")
	assert.Contains(t, names(t, w.store, ""), a.before, "it did go on")
	w.requireKept(t, kept)
	kept[w.take(t).ID] = w.digest
	w.remove(t)
	w.requireKept(t, kept)
	assert.ElementsMatch(t, referenced(t, w.repository(t)), names(t, w.store, "objects/"))
}

// pair is a database with a copy that goes on elsewhere under the same name.
type pair struct {
	cfg    *config.Config // of the one
	other  *config.Config // of the copy
	store  blob.Store
	digest string // content of the copy
}

func newPair(t *testing.T, where site) *pair {
	t.Helper()
	path := shapes[0].make(t)
	copied := filepath.Join(t.TempDir(), "db")
	require.NoError(t, os.CopyFS(copied, os.DirFS(path)))
	dbtest.Fill(t, copied, "users", 99, 50)
	w := &pair{cfg: dbtest.Config(t, path, "[repository.transfer]", "workers = 1", "[retention]", `grace = "0s"`), digest: dbtest.Digest(t, copied)}
	w.other = at(w.cfg, copied)
	var err error
	w.store, err = where.open(t.Context())
	require.NoError(t, err)
	_, err = catalog.Init(t.Context(), w.store, catalog.Format{})
	require.NoError(t, err)
	return w
}

// take takes a snapshot of the copy.
func (w *pair) take(t *testing.T) *host.Manifest {
	t.Helper()
	h := open(t, w.other, append(native, host.Offline(), host.WithStore(w.store))...)
	m, err := h.Snapshot(t.Context(), host.SnapshotOptions{})
	require.NoError(t, err)
	require.NoError(t, h.Close())
	return m
}

func (w *pair) repository(t *testing.T) *host.Repository {
	t.Helper()
	r, err := host.OpenRepository(t.Context(), w.other, host.WithStore(w.store))
	require.NoError(t, err)
	return r
}

// remove prunes snapshots by name, and whatever can go.
func (w *pair) remove(t *testing.T, ids ...string) {
	t.Helper()
	_, err := w.repository(t).Prune(t.Context(), host.PruneOptions{Remove: ids, Sweep: true})
	require.NoError(t, err)
}

// lastSlot returns the newest slot of the catalog.
func (w *pair) lastSlot(t *testing.T) (slot uint64) {
	t.Helper()
	entries := names(t, w.store, "db/db/entries/")
	_, err := fmt.Sscanf(filepath.Base(entries[len(entries)-1]), "%d", &slot)
	require.NoError(t, err)
	return slot
}

// requireKept demands that the given snapshots are there, whole, and no others.
func (w *pair) requireKept(t *testing.T, kept map[string]string) {
	t.Helper()
	r := w.repository(t)
	list, err := r.List(t.Context())
	require.NoError(t, err)
	require.Len(t, list, len(kept))
	for id, digest := range kept {
		restored, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{id}, Target: filepath.Join(t.TempDir(), "restored")})
		require.NoError(t, err)
		require.Equal(t, digest, dbtest.Digest(t, restored.Target))
	}
	verified, err := r.Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	require.Empty(t, verified.Problems)
}
