package rocks

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// FlushFor flushes where a checkpoint would, and nowhere else.
func TestFlushFor(t *testing.T) {
	tests := []struct {
		flush    Flush
		borrowed bool
		bytes    uint64
		flushes  bool
	}{
		{FlushNever, false, autoFlushBytes, false},
		{FlushNever, true, autoFlushBytes, false},
		{FlushAuto, false, autoFlushBytes - 1, false},
		{FlushAuto, false, autoFlushBytes, true},
		{FlushAuto, true, 0, true},
		{FlushAlways, false, 0, true},
	}
	for _, test := range tests {
		db := open(t, filepath.Join(t.TempDir(), "db"), Creation{})
		put(t, db, "default", record{"k", "v"})
		db.borrowed = test.borrowed
		flushed, err := FlushFor(db, test.flush, test.bytes)
		db.borrowed = false
		require.NoError(t, err)
		assert.Equal(t, test.flushes, flushed, "%+v", test)
		live, err := db.Live()
		require.NoError(t, err)
		assert.Equal(t, test.flushes, len(live) == 1, "%+v", test)
	}
}
