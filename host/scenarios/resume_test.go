package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// lose closes the database and removes it, and nothing beside it.
func (w *world) lose() {
	w.t.Helper()
	w.close()
	require.NoError(w.t, os.RemoveAll(w.cfg.Database.Path))
}

// TestMixedFileSystems is scenario 38: of the files of one restore some come from a
// local checkpoint, which has lost the others, and these from the repository.
func TestMixedFileSystems(t *testing.T) {
	w := newWorld(t, rocks.Creation{}, "[local]", "keep = 1")
	w.write(1)
	w.write(2)
	m := w.take("incremental")
	path := w.cfg.Database.Path
	w.lose()
	lost := 0
	require.NoError(t, filepath.WalkDir(rocks.Staging(path), func(name string, _ os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(name, ".sst") && lost == 0 {
			lost++
			return os.Remove(name)
		}
		return err
	}))
	require.Equal(t, 1, lost)
	restored := w.restoreAs(host.RestoreOptions{Snapshots: []string{m.ID}, Target: path})
	assert.Positive(t, restored.Local)
	assert.Positive(t, restored.Bytes)
	assert.Equal(t, m.BytesFull, restored.Local+restored.Bytes)
	assert.Equal(t, w.content(), contents(t, path))
}

// TestResumeCheckpointManually is scenario 67, ResumeCheckpointManuallyITCase: a run is
// restored, and what the restored run leaves is restored again; by each strategy, with
// and without local recovery.
func TestResumeCheckpointManually(t *testing.T) {
	for _, strategy := range dbtest.Builtin {
		for keep := range 2 {
			t.Run(fmt.Sprint(strategy, " keep ", keep), func(t *testing.T) {
				t.Parallel()
				w := newWorldFor(t, strategy, rocks.Creation{}, "[local]", fmt.Sprint("keep = ", keep))
				want := make(map[string]content)
				path := w.cfg.Database.Path
				for run := range uint64(2) {
					w.write(run)
					m := w.take(strategy)
					want[m.ID] = w.content()
					w.lose()
					restored := w.restoreAs(host.RestoreOptions{Snapshots: []string{m.ID}, Target: path})
					assert.Equal(t, keep == 1 && strategy != "canonical", restored.Local > 0)
					w.moveOn(path)
				}
				w.holds(want)
			})
		}
	}
}
