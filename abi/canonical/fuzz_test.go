package canonical

import (
	"bytes"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/keygroup"
)

// FuzzReader feeds both readers any bytes, with right or wrong checksums. They
// agree on whether it is a file; what is one can be written again.
func FuzzReader(f *testing.F) {
	for _, name := range []string{"empty.txt", "one.txt", "groups.txt", "order.txt", "zstd.txt"} {
		f.Add(readVector(f, name).file, false)
		f.Add(readVector(f, name).file, true)
	}
	f.Add(sample(f), true)
	f.Fuzz(func(t *testing.T, file []byte, mended bool) {
		if mended {
			file = bytes.Clone(file)
			mend(file)
		}
		errs := everyReader(file)
		for how, err := range errs {
			if err != nil && !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
				t.Fatalf("%s: %v", how, err)
			}
		}
		if errs["all"] != nil {
			return
		}
		require.NoError(t, errs["stream"])
		require.NoError(t, errs["blocks"])
		r := open(t, file)
		again, totals := build(t, r.Header(), Options{}, collect(t, r.All()))
		require.Equal(t, r.Totals().Digest, totals.Digest)
		require.Equal(t, collect(t, r.All()), collect(t, open(t, again).Blocks(0, keygroup.MaxCount)))
	})
}

// FuzzWriter feeds a writer any block. It refuses it, or a reader returns it.
func FuzzWriter(f *testing.F) {
	f.Add(pack([]pair{{[]byte("a"), []byte("1")}, {[]byte("b"), nil}}), uint16(0), true)
	f.Add(pack(grouped(keygroup.Range{Last: 3}, 4, 3, 9)), uint16(4), true)
	f.Add(pack([]pair{{[]byte("b"), nil}, {[]byte("a"), nil}}), uint16(0), false)
	f.Fuzz(func(t *testing.T, packed []byte, count uint16, bytewise bool) {
		h := Header{Family: "cf", GroupCount: uint32(count) % (keygroup.MaxCount + 1)}
		h.LastGroup = max(h.GroupCount, 1) - 1
		if bytewise {
			h.Comparator = BytewiseComparator
		}
		var file bytes.Buffer
		w, err := NewWriter(&file, h, Options{Codec: abi.CodecZstd, FrameBytes: 64})
		require.NoError(t, err)
		if err := w.WriteBlock(packed); err != nil {
			require.ErrorIs(t, err, abi.EINVAL)
			return
		}
		_, err = w.Close()
		require.NoError(t, err)
		require.Equal(t, packed, append([]byte{}, pack(collect(t, open(t, file.Bytes()).All()))...))
	})
}
