package host_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// envVictim makes the test binary a process that is going to be killed. Its words
// are the configuration, the module cache and what to do.
const envVictim = "ROCKSNAP_TEST_VICTIM"

func TestMain(m *testing.M) {
	host.RunChild()
	if job := strings.Fields(os.Getenv(envVictim)); len(job) > 2 {
		if err := victim(job); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(host.CodeOf(err).ExitStatus())
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func victim(job []string) error {
	cfg, err := config.Load(job[0])
	if err != nil {
		return err
	}
	switch ctx := context.Background(); job[2] {
	case "restore":
		r, err := host.OpenRepository(ctx, cfg)
		if err != nil {
			return err
		}
		fmt.Println("ready")
		_, err = r.Restore(ctx, host.RestoreOptions{Snapshots: []string{job[3]}, Target: job[4]})
		return err
	case "peak":
		return peakOfRecords(ctx, cfg, job[1], job[3])
	case "announced-restore":
		return announcedRestore(ctx, cfg, job[3], job[4])
	case "mute":
		count, err := strconv.Atoi(job[3])
		if err != nil {
			return err
		}
		return mutes(ctx, cfg, job[1], count)
	case "suspendable":
		return suspendable(ctx, cfg, job[1], site{job[3], job[4]}, job[5])
	case "group":
		return takePart(ctx, cfg, job[1], job[3], strings.Join(job[4:], ""))
	case "snapshots":
		cfg.Snapshot.Strategy = job[3]
		h, err := host.Open(ctx, cfg, host.WithModuleCache(job[1]))
		if err != nil {
			return err
		}
		fmt.Println("ready")
		return snapshotForEver(ctx, h)
	}
	return errors.New("nothing to do")
}

// announcedRestore prints each object before it is opened, and takes its time.
func announcedRestore(ctx context.Context, cfg *config.Config, id, target string) error {
	objects, err := dir.Open(cfg.Repository.Dir())
	if err != nil {
		return err
	}
	r, err := host.OpenRepository(ctx, cfg, host.WithStore(blob.Faulty(objects, func(c blob.Call) blob.Fault {
		if isObject(c.Verb, c.Name) {
			fmt.Println(c.Name)
			time.Sleep(3 * time.Millisecond)
		}
		return blob.Fault{}
	})))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	_, err = r.Restore(ctx, host.RestoreOptions{Snapshots: []string{id}, Target: target})
	return err
}

// snapshotForEver prints each snapshot that is committed, with the digest of the
// database.
func snapshotForEver(ctx context.Context, h *host.Host) error {
	content, err := h.Digest(ctx)
	if err != nil {
		return err
	}
	for {
		m, err := h.Snapshot(ctx, host.SnapshotOptions{})
		if err != nil {
			return err
		}
		fmt.Println(m.ID, content.Digest)
	}
}

// kill starts a victim, lets it live for a while once it is ready, and returns
// the whole lines that it printed.
func kill(t *testing.T, cfg *config.Config, life time.Duration, job ...string) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envVictim+"="+strings.Join(append([]string{cfg.Path, dbtest.Cache()}, job...), " "))
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines := bufio.NewScanner(out)
	require.True(t, lines.Scan(), "the victim is not ready")
	timer := time.AfterFunc(life, func() { cmd.Process.Kill() })
	var printed []string
	for lines.Scan() {
		printed = append(printed, lines.Text())
	}
	timer.Stop()
	if err := cmd.Wait(); err != nil {
		require.Contains(t, err.Error(), "killed", errs.String())
	}
	return printed
}

// TestKilledRestore kills restores at random moments.
func TestKilledRestore(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	r := repository(t, cfg)
	var ids []string
	for _, m := range snapshots(t, cfg, dbtest.Builtin...) {
		ids = append(ids, m.ID)
	}
	folder := t.TempDir()
	absent := 0
	for round := range 12 {
		target := filepath.Join(folder, fmt.Sprint(round))
		id := ids[round%3]
		begin := time.Now()
		restore(t, cfg, id)
		life := time.Duration(rand.Int64N(int64(time.Since(begin))))
		kill(t, cfg, life, "restore", id, target)
		if _, err := os.Stat(target); err != nil {
			absent++
			_, err := r.Restore(t.Context(), host.RestoreOptions{Snapshots: []string{ids[(round+1)%3]}, Target: target}) // of another snapshot
			require.NoError(t, err)
		}
		assert.Equal(t, want, dbtest.Digest(t, target))
	}
	assert.NotZero(t, absent)
	entries, err := os.ReadDir(folder)
	require.NoError(t, err)
	assert.Len(t, entries, 12, "what killed restores left is swept by the next")
}

