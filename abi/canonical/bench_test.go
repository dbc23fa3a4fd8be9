package canonical

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/keygroup"
)

var benchCases = []struct {
	name  string
	codec abi.Codec
	value int
}{
	{"none/100B", abi.CodecNone, 100},
	{"none/4KiB", abi.CodecNone, 4 << 10},
	{"zstd/100B", abi.CodecZstd, 100},
	{"zstd/4KiB", abi.CodecZstd, 4 << 10},
}

var benchHeader = Header{Family: "default", Comparator: BytewiseComparator, GroupCount: 128, LastGroup: 127}

func benchRecords(value int) []byte {
	return pack(grouped(keygroup.Range{Last: 127}, 128, (16<<20)/128/(value+20), value))
}

func BenchmarkWriter(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			packed := benchRecords(c.value)
			b.SetBytes(int64(len(packed)))
			b.ReportAllocs()
			for b.Loop() {
				w, err := NewWriter(io.Discard, benchHeader, Options{Codec: c.codec})
				require.NoError(b, err)
				require.NoError(b, w.WriteBlock(packed))
				_, err = w.Close()
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkReader(b *testing.B) {
	for _, c := range benchCases {
		b.Run(c.name, func(b *testing.B) {
			packed := benchRecords(c.value)
			var file bytes.Buffer
			w, err := NewWriter(&file, benchHeader, Options{Codec: c.codec})
			require.NoError(b, err)
			require.NoError(b, w.WriteBlock(packed))
			_, err = w.Close()
			require.NoError(b, err)
			r := open(b, file.Bytes())
			b.SetBytes(int64(len(packed)))
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range r.All() {
					require.NoError(b, err)
				}
			}
		})
	}
}

func BenchmarkSum(b *testing.B) {
	for _, value := range []int{10, 100, 4 << 10} {
		b.Run(fmt.Sprintf("%dB", value), func(b *testing.B) {
			packed := benchRecords(value)
			b.SetBytes(int64(len(packed)))
			for b.Loop() {
				require.NoError(b, new(Sum).AddBlock(packed))
			}
		})
	}
}
