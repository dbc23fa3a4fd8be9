package rocks

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// A checkpoint that is only uploaded dies with the machine and is not synced; one
// that is kept is durable, all of it, before it gets its name.
func TestKeepSyncsFirst(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "db"), Creation{})
	put(t, db, "default", record{"k", "v"})
	require.NoError(t, db.Flush())
	put(t, db, "default", record{"k", "in the WAL"})
	var ops []string
	defer durable.Intercept(func(op durable.Op, change func() error) error {
		ops = append(ops, op.Verb+" "+filepath.Base(op.Path))
		return change()
	})()
	c, err := NewCheckpoint(db, FlushNever)
	require.NoError(t, err)
	assert.False(t, slices.ContainsFunc(ops, func(op string) bool { return strings.HasPrefix(op, "sync ") }), "%v", ops)
	ops = nil
	files := names(t, c.Path())
	id := uuid.NewString()
	require.NoError(t, c.Keep(id, []byte("note")))
	named := slices.Index(ops, "rename "+keptPrefix+id)
	require.Positive(t, named)
	for _, name := range append(files, "files", keptNote) {
		at := slices.Index(ops, "sync "+name)
		assert.Equal(t, !strings.HasSuffix(name, ".sst"), at >= 0, name)
		assert.Less(t, at, named, name)
	}
}
