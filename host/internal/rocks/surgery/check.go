package surgery

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// checkSources looks at each source by itself.
func (m *merge) checkSources() *Refusal {
	for i, s := range m.sources {
		switch {
		case s.WAL:
			return refuse(i, Log, "a WAL holds records that are in no table").curable()
		case s.Options == "":
			return refuse(i, Options, "there are no OPTIONS, so nothing is known of merge operators and of compaction")
		}
		for _, f := range s.Set.Families {
			if r := checkTables(i, s.Set, f); r != nil {
				return r
			}
		}
	}
	return nil
}

// timestamped ends the names of RocksDB's comparators with timestamps.
const timestamped = ".u64ts"

func checkTables(source int, set *version.Set, f version.Family) *Refusal {
	switch {
	case strings.HasSuffix(f.Comparator, timestamped):
		return refuse(source, Timestamps, "column family %q has user-defined timestamps", f.Name)
	case f.Comparator != bytewise:
		return refuse(source, Comparator, "column family %q is ordered by %q", f.Name, f.Comparator)
	}
	for _, t := range f.Tables {
		if t.LargestSeq > set.LastSequence || t.SmallestSeq > t.LargestSeq {
			return refuse(source, Sequence, "%s has sequence numbers %d to %d, and the last one is %d", t.Name(), t.SmallestSeq, t.LargestSeq, set.LastSequence)
		}
		for _, field := range t.Fields {
			if r := checkField(source, t, field); r != nil {
				return r
			}
		}
	}
	return nil
}

// Custom fields of tables, beside those that package version reads.
const (
	fieldCompact      = 2
	fieldAncestorTime = 5
	fieldTemperature  = 9
	fieldMinTimestamp = 10
	fieldMaxTimestamp = 11
)

func checkField(source int, t version.Table, field version.Field) *Refusal {
	switch field.Tag {
	case fieldCompact, fieldAncestorTime, fieldTemperature:
		return nil
	case fieldMinTimestamp, fieldMaxTimestamp:
		return refuse(source, Timestamps, "%s has user-defined timestamps", t.Name())
	}
	return refuse(source, Fields, "field %d of %s is not understood", field.Tag, t.Name())
}

// checkFamilies compares the settings of the parts of each column family.
func (m *merge) checkFamilies() *Refusal {
	for _, f := range m.families {
		for _, p := range f.parts {
			switch {
			case p.settings.mergeOperator != f.settings.mergeOperator:
				return refuse(p.source, MergeOperator, "column family %q has merge operator %q, and %q in another source", f.name, p.settings.mergeOperator, f.settings.mergeOperator)
			case p.settings.style == styleFIFO:
				return refuse(p.source, FIFO, "column family %q has FIFO compaction, which goes by the age of tables", f.name)
			case p.settings.table != blockBased:
				return refuse(p.source, TableFormat, "tables of column family %q are of format %s", f.name, p.settings.table)
			}
		}
	}
	return nil
}

// checkIdentities finds one table in two places.
func (m *merge) checkIdentities() *Refusal {
	seen := map[[2]uint64]bool{{}: false} // tables from before RocksDB 7.3 have none
	for i := range m.sources {
		for _, f := range m.filesOf(i) {
			id := f.table.UniqueID
			if seen[id] {
				return refuse(i, UniqueID, "%s of column family %q is there twice", f.table.Name(), f.family.name)
			}
			seen[id] = id != [2]uint64{}
		}
	}
	return nil
}

// checkBlobs finds one number for two blob files.
func (m *merge) checkBlobs() *Refusal {
	owners := make(map[uint64]int)
	for _, f := range m.families {
		for _, p := range f.parts {
			for _, b := range p.Blobs {
				if other, ok := owners[b.Number]; ok {
					return refuse(max(other, p.source), BlobNumber, "%s is a blob file of sources %d and %d", b.Name(), min(other, p.source), max(other, p.source))
				}
				owners[b.Number] = p.source
			}
		}
	}
	return nil
}

// owned is a table with the source that brings it.
type owned struct {
	*version.Table
	source int
}

// tables returns all tables of a column family by their least keys.
func (f *family) tables() (list []owned) {
	for _, p := range f.parts {
		for i := range p.Tables {
			list = append(list, owned{&p.Tables[i], p.source})
		}
	}
	slices.SortStableFunc(list, func(a, b owned) int { return compareKeys(a.Smallest, b.Smallest) })
	return list
}

