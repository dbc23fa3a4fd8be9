package version_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// FuzzReplay replays whatever it is given. Few mutations get past the
// checksums, so it looks at the framing; FuzzEdit looks behind it.
func FuzzReplay(f *testing.F) {
	for _, l := range lives {
		manifest := realManifest(f, l)
		f.Add(manifest)
		f.Add(manifest[:len(manifest)-3])
		f.Add(manifest[10:])
	}
	f.Add(frame(start, append(table(0, 7), rec(300, 1)...)))
	f.Fuzz(replayAnything)
}

// FuzzEdit replays whatever it is given as one edit with a good checksum.
func FuzzEdit(f *testing.F) {
	f.Add(rec(103, 0, 1<<40))
	f.Add(rec(300, 1<<32-1))
	f.Add(rec(200, 3, 201, "added"))
	f.Add(append(blob(7), table(0, 8, 4, "\x07")...))
	f.Add(append(blob(7), rec(401, 7, 10, 1000, 0)...))
	f.Add(table(6, 9, 7, "sum", 8, "function", 12, "0123456789abcdef"))
	f.Add(rec(6, 0, 5, 8200, "skipped", 5, 1, "cursor"+trailer))
	f.Fuzz(func(t *testing.T, edit []byte) {
		replayAnything(t, frame(start, append(blob(3), table(0, 5, 4, "\x03")...), edit))
	})
}

// replayAnything states what holds for all bytes: an error is one of two, and
// the part of a MANIFEST that is in force stands for itself.
func replayAnything(t *testing.T, manifest []byte) {
	set, err := version.Replay(bytes.NewReader(manifest), "MANIFEST-000001")
	if err != nil {
		assert.True(t, errors.Is(err, version.ErrCorrupt) || errors.Is(err, version.ErrUnsupported), err)
		return
	}
	require.EqualValues(t, len(manifest), set.ManifestBytes+set.Tail)
	again, err := version.Replay(bytes.NewReader(manifest[:set.ManifestBytes]), "MANIFEST-000001")
	require.NoError(t, err)
	set.Tail = 0
	require.Equal(t, set, again)
	rewritten(t, set)
}
