package strategy

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// reload loads a module and runs it, and returns what was said about the cache.
func reload(t *testing.T, dir string, file []byte, limits Limits) string {
	t.Helper()
	var said []string
	m, err := Load(t.Context(), "x", file, Options{CacheDir: dir, Limits: limits, Report: func(err error) { said = append(said, err.Error()) }})
	require.NoError(t, err)
	i, err := m.New(t.Context())
	require.NoError(t, err)
	require.NoError(t, i.Init(t.Context(), &double{}))
	require.NoError(t, m.Close(t.Context()))
	return strings.Join(said, "\n")
}

// entries lists the regular files below a folder.
func entries(t *testing.T, dir string) (list []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			list = append(list, path)
		}
		return err
	}))
	return list
}

func rewrite(change func([]byte) []byte) func(*testing.T, string) {
	return func(t *testing.T, path string) {
		old, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(path, change(slices.Clone(old)), 0o600))
	}
}

// flip changes a single bit, counted from the end when negative.
func flip(at int) func(*testing.T, string) {
	return rewrite(func(b []byte) []byte { b[(at+len(b))%len(b)] ^= 1; return b })
}

// TestDamagedCodeIsMadeAnew damages every kind of byte that an entry has.
func TestDamagedCodeIsMadeAnew(t *testing.T) {
	module := wat{body: returnZero}.assemble()
	other := wat{body: returning(0), pages: 2}.assemble()
	remove := func(t *testing.T, path string) { require.NoError(t, os.Remove(path)) }
	for name, damage := range map[string]struct {
		what string // code, sums or folder
		do   func(*testing.T, string)
	}{
		"code: magic":           {"code", flip(0)},
		"code: version":         {"code", flip(7)},
		"code: offset":          {"code", flip(16)},
		"code: instruction":     {"code", flip(-40)},
		"code: checksum":        {"code", flip(-9)},
		"code: last byte":       {"code", flip(-1)},
		"code: truncated":       {"code", rewrite(func(b []byte) []byte { return b[:len(b)/2] })},
		"code: longer":          {"code", rewrite(func(b []byte) []byte { return append(b, 0) })},
		"code: empty":           {"code", rewrite(func([]byte) []byte { return nil })},
		"code: missing":         {"code", remove},
		"code: open to a group": {"code", func(t *testing.T, path string) { require.NoError(t, os.Chmod(path, 0o660)) }},
		"code: a link": {"code", func(t *testing.T, path string) {
			kept := filepath.Join(t.TempDir(), "kept")
			require.NoError(t, os.Rename(path, kept))
			require.NoError(t, os.Symlink(kept, path))
		}},
		"rewritten: a bit":   {"rewritten", flip(100)},
		"rewritten: missing": {"rewritten", remove},
		"sums: title":        {"sums", flip(0)},
		"sums: key":          {"sums", flip(len(sumsTitle) + 3)},
		"sums: digest":       {"sums", flip(len(sumsTitle) + 64 + 5)},
		"sums: name":         {"sums", flip(-5)},
		"sums: truncated":    {"sums", rewrite(func(b []byte) []byte { return b[:len(b)-1] })},
		"sums: empty":        {"sums", rewrite(func([]byte) []byte { return nil })},
		"sums: missing":      {"sums", remove},
		"a further file": {"folder", func(t *testing.T, path string) {
			require.NoError(t, os.WriteFile(filepath.Join(path, "more"), nil, 0o600))
		}},
		"code of another module": {"folder", func(t *testing.T, path string) {
			reload(t, filepath.Dir(path), other, Limits{})
			require.NoError(t, os.RemoveAll(path))
			require.NoError(t, os.Rename(filepath.Join(filepath.Dir(path), keyOf(other)), path))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "cache")
			assert.Empty(t, reload(t, dir, module, Limits{}))
			files := entries(t, dir)
			require.Len(t, files, 3)
			folder := filepath.Join(dir, keyOf(module))
			paths := map[string]string{"sums": filepath.Join(folder, sumsName), "folder": folder, "rewritten": filepath.Join(folder, codeName)}
			paths["code"] = files[slices.IndexFunc(files, func(f string) bool { return f != paths["sums"] && f != paths["rewritten"] })]
			sound, err := os.ReadFile(paths["code"])
			require.NoError(t, err)

			damage.do(t, paths[damage.what])
			assert.Contains(t, reload(t, dir, module, Limits{}), "compiling anew")
			again, err := os.ReadFile(paths["code"])
			require.NoError(t, err)
			assert.True(t, bytes.Equal(sound, again))
			assert.NoError(t, verify(folder, filepath.Base(folder)))
			assert.Empty(t, reload(t, dir, module, Limits{}), "and all is well")
		})
	}
}