// compareKeys is the order of internal keys: of one user key, the newest first.
func compareKeys(a, b version.Key) int {
	return cmp.Or(bytes.Compare(a.User, b.User), cmp.Compare(b.Seq, a.Seq), cmp.Compare(b.Type, a.Type))
}

// checkOverlaps finds tables of different sources whose bounds overlap. RocksDB
// opens what they make and then loses keys of them.
func (m *merge) checkOverlaps() *Refusal {
	for _, f := range m.families {
		furthest := make(map[int]owned) // by source, among the tables so far
		for _, t := range f.tables() {
			for source, other := range furthest {
				if source != t.source && !other.Before(*t.Table) {
					return overlap(f.name, other, t)
				}
			}
			if other, ok := furthest[t.source]; !ok || compareKeys(other.Largest, t.Largest) < 0 {
				furthest[t.source] = t
			}
		}
	}
	return nil
}

// overlap blames a table with a bound that is a deletion, if there is one: a
// database that is compacted in full holds none.
func overlap(family string, low, high owned) *Refusal {
	culprit := low
	if !low.reachesOut() && high.reachesOut() {
		culprit = high
	}
	r := refuse(culprit.source, Overlap, "tables of column family %q overlap: %s of source %d ends with %q, and %s of source %d begins with %q",
		family, low.Name(), low.source, low.Largest.User, high.Name(), high.source, high.Smallest.User)
	r.Curable = culprit.reachesOut()
	return r
}

// reachesOut reports whether a table deletes more than it holds.
func (t owned) reachesOut() bool { return deletes(t.Smallest) || deletes(t.Largest) }

// deletes reports whether a key stands for a deletion, of whatever kind (ValueType
// in db/dbformat.h).
func deletes(k version.Key) bool { return slices.Contains([]byte{0, 7, 15, 20}, k.Type) }

// checkParts makes sure that each source is in order by itself.
func (m *merge) checkParts() *Refusal {
	for _, f := range m.families {
		for _, p := range f.parts {
			alone := family{name: f.name, parts: []*part{p}}
			if r := alone.checkOrder(); r != nil {
				return r
			}
		}
	}
	return nil
}

// checkWhole makes sure that all of them together are.
func (m *merge) checkWhole() *Refusal {
	for _, f := range m.families {
		if r := f.checkOrder(); r != nil {
			return r
		}
	}
	return nil
}

// checkOrder makes sure of what RocksDB aborts over.
func (f *family) checkOrder() *Refusal {
	levels := make(map[int][]owned)
	for _, t := range f.tables() {
		levels[t.Level] = append(levels[t.Level], t)
	}
	for level, tables := range levels {
		inOrder := sorted
		if level == 0 {
			slices.SortFunc(tables, func(a, b owned) int { return newestFirst(a.Table, b.Table) })
			inOrder = layered
		}
		for i := 1; i < len(tables); i++ {
			if a, b := tables[i-1], tables[i]; !inOrder(a.Table, b.Table) {
				return refuse(b.source, Order, "%s and %s of column family %q are out of order on level %d", a.Name(), b.Name(), f.name, level)
			}
		}
	}
	return nil
}

// sorted reports whether a may lie before b on a level from 1 on.
func sorted(a, b *version.Table) bool { return compareKeys(a.Largest, b.Smallest) < 0 }

// layered reports whether a may lie above b on level 0 (CheckConsistencyDetails in
// db/version_builder.cc). A table of one sequence number was ingested.
func layered(a, b *version.Table) bool {
	if b.SmallestSeq == b.LargestSeq {
		return b.SmallestSeq == 0 || b.SmallestSeq < a.LargestSeq
	}
	return a.SmallestSeq > b.SmallestSeq
}

// newestFirst is the order of level 0 (NewestFirstBySeqNo in
// db/version_builder.cc).
func newestFirst(a, b *version.Table) int {
	return cmp.Or(cmp.Compare(b.LargestSeq, a.LargestSeq), cmp.Compare(b.SmallestSeq, a.SmallestSeq), cmp.Compare(b.Number, a.Number))
}
