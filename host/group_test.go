package host_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/blob"
	"github.com/rocksnap/rocksnap/host/blob/dir"
	"github.com/rocksnap/rocksnap/host/blob/s3"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
	"github.com/rocksnap/rocksnap/host/internal/storetest"
)

// newGroup makes three databases that are a group, and the files of their
// configurations, by which other processes find them.
func newGroup(t *testing.T, place ...func(*testing.T, *config.Config)) *fleet {
	t.Helper()
	const workers, count = 3, 128
	f := newFleet(t, workers, count, rocks.Creation{Families: []string{"orders"}}, func(db *rocks.DB, worker uint32, groups keygroup.Range) {
		writeGroups(t, db, "orders", uint64(worker), 300, groups, count)
		require.NoError(t, db.Flush())
	})
	for _, p := range place {
		p(t, f.workers[0])
	}
	if len(place) > 0 {
		_, err := host.Init(t.Context(), f.workers[0], host.InitOptions{SkipProbe: true})
		require.NoError(t, err)
	}
	for _, cfg := range f.workers {
		cfg.Repository.URL, cfg.Repository.Endpoint, cfg.Repository.PathStyle = f.workers[0].Repository.URL, f.workers[0].Repository.Endpoint, f.workers[0].Repository.PathStyle
		cfg.Path = written(t, cfg, "1m")
		loaded, err := config.Load(cfg.Path)
		require.NoError(t, err)
		*cfg = *loaded
	}
	return f
}

// written writes the file of a member's configuration.
func written(t *testing.T, cfg *config.Config, timeout string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "rocksnap.toml")
	text := fmt.Sprintf("version = 1\n[database]\npath = %q\n[repository]\nurl = %q\nname = %q\n", cfg.Database.Path, cfg.Repository.URL, cfg.Repository.Name)
	if r := cfg.Repository; r.Endpoint != "" {
		text += fmt.Sprintf("endpoint = %q\npath_style = true\n", r.Endpoint)
	}
	text += "[group]\nname = \"workers\"\nmembers = [\"worker-0-of-3\", \"worker-1-of-3\", \"worker-2-of-3\"]\n"
	text += fmt.Sprintf("timeout = %q\n[keygroups]\ncount = %d\nrange = %q\n", timeout, cfg.KeyGroups.Count, cfg.KeyGroups.Range)
	text += "[retention]\nkeep_last = 1\ngrace = \"0s\"\n[snapshot]\nstrategy = \"incremental\"\n[strategies.incremental]\n"
	text += fmt.Sprintf("module = %q\nallow_unpinned = true\nallow = [\"checkpoint\", \"upload\", \"reuse\", \"state\"]\n", dbtest.Module(t, "incremental"))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

// takePart takes a snapshot as part of a group in a process of its own.
func takePart(ctx context.Context, cfg *config.Config, cache, id, fault string) error {
	options := []host.Option{host.Offline(), host.WithModuleCache(cache)}
	if fault != "" {
		store, err := storeOf(ctx, cfg)
		if err != nil {
			return err
		}
		options = append(options, host.WithStore(blob.Faulty(store, func(c blob.Call) blob.Fault {
			if c.Verb == blob.VerbCreate && strings.Contains(c.Name, fault) {
				p, _ := os.FindProcess(os.Getpid())
				_ = p.Kill()
				select {}
			}
			return blob.Fault{}
		})))
	}
	h, err := host.Open(ctx, cfg, options...)
	if err != nil {
		return err
	}
	defer h.Close()
	m, err := h.Snapshot(ctx, host.SnapshotOptions{Group: id})
	if err != nil {
		return err
	}
	fmt.Println(m.ID)
	return nil
}

func storeOf(ctx context.Context, cfg *config.Config) (blob.Store, error) {
	bucket, prefix, ok := cfg.Repository.S3()
	if !ok {
		return dir.Open(cfg.Repository.Dir())
	}
	return s3.Open(ctx, s3.Options{
		Bucket: bucket, Prefix: prefix, Endpoint: cfg.Repository.Endpoint, PathStyle: true, Requests: 4, Memory: 64 << 20,
	})
}

