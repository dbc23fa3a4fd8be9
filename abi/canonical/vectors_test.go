package canonical

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/abi"
)

// The vectors were made by a separate implementation, with the reference
// libraries of its hash and its compression.
const vectors = "../testdata/canonical"

type pair struct{ key, value []byte }

// vector is a file together with what it was made from.
type vector struct {
	header  Header
	options Options
	records []pair
	digest  string
	file    []byte
}

func TestFileVectors(t *testing.T) {
	names := []string{"empty.txt", "one.txt", "groups.txt", "order.txt", "zstd.txt"}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			v := readVector(t, name)
			written, totals := build(t, v.header, v.options, v.records)
			assert.Equal(t, v.digest, totals.Digest.String())
			if v.options.Codec == abi.CodecNone { // compressors may differ
				assert.Equal(t, hex.Dump(v.file), hex.Dump(written))
			}

			r, err := NewReader(bytes.NewReader(v.file), int64(len(v.file)))
			require.NoError(t, err)
			assert.Equal(t, v.header, r.Header())
			assert.Equal(t, totals, r.Totals())
			assert.Equal(t, v.records, collect(t, r.All()))
		})
	}
}

func TestDigestVectors(t *testing.T) {
	var sum Sum
	prefixes := []Sum{{}} // sums of the first records of the list
	for _, f := range fields(t, "digest.txt") {
		switch f[0] {
		case "record":
			var one Sum
			one.Add(unhex(t, f[1]), unhex(t, f[2]))
			assert.Equal(t, f[3], one.String(), "record %d", len(prefixes))
			sum = sum.Merge(one)
			prefixes = append(prefixes, sum)
		case "sum":
			assert.Equal(t, f[1], sum.String())
		case "database":
			families := make(map[string]Sum)
			for _, family := range f[2:] {
				name, count, _ := strings.Cut(family, "=")
				families[name] = prefixes[number(t, count)]
			}
			assert.Equal(t, f[1], Database(families), "%v", f[2:])
		default:
			t.Fatalf("unknown line %v", f)
		}
	}
	assert.Equal(t, uint64(7), sum.Records)
	assert.Equal(t, uint64(1247), sum.Bytes)
}

// TestDocumentedVectors keeps CANONICAL.md and the vectors the same.
func TestDocumentedVectors(t *testing.T) {
	text, err := os.ReadFile("../CANONICAL.md")
	require.NoError(t, err)
	doc := string(text)
	for _, f := range fields(t, "digest.txt") {
		if line := strings.Join(f, " "); len(line) < 120 {
			assert.Contains(t, doc, line)
		}
	}

	_, dump, _ := strings.Cut(doc, "## 8. A whole file")
	dump = strings.Split(dump, "```\n")[1]
	var file []byte
	for line := range strings.Lines(dump) {
		line, _, _ = strings.Cut(line, "#")
		offset, bytes, _ := strings.Cut(line, "  ")
		assert.Equal(t, offset, fmt.Sprintf("%04x", len(file)))
		file = append(file, unhex(t, strings.Join(strings.Fields(bytes), ""))...)
	}
	assert.Equal(t, readVector(t, "one.txt").file, file)
}

func readVector(t testing.TB, name string) (v vector) {
	t.Helper()
	for _, f := range fields(t, name) {
		switch f[0] {
		case "family":
			v.header.Family = f[1]
		case "comparator":
			v.header.Comparator = f[1]
		case "groups":
			v.header.GroupCount, v.header.FirstGroup, v.header.LastGroup = number(t, f[1]), number(t, f[2]), number(t, f[3])
		case "codec":
			v.options.Codec = map[string]abi.Codec{"none": abi.CodecNone, "zstd": abi.CodecZstd}[f[1]]
		case "frame_bytes":
			v.options.FrameBytes = int(number(t, f[1]))
		case "record":
			v.records = append(v.records, pair{unhex(t, f[1]), unhex(t, f[2])})
		case "digest":
			v.digest = f[1]
		case "bytes":
			v.file = append(v.file, unhex(t, f[1])...)
		default:
			t.Fatalf("unknown line %v", f)
		}
	}
	return v
}

// fields returns the words of every line that is no comment.
func fields(t testing.TB, name string) (lines [][]string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(vectors, name))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "#") {
			lines = append(lines, strings.Fields(line))
		}
	}
	require.NotEmpty(t, lines)
	return lines
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	if s == "-" {
		return []byte{}
	}
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func number(t testing.TB, s string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(s, 10, 32)
	require.NoError(t, err)
	return uint32(n)
}
