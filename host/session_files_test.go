package host_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host"
	"github.com/rocksnap/rocksnap/host/internal/dbtest"
)

// moved returns the bytes that this process has read from files and written to
// them, by the kernel's account.
func moved(t *testing.T) (read, written int64) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Skipf("the kernel does not count: %v", err)
	}
	_, err = fmt.Sscanf(string(text), "rchar: %d\nwchar: %d\n", &read, &written)
	require.NoError(t, err)
	return read, written
}

// TestReadOnce counts what a snapshot reads and writes: each byte of a file once,
// whatever is computed of it, and little else. What is linked is not written.
func TestReadOnce(t *testing.T) {
	const others = 1 << 20 // MANIFEST, catalog and the like
	path := filled(t, 24<<20)
	cfg := dbtest.Config(t, path)
	h := open(t, cfg, append([]host.Option{host.Offline()}, native...)...)
	for _, o := range []host.SnapshotOptions{{Strategy: "native-full"}, {Strategy: "native-full", Link: true}, {Strategy: "incremental"}, {Strategy: "incremental"}} {
		readBefore, writtenBefore := moved(t)
		m, err := h.Snapshot(t.Context(), o)
		require.NoError(t, err)
		read, written := moved(t)
		read, written = read-readBefore, written-writtenBefore
		toWrite := m.BytesNew
		if o.Link {
			toWrite -= sizeOf(m, func(f *host.File) bool { return f.Linked })
		}
		assert.InDelta(t, m.BytesNew+others/2, read, others/2, "%+v", o)
		assert.InDelta(t, toWrite+others/2, written, others/2, "%+v", o)
	}
}

func sizeOf(m *host.Manifest, which func(*host.File) bool) (bytes int64) {
	for i := range m.Contents {
		if f := &m.Contents[i]; which(f) && f.Kind == abi.KindTable {
			bytes += f.Size
		}
	}
	return bytes
}
