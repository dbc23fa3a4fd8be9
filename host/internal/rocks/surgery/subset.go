package surgery

import (
	"math"
	"slices"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// Keep says what is wanted of a database.
type Keep struct {
	Families []string // names of column families; nil for all
	Range             // of keys, in each of them
}

// wants reports whether a column family is wanted.
func (k Keep) wants(family string) bool {
	return k.Families == nil || slices.Contains(k.Families, family)
}

// Subset returns a set of those files that what is wanted needs, under the
// numbers and on the levels that they have. Column families that are not wanted
// are gone, except for "default", which no database is without and which stays
// without files.
//
// Tables at the edges of the range still hold keys outside. And the set goes with
// the same WALs: these may hold records outside the range, and
// of the default column family when it is not wanted.
//
// It fails with a [*Refusal] when a range is wanted of a column family that is
// not ordered bytewise.
func Subset(set *version.Set, keep Keep) (*version.Set, error) {
	part := *set
	part.Families = nil
	for _, f := range set.Families {
		switch {
		case !keep.wants(f.Name):
			f.Tables, f.Blobs = nil, nil
		case !keep.Whole() && f.Comparator != bytewise:
			return nil, refuse(0, Comparator, "column family %q is ordered by %q, and its tables cannot be told by ranges of keys", f.Name, f.Comparator)
		default:
			f.Tables = touching(f.Tables, keep.Range)
			f.Blobs = referred(f.Blobs, f.Tables)
		}
		if keep.wants(f.Name) || f.ID == 0 {
			part.Families = append(part.Families, f)
		}
	}
	return &part, nil
}

func touching(tables []version.Table, r Range) (kept []version.Table) {
	for _, t := range tables {
		if r.Whole() || r.Touches(t) {
			kept = append(kept, t)
		}
	}
	return kept
}

// referred returns the blob files that the tables may refer to: a table tells the
// oldest one only.
func referred(blobs []version.Blob, tables []version.Table) (kept []version.Blob) {
	oldest := uint64(math.MaxUint64)
	for _, t := range tables {
		if t.OldestBlob != 0 {
			oldest = min(oldest, t.OldestBlob)
		}
	}
	for _, b := range blobs {
		if b.Number >= oldest {
			kept = append(kept, b)
		}
	}
	return kept
}
