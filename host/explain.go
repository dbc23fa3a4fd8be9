package host

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
)

// Cause is what made some of the new bytes of a snapshot, in one column family.
type Cause struct {
	// Family is "" for what belongs to the database as a whole.
	Family string `json:"column_family,omitempty"`
	// Name is, as RocksDB's MANIFEST tells it, "flush", "compaction L0->L1" (the
	// levels from and to), "ingest", or "blob GC"; "unknown L6", or "unknown blob", of
	// what is older than the MANIFEST, which begins anew when a database is opened; and
	// beside these "wal", "metadata", "records" and "stream".
	Name  string `json:"cause"`
	Files int    `json:"files"`
	Bytes int64  `json:"bytes"`
}

// Explain tells what made the new bytes of a snapshot: by column family, and the
// largest first. Together they are its BytesNew. Where the manifest is encrypted the
// column families are "", unless it was revealed before.
func Explain(m *Manifest) []Cause { return explain(m.Contents) }

func explain(files []File) []Cause {
	type key struct{ family, name string }
	sums := make(map[key]*Cause)
	for i := range files {
		f := &files[i]
		if f.Reused {
			continue
		}
		k := key{f.Family, causeOf(f)}
		if sums[k] == nil {
			sums[k] = &Cause{Family: k.family, Name: k.name}
		}
		sums[k].Files++
		sums[k].Bytes += f.Size
	}
	list := make([]Cause, 0, len(sums))
	for c := range maps.Values(sums) {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Cause) int {
		return cmp.Or(cmp.Compare(a.Family, b.Family), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// byCause sums up causes over all column families.
func byCause(causes []Cause) map[string]int64 {
	sums := make(map[string]int64)
	for _, c := range causes {
		sums[c.Name] += c.Bytes
	}
	return sums
}

// causeOf says what made a file.
func causeOf(f *File) string {
	switch f.Kind {
	case abi.KindTable:
		return cmp.Or(f.Cause, fmt.Sprintf("unknown L%d", f.Level))
	case abi.KindBlob:
		return cmp.Or(f.Cause, "unknown blob")
	case abi.KindWAL:
		return "wal"
	case abi.KindCanonical:
		return "records"
	case abi.KindStream:
		return "stream"
	}
	return "metadata"
}
