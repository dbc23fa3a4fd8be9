package config

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The database and the repository must not share a folder, by whatever path.
func TestFoldersApart(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "db"), 0o755))
	require.NoError(t, os.Symlink("db", filepath.Join(dir, "alias")))
	for _, c := range []struct {
		database, repository string
		apart                bool
	}{
		{"db", "repo", true},
		{"db", "db", false},
		{"db", "db/repo", false},
		{"db/x", "db", false},
		{"db", "db2", true},
		{"db", "..db", true},
		{"db/..x", "db", false},
		{"db", ".", false},
		{"db", "x/../db", false},
		{"db", "alias", false},
		{"alias/x", "db", false},
		{"db", "alias/repo/there", false},
	} {
		text := "version = 1\ndatabase.path = \"" + c.database + "\"\nrepository = { url = \"file:" + c.repository + "\", name = \"x\" }\nsnapshot.strategy = \"incremental\"\n"
		_, err := Parse(filepath.Join(dir, "rocksnap.toml"), []byte(text), nil)
		if c.apart {
			assert.NoError(t, err, c)
			continue
		}
		var problems Errors
		require.ErrorAs(t, err, &problems, c)
		require.Len(t, problems, 1, c)
		assert.Equal(t, "[repository] url", problems[0].Key)
		assert.Contains(t, problems[0].Message, "must not contain one another")
		assert.NotEmpty(t, problems[0].Hint)
	}
}

func TestTaken(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "data/db"), 0o755))
	require.NoError(t, os.Symlink("data", filepath.Join(dir, "alias")))
	c, err := Parse(filepath.Join(dir, "rocksnap.toml"), []byte("version = 1\ndatabase.path = \"data/db\"\nrepository.url = \"file:repo\"\nsnapshot.strategy = \"incremental\"\n"), nil)
	require.NoError(t, err)
	for folder, want := range map[string]string{
		"restored":   "",
		"data/other": "",
		"data/db":    "", // where a lost database was
		"alias/db":   "",
		"data/db/x":  "[database] path",
		"alias/db/x": "[database] path",
		"data":       "[database] path",
		"repo":       "[repository] url",
		"repo/x/y":   "[repository] url",
		".":          "[repository] url",
	} {
		key, where := c.Taken(filepath.Join(dir, folder))
		assert.Equal(t, want, key, folder)
		assert.Equal(t, want == "", where == "", folder)
	}
}

func TestWhere(t *testing.T) {
	c, err := Parse("rocksnap.toml", minimal("[strategies.incremental]\nconfig.full_every = 3"), []string{"ROCKSNAP_STRATEGIES_INCREMENTAL_MODULE=x.wasm"})
	require.NoError(t, err)
	assert.Equal(t, "rocksnap.toml:4: [snapshot] strategy", c.Where("snapshot", "strategy"))
	assert.Equal(t, "rocksnap.toml:6: [strategies.incremental] config", c.Where("strategies", "incremental", "config"))
	assert.Equal(t, "environment ROCKSNAP_STRATEGIES_INCREMENTAL_MODULE: [strategies.incremental] module", c.Where("strategies", "incremental", "module"))
	assert.Equal(t, "rocksnap.toml:5: [strategies.incremental] allow", c.Where("strategies", "incremental", "allow"), "a default has the line of its table")
	assert.Equal(t, "[strategies.canonical] module", c.Where("strategies", "canonical", "module"))
}

func TestWhereInTables(t *testing.T) {
	c, err := Parse("rocksnap.toml", minimal("[plugins]\n\n[strategies.incremental]\non_error = \"retry\"\nlimits = { stack = \"1MiB\" }\n"), nil)
	require.NoError(t, err)
	assert.Equal(t, "rocksnap.toml:5: [plugins] memory", c.Where("plugins", "memory"))
	assert.Equal(t, "rocksnap.toml:8: [strategies.incremental] on_error.mode", c.Where("strategies", "incremental", "on_error", "mode"))
	assert.Equal(t, "rocksnap.toml:8: [strategies.incremental] on_error.to", c.Where("strategies", "incremental", "on_error", "to"))
	assert.Equal(t, "rocksnap.toml:9: [strategies.incremental] limits.memory", c.Where("strategies", "incremental", "limits", "memory"))
	assert.Equal(t, "[retention] grace", c.Where("retention", "grace"))
}