// TestKilledRestoreGoesOn kills restores of one snapshot into one target until one
// gets to the end. None opens an object whose file was finished before.
func TestKilledRestoreGoesOn(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	want := dbtest.Digest(t, path)
	cfg := dbtest.Config(t, path)
	taken := snapshots(t, cfg, "native-full", "canonical")
	whole := make([]time.Duration, len(taken))
	for i, m := range taken {
		begin := time.Now()
		restore(t, cfg, m.ID)
		whole[i] = time.Since(begin) + time.Duration(m.Files)*3*time.Millisecond
	}
	resumed := 0
	for round := range 8 {
		m, life := taken[round%2], whole[round%2]
		target := filepath.Join(t.TempDir(), "target")
		for rounds := 0; ; rounds++ {
			require.Less(t, rounds, 100)
			done := make(map[string]bool)
			if left := leftovers(t, target); len(left) > 0 {
				done = journaled(t, left[0])
			}
			if _, err := os.Stat(target); err == nil {
				break
			}
			finished := objectsOf(m, func(f *host.File) bool { return done[f.Name] })
			resumed += len(finished)
			life += whole[round%2] / 20 // the machine may have become slower
			for _, opened := range kill(t, cfg, rand.N(life), "announced-restore", m.ID, target) {
				assert.NotContains(t, finished, opened)
			}
		}
		assert.Equal(t, want, dbtest.Digest(t, target))
		requireAlone(t, filepath.Dir(target), "target")
	}
	assert.NotZero(t, resumed)
}

// TestRestoreRace has restores compete for one target.
func TestRestoreRace(t *testing.T) {
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	m := snapshot(t, cfg, "native-full")
	folder := t.TempDir()
	target := filepath.Join(folder, "target")
	r := repository(t, cfg)
	outcomes := make(chan error, 4)
	for range cap(outcomes) {
		go func() {
			_, err := r.Restore(context.Background(), host.RestoreOptions{Snapshots: []string{m.ID}, Target: target})
			outcomes <- err
		}()
	}
	won := 0
	for range cap(outcomes) {
		if <-outcomes == nil {
			won++
		}
	}
	assert.Equal(t, 1, won)
	assert.Equal(t, dbtest.Digest(t, path), dbtest.Digest(t, target))
	requireAlone(t, folder, "target")
}

// TestKilledSnapshots kills a process that takes snapshots, writes a little, and
// goes on.
func TestKilledSnapshots(t *testing.T) {
	unraced(t)
	path := shapes[0].make(t)
	cfg := dbtest.Config(t, path)
	promised := make(map[string]string)
	for round := range 10 {
		life := time.Duration(rand.Int64N(int64(200 * time.Millisecond)))
		want := dbtest.Digest(t, path)
		for _, line := range kill(t, cfg, life, "snapshots", dbtest.Builtin[round%3]) {
			id, digest, _ := strings.Cut(line, " ")
			assert.Equal(t, want, digest)
			promised[id] = digest
		}
		for _, id := range listed(t, cfg) { // committed, but killed before it could say so
			if promised[id] == "" {
				promised[id] = want
			}
		}
		dbtest.Fill(t, path, "orders", uint64(round), 20)
		stale := filepath.Join(rocks.Staging(path), rocks.CheckpointName())
		require.NoError(t, os.MkdirAll(stale, 0o755))
		m := snapshot(t, cfg, dbtest.Builtin[(round+1)%3])
		promised[m.ID] = dbtest.Digest(t, path)
		requireClean(t, path)
	}
	ids := listed(t, cfg)
	assert.Len(t, ids, len(promised))
	for i, id := range ids {
		if i%8 == 0 || i > len(ids)-4 {
			assert.Equal(t, promised[id], dbtest.Digest(t, restore(t, cfg, id)))
		}
	}
	verified, err := repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
	require.NoError(t, err)
	assert.Empty(t, verified.Problems)
}
