package canonical

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi/keygroup"
)

// TestSelect asks for every range between some keys: the frames that are selected
// hold all records of the range, and none that is not needed is among them.
func TestSelect(t *testing.T) {
	long := strings.Repeat("k", 2000) // the index knows half of it
	for name, keys := range map[string][]string{
		"short": {"a", "b", "ba", "bb", "c", "d", "e"},
		"long":  {long[:1000], long[:1023], long[:1024], long[:1025], long + "a", long + "b", long + "c", "z"},
	} {
		for perFrame := 1; perFrame <= 3; perFrame++ {
			r := newSelectReader(t, keys, perFrame)
			bounds := append([]string{"", "\x00", "zz"}, keys...)
			for _, lower := range bounds {
				for _, upper := range append(bounds, "open") {
					checkSelect(t, r, keys, lower, upper, fmt.Sprintf("%s %d %.8q… to %.8q…", name, perFrame, lower, upper))
				}
			}
		}
	}
}

// newSelectReader writes a file with a frame for every few keys.
func newSelectReader(t *testing.T, keys []string, perFrame int) *Reader {
	var file bytes.Buffer
	w, err := NewWriter(&file, Header{Comparator: BytewiseComparator}, Options{FrameBytes: perFrame*5000 + 2500})
	require.NoError(t, err)
	for _, key := range keys {
		require.NoError(t, w.WriteBlock(AppendRecord(nil, []byte(key), make([]byte, 5000-8-len(key)))))
	}
	_, err = w.Close()
	require.NoError(t, err)
	r, err := NewReader(bytes.NewReader(file.Bytes()), int64(file.Len()))
	require.NoError(t, err)
	require.Len(t, r.Frames(), (len(keys)+perFrame-1)/perFrame)
	return r
}

func checkSelect(t *testing.T, r *Reader, keys []string, lower, upper, what string) {
	var end []byte
	if upper != "open" {
		end = []byte(upper)
	}
	wanted := func(key string) bool { return key >= lower && (end == nil || key < upper) }
	frames := r.Select(keygroup.Range{}, []byte(lower), end)
	offset, length := Extent(frames)
	require.Equal(t, len(frames) == 0, length == 0)
	got := []string{}
	src := io.NewSectionReader(r.src, offset, length)
	held := 0
	for packed, err := range r.FramesFrom(src, frames) {
		require.NoError(t, err)
		some := false
		for key := range Records(packed) {
			if wanted(string(key)) {
				got, some = append(got, string(key)), true
			}
		}
		if !some {
			held++
		}
	}
	assert.Equal(t, slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return !wanted(key) }), got, what)
	if len(keys[0]) == 1 { // else the index does not know keys to their ends
		assert.LessOrEqual(t, held, 1, "%s: frames without a record of the range", what)
	}
}
