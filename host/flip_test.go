package host_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/config"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// everything makes a repository with every sort of file that one can hold: a
// snapshot by each strategy, epochs, a removal, a pin, and the intent and the note
// of a session that was killed.
func everything(t *testing.T) (*config.Config, []*host.Manifest) {
	t.Helper()
	cfg := dbtest.Config(t, shapes[2].make(t))
	cfg.Retention.Grace = 0
	list := snapshots(t, cfg, append([]string{"native-full"}, dbtest.Builtin...)...)
	r := repository(t, cfg)
	_, err := r.Prune(t.Context(), host.PruneOptions{Remove: []string{list[0].ID}})
	require.NoError(t, err)
	_, err = r.Pin(t.Context(), list[1].ID, "before the audit")
	require.NoError(t, err)
	announce(t, cfg)
	return cfg, list[1:]
}

// flipper damages the files of a repository, one at a time, and looks whether the
// level that promises it finds it.
type flipper struct {
	cfg  *config.Config
	list []*host.Manifest
	r    *host.Repository
}

// names says for which snapshots a file is read at which level. No snapshots stand
// for the whole catalog.
func (f *flipper) names(file string) (host.Level, []string) {
	switch {
	case file == "format.json", strings.HasPrefix(file, "db/"):
		return host.LevelCatalog, nil
	case strings.HasPrefix(file, "modules/"):
		i := slices.IndexFunc(f.list, func(m *host.Manifest) bool { return strings.Contains(file, m.Strategy.Module) })
		return host.LevelData, []string{f.list[i].ID}
	}
	i := slices.IndexFunc(f.list, func(m *host.Manifest) bool {
		return slices.ContainsFunc(m.Contents, func(c host.File) bool { return c.Object == file })
	})
	return host.LevelData, []string{f.list[i].ID}
}

// isFound demands that a damaged file is found at a level.
func (f *flipper) isFound(t *testing.T, file string, level host.Level, damage string) {
	_, named := f.names(file)
	v, err := f.r.Verify(t.Context(), host.VerifyOptions{Level: level, Snapshots: named})
	require.NoError(t, err, "%s: %s", file, damage)
	require.True(t, slices.ContainsFunc(v.Problems, func(p host.Finding) bool { return p.Object == file }),
		"%s: %s at level %s: found %v", file, damage, level, v.Problems)
}

// positions lists which bytes of a file are flipped: every byte of a small one that
// is cheap to verify.
func positions(random *rand.Rand, size, all int) []int {
	var list []int
	if size <= all {
		for i := range size {
			list = append(list, i)
		}
		return list
	}
	list = []int{0, size - 1}
	for range 40 {
		list = append(list, random.IntN(size))
	}
	return list
}

// TestFlipAnyByte flips bytes of every file, and makes it shorter, longer and
// absent.
func TestFlipAnyByte(t *testing.T) {
	cfg, list := everything(t)
	f := &flipper{cfg, list, repository(t, cfg)}
	require.Empty(t, verify(t, f.r, host.VerifyOptions{Level: host.LevelRestore}).Problems)
	random := rand.New(rand.NewPCG(1, 2))
	sorts := make(map[string]int)
	for _, file := range files(t, cfg) {
		folder, _, _ := strings.Cut(strings.TrimPrefix(file, "db/"+cfg.Repository.Name+"/"), "/")
		sorts[folder]++
		path := filepath.Join(cfg.Repository.Dir(), filepath.FromSlash(file))
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.Chmod(path, 0o600))
		level, _ := f.names(file)
		for _, at := range positions(random, len(text), 4<<10) {
			bit := byte(1) << random.IntN(8)
			text[at] ^= bit
			require.NoError(t, os.WriteFile(path, text, 0o600))
			f.isFound(t, file, level, fmt.Sprintf("bit %#x of byte %d", bit, at))
			text[at] ^= bit
		}
		f.resize(t, file, path, text)
	}
	assert.Empty(t, verify(t, f.r, host.VerifyOptions{Level: host.LevelRestore}).Problems, "all is as it was")
	for _, sort := range []string{"format.json", "entries", "intents", "notes", "pins", "objects", "modules"} {
		assert.NotZero(t, sorts[sort], sort)
	}
	assert.Len(t, sorts, 7, "no sort of file was forgotten: %v", sorts)
}

// resize changes the size of a file, and removes it. For data the store's word is
// enough to find that; a module has no size on record.
func (f *flipper) resize(t *testing.T, file, path string, text []byte) {
	gone, _ := f.names(file)
	resized := gone
	if gone == host.LevelData {
		gone = host.LevelObjects
	}
	if strings.HasPrefix(file, "objects/") {
		resized = gone
	}
	require.NoError(t, os.WriteFile(path, text[:len(text)-1], 0o600))
	f.isFound(t, file, resized, "one byte less")
	require.NoError(t, os.WriteFile(path, append(slices.Clone(text), 0), 0o600))
	f.isFound(t, file, resized, "one byte more")
	require.NoError(t, os.Remove(path))
	if f.isMissed(file) {
		f.isFound(t, file, gone, "removed")
	}
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

// isMissed says whether anything but the file itself says that it was there. An
// intent, a note and a pin are removed every day; of the history, the end is known
// to those who have seen it, as TestVerifySeen shows.
func (f *flipper) isMissed(file string) bool {
	for _, passing := range []string{"/intents/", "/notes/", "/pins/"} {
		if strings.Contains(file, passing) {
			return false
		}
	}
	folder := filepath.Dir(filepath.Join(f.cfg.Repository.Dir(), filepath.FromSlash(file)))
	later, err := filepath.Glob(filepath.Join(folder, "*"))
	return err != nil || !strings.Contains(file, "/entries/") || slices.ContainsFunc(later, func(p string) bool {
		return filepath.Base(p) > filepath.Base(file)
	})
}