// TestKnownCodeIsNotCompiled leaves a compiler no time at all.
func TestKnownCodeIsNotCompiled(t *testing.T) {
	dir, module := t.TempDir(), wat{body: returnZero}.assemble()
	reload(t, dir, module, Limits{})
	reload(t, dir, module, Limits{Compile: 1})
	_, err := Load(t.Context(), "x", module, Options{CacheDir: t.TempDir(), Limits: Limits{Compile: 1}})
	assert.ErrorContains(t, err, "compiling took longer than 1ns")
}

func TestCacheThatCannotBeUsed(t *testing.T) {
	module := wat{body: returnZero}.assemble()
	for name, tt := range map[string]struct {
		make func(t *testing.T) string
		want string
	}{
		"writable by others": {func(t *testing.T) string {
			dir := t.TempDir()
			require.NoError(t, os.Chmod(dir, 0o770))
			return dir
		}, "is writable by others"},
		"anybody may put another in its place": {func(t *testing.T) string {
			above := filepath.Join(t.TempDir(), "above")
			require.NoError(t, os.MkdirAll(filepath.Join(above, "cache"), 0o700))
			require.NoError(t, os.Chmod(above, 0o777))
			return filepath.Join(above, "cache")
		}, "is writable by everybody"},
		"not a directory": {func(t *testing.T) string {
			file := filepath.Join(t.TempDir(), "file")
			require.NoError(t, os.WriteFile(file, nil, 0o600))
			return file
		}, "not a directory"},
		"somebody else's": {func(t *testing.T) string {
			dir := t.TempDir()
			if os.Chown(dir, 12345, -1) != nil {
				t.Skip("takes root")
			}
			return dir
		}, "belongs to somebody else"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tt.make(t)
			assert.Contains(t, reload(t, dir, module, Limits{}), tt.want)
			if info, err := os.Stat(dir); err == nil && info.IsDir() {
				assert.Empty(t, entries(t, dir))
			}
		})
	}
	assert.Empty(t, reload(t, "", module, Limits{}), "a host without a cache need not hear of it")
}

func TestOneEntryForManyAtOnce(t *testing.T) {
	dir, module := filepath.Join(t.TempDir(), "cache"), wat{body: returnZero}.assemble()
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() { assert.Empty(t, reload(t, dir, module, Limits{})) })
	}
	group.Wait()
	names, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, names, 1)
	assert.Equal(t, keyOf(module), names[0].Name())
	info, err := os.Stat(dir)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
}

func TestLeastRecentlyUsedGoes(t *testing.T) {
	c := &cache{dir: t.TempDir(), capacity: 2500}
	add := func(key string) {
		folder, err := c.fresh()
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(folder, "code"), make([]byte, 800), 0o600))
		_, err = c.keep(folder, key)
		require.NoError(t, err)
	}
	key := func(digit string) string { return strings.Repeat(digit, 64) }
	hour := time.Now().Add(-time.Hour)
	for _, digit := range []string{"a", "b"} {
		add(key(digit))
		require.NoError(t, os.Chtimes(filepath.Join(c.dir, key(digit), sumsName), hour, hour))
	}
	_, err := c.find(key("a"))
	require.NoError(t, err)
	add(key("c"))
	_, err = c.find(key("b"))
	assert.ErrorIs(t, err, fs.ErrNotExist, "it was not used for longest")
	for _, digit := range []string{"a", "c"} {
		_, err = c.find(key(digit))
		assert.NoError(t, err)
	}
}

func TestHalfFilledFoldersAreSweptAway(t *testing.T) {
	c := &cache{dir: t.TempDir(), capacity: 1}
	left, err := c.fresh()
	require.NoError(t, err)
	running, err := c.fresh()
	require.NoError(t, err)
	old := time.Now().Add(-2 * freshFor)
	require.NoError(t, os.Chtimes(left, old, old))
	_, err = c.fresh()
	require.NoError(t, err)
	assert.NoDirExists(t, left)
	assert.DirExists(t, running)
}