// memberProcess is a process that takes part in a group.
type memberProcess struct {
	*exec.Cmd
	out, errs bytes.Buffer
}

// taking starts a process that takes part in a group, and kills itself when it is
// about to create an object whose name contains fault, unless that is "".
func taking(t *testing.T, cfg *config.Config, id, fault string) *memberProcess {
	t.Helper()
	m := &memberProcess{Cmd: exec.Command(os.Args[0])}
	m.Env = append(os.Environ(), envVictim+"="+strings.Join([]string{cfg.Path, dbtest.Cache(), "group", id, fault}, " "))
	m.Stdout, m.Stderr = &m.out, &m.errs
	require.NoError(t, m.Start())
	return m
}

// requireTaken demands that a process has taken a snapshot, and returns its id.
func (m *memberProcess) requireTaken(t *testing.T) string {
	t.Helper()
	require.NoError(t, m.Wait(), m.errs.String())
	return strings.TrimSpace(m.out.String())
}

// TestGroup has three hosts, each a process, take group snapshots on a directory
// and on a real S3 server: one that all come to, one in which a member is killed
// with its snapshot stored and not posted, one that it joins again after it was
// killed, and one that it never comes to.
func TestGroup(t *testing.T) {
	unraced(t)
	server := storetest.Versity(t)
	for name, place := range map[string][]func(*testing.T, *config.Config){
		"directory": nil,
		"s3":        {func(t *testing.T, cfg *config.Config) { onServer(t, cfg, server) }},
	} {
		t.Run(name, func(t *testing.T) { groupLife(t, newGroup(t, place...)) })
	}
}

func groupLife(t *testing.T, f *fleet) {
	r := repository(t, f.workers[0])
	first := f.together(t, "first")
	whole := f.sums(t)
	f.requireListed(t, first)

	for i, cfg := range f.workers { // so that there is something new, and something to reuse
		dbtest.Edit(t, cfg.Database.Path, rocks.Creation{}, func(db *rocks.DB) {
			writeGroups(t, db, "orders", uint64(10+i), 30, keygroup.Range(cfg.KeyGroups.Range), f.count)
		})
	}
	f.killed(t, "killed")
	f.requireListed(t, first)
	g, err := r.FindGroup(t.Context(), "killed")
	require.NoError(t, err)
	assert.Equal(t, host.GroupAborted, g.State)
	assert.Contains(t, g.Missing, "worker-1-of-3")
	_, err = r.Restore(t.Context(), host.RestoreOptions{Group: "killed", Target: filepath.Join(t.TempDir(), "db")})
	assert.ErrorContains(t, err, "worker-1-of-3")
	f.requireRestored(t, host.RestoreOptions{Group: "latest"}, whole)

	second := f.rejoined(t, "second")
	f.requireListed(t, first, second)
	f.requireRestored(t, host.RestoreOptions{Group: "second"}, f.sums(t))
	f.requireRestored(t, host.RestoreOptions{Group: "first"}, whole)
	for i, cfg := range f.workers {
		m, err := repository(t, cfg).Find(t.Context(), second[i])
		require.NoError(t, err)
		assert.Equal(t, first[i], m.Base, "only what is committed is a base")
		assert.NotZero(t, m.BytesReused)
	}
	f.requirePruned(t, second)
}

// together takes a group snapshot to which all come, and returns the ids.
func (f *fleet) together(t *testing.T, id string) []string {
	t.Helper()
	var members []*memberProcess
	for _, cfg := range f.workers {
		members = append(members, taking(t, cfg, id, ""))
	}
	var ids []string
	for _, m := range members {
		ids = append(ids, m.requireTaken(t))
	}
	return ids
}

// killed takes a group snapshot in which one member is killed before it has posted.
func (f *fleet) killed(t *testing.T, id string) {
	t.Helper()
	impatient := make([]*config.Config, len(f.workers))
	for i, cfg := range f.workers {
		impatient[i] = &config.Config{Path: written(t, cfg, "2s")}
	}
	members := []*memberProcess{taking(t, impatient[0], id, ""), taking(t, impatient[2], id, "")}
	require.ErrorContains(t, taking(t, impatient[1], id, "/members/").Wait(), "killed")
	for _, m := range members {
		require.Error(t, m.Wait())
		assert.Equal(t, host.CodeFailed.ExitStatus(), m.ProcessState.ExitCode())
		assert.Contains(t, m.errs.String(), "worker-1-of-3")
	}
	late := taking(t, impatient[1], id, "")
	require.Error(t, late.Wait())
	assert.Contains(t, late.errs.String(), "aborted")
}

// rejoined takes a group snapshot in which one member is killed after it has posted,
// and comes again, before the last has come.
func (f *fleet) rejoined(t *testing.T, id string) []string {
	t.Helper()
	one, two := taking(t, f.workers[0], id, ""), taking(t, f.workers[1], id, "")
	posted := func() bool {
		g, err := repository(t, f.workers[0]).FindGroup(t.Context(), id)
		return err == nil && slices.Equal(g.Missing, []string{"worker-2-of-3"})
	}
	require.Eventually(t, posted, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, two.Process.Kill())
	require.Error(t, two.Wait())
	again, three := taking(t, f.workers[1], id, ""), taking(t, f.workers[2], id, "")
	ids := []string{one.requireTaken(t), "", three.requireTaken(t)}
	if again.Wait() == nil {
		ids[1] = strings.TrimSpace(again.out.String())
		return ids
	}
	_, id, told := strings.Cut(again.errs.String(), "committed before") // it came when all was over
	require.True(t, told, again.errs.String())
	_, id, _ = strings.Cut(id, "with snapshot ")
	ids[1], _, _ = strings.Cut(strings.TrimSpace(id), "\n")
	return ids
}

// requireListed demands that each member lists its snapshots of the given groups and
// nothing else, and that nothing is wrong with the repository.
func (f *fleet) requireListed(t *testing.T, groups ...[]string) {
	t.Helper()
	for i, cfg := range f.workers {
		var want []string
		for _, ids := range groups {
			want = append(want, ids[i])
		}
		require.Equal(t, want, listed(t, cfg))
		verified, err := repository(t, cfg).Verify(t.Context(), host.VerifyOptions{Level: host.LevelData})
		require.NoError(t, err)
		require.Empty(t, verified.Problems)
		require.Equal(t, len(want), verified.Snapshots)
	}
}

// requireRestored demands that two workers together get the content of a group.
func (f *fleet) requireRestored(t *testing.T, o host.RestoreOptions, want map[string]canonical.Sum) {
	t.Helper()
	to, _ := f.rescale(t, nil, 2, o)
	require.Equal(t, want, to.sums(t))
}

// requirePruned demands that each member's prune takes the older group and what the
// aborted one has left, and that a group of which one member is gone is none.
func (f *fleet) requirePruned(t *testing.T, ids []string) {
	t.Helper()
	r := repository(t, f.workers[0])
	_, err := r.Prune(t.Context(), host.PruneOptions{})
	require.NoError(t, err)
	_, err = r.Restore(t.Context(), host.RestoreOptions{Group: "first", Target: filepath.Join(t.TempDir(), "db")})
	require.ErrorContains(t, err, "the snapshot of worker-0-of-3 was removed")
	for range 2 {
		for _, cfg := range f.workers {
			_, err := repository(t, cfg).Prune(t.Context(), host.PruneOptions{})
			require.NoError(t, err)
		}
	}
	f.requireListed(t, ids)
	requireSound(t, f.workers[0])
	list, err := r.Groups(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.True(t, list[0].Whole())
	require.Equal(t, "second", list[0].ID)
}
