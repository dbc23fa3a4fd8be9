package surgery

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// table makes a table of values; its unique id follows from the number.
func table(number uint64, level int, smallest, largest string, seqs ...uint64) version.Table {
	low, high := uint64(1), uint64(9)
	if len(seqs) == 2 {
		low, high = seqs[0], seqs[1]
	}
	return version.Table{
		Number: number, Level: level, Size: int64(number), SmallestSeq: low, LargestSeq: high, UniqueID: [2]uint64{number, 7},
		Smallest: version.Key{User: []byte(smallest), Seq: low, Type: 1},
		Largest:  version.Key{User: []byte(largest), Seq: high, Type: 1},
	}
}

// endsDeletion makes the largest key of a table the end of a range deletion.
func endsDeletion(t version.Table) version.Table {
	t.Largest.Seq, t.Largest.Type = 1<<56-1, 15
	return t
}

// optionsText is an OPTIONS file in so far as a merge reads it.
func optionsText(families ...string) string {
	text := "[Version]\n  rocksdb_version=7.8.3\n\n[DBOptions]\n  max_open_files=-1\n\n"
	for _, f := range families {
		text += fmt.Sprintf("[CFOptions %q]\n  compaction_style=kCompactionStyleLevel\n  num_levels=7\n  merge_operator=nullptr\n", f)
		text += fmt.Sprintf("  table_factory=BlockBasedTable\n[TableOptions/BlockBasedTable %q]\n  block_size=4096\n\n", f)
	}
	return text
}

// source makes a source whose families have ids in their order.
func source(families ...version.Family) Source {
	set := &version.Set{NextFile: 100, LastSequence: 99, Families: families, MaxFamily: uint32(len(families) - 1)}
	var names []string
	for i := range families {
		set.Families[i].ID, set.Families[i].Comparator = uint32(i), bytewise
		names = append(names, families[i].Name)
	}
	return Source{Set: set, Options: optionsText(names...)}
}

func withTables(name string, tables ...version.Table) version.Family {
	return version.Family{Name: name, Tables: tables}
}

// two makes sources that can be merged, for a case to spoil.
func two() []Source {
	return []Source{
		source(withTables("default", table(10, 6, "a", "b")), withTables("a", table(11, 6, "a", "b"))),
		source(withTables("default", table(20, 6, "c", "d")), withTables("a", table(21, 6, "c", "d"))),
	}
}

func replaceOption(s *Source, old, new string) {
	if !strings.Contains(s.Options, old) {
		panic(old)
	}
	s.Options = strings.ReplaceAll(s.Options, old, new)
}

func (s Source) tables(family int) *[]version.Table { return &s.Set.Families[family].Tables }

var refusals = []struct {
	name    string
	spoil   func(s []Source)
	source  int
	reason  Reason
	curable bool
}{
	{"a WAL", func(s []Source) { s[1].WAL = true }, 1, Log, true},
	{"no OPTIONS", func(s []Source) { s[0].Options = "" }, 0, Options, false},
	{"no options of a column family", func(s []Source) { s[1].Options = optionsText("default") }, 1, Options, false},
	{"overlapping tables", func(s []Source) { (*s[0].tables(0))[0].Largest.User = []byte("c1") }, 0, Overlap, false},
	{"one key in two sources", func(s []Source) { (*s[0].tables(0))[0].Largest.User = []byte("c") }, 0, Overlap, false},
	{"a table within another", func(s []Source) { (*s[0].tables(1))[0] = table(11, 6, "a", "z") }, 0, Overlap, false},
	{"a table within one that is not its neighbour", func(s []Source) {
		*s[0].tables(1) = []version.Table{table(11, 5, "a", "z"), table(12, 6, "b", "b1")}
	}, 0, Overlap, false},
	{"a range deletion that reaches up", func(s []Source) {
		(*s[0].tables(0))[0] = endsDeletion(table(10, 6, "a", "c1"))
	}, 0, Overlap, true},
	{"a deletion that reaches down", func(s []Source) {
		(*s[1].tables(0))[0].Smallest = version.Key{User: []byte("a1"), Seq: 3}
	}, 1, Overlap, true},
	{"another comparator", func(s []Source) { s[0].Set.Families[1].Comparator = "rocksdb.ReverseBytewiseComparator" }, 0, Comparator, false},
	{"an unknown comparator", func(s []Source) { s[1].Set.Families[1].Comparator = "" }, 1, Comparator, false},
	{"user timestamps", func(s []Source) { s[1].Set.Families[0].Comparator += ".u64ts" }, 1, Timestamps, false},
	{"user timestamps in tables", func(s []Source) { (*s[1].tables(0))[0].Fields = []version.Field{{Tag: 10}} }, 1, Timestamps, false},
	{"a field of a newer RocksDB", func(s []Source) { (*s[0].tables(0))[0].Fields = []version.Field{{Tag: 2}, {Tag: 13}} }, 0, Fields, false},
	{"one unique id twice", func(s []Source) { (*s[1].tables(0))[0].UniqueID = [2]uint64{11, 7} }, 1, UniqueID, false},
	{"one blob file number twice", func(s []Source) {
		refer(s[0], 0, 30)
		refer(s[1], 1, 30)
	}, 1, BlobNumber, false},
	{"blob files of one column family under two ids", func(s []Source) {
		refer(s[0], 1, 30)
		refer(s[1], 1, 31)
		s[1].Set.Families[1].ID = 5
	}, 1, FamilyID, false},
	{"blob files of two column families under one id", func(s []Source) {
		refer(s[0], 1, 30)
		s[1] = source(withTables("default"), withTables("b", table(21, 6, "c", "d")))
		refer(s[1], 1, 31)
	}, 1, FamilyID, false},
	{"too many layers", func(s []Source) {
		deep(s[0], 6)
		deep(s[1], 1)
		*s[1].tables(0) = append(*s[1].tables(0), levelsOf(1, 6)...)
	}, 1, Level0, true},
	{"too many tables on level 0", func(s []Source) { deep(s[0], 7); deep(s[1], 8) }, 0, Level0, true},
	{"fewer levels than there are tables on", func(s []Source) { replaceOption(&s[0], "num_levels=7", "num_levels=6") }, 0, Level0, true},
	{"a sequence number above the last", func(s []Source) { (*s[0].tables(0))[0].LargestSeq = 100 }, 0, Sequence, false},
	{"level 0 out of order", func(s []Source) {
		*s[0].tables(0) = []version.Table{table(10, 0, "a", "b", 1, 8), table(12, 0, "a", "b", 3, 5)}
	}, 0, Order, false},
	{"level 0 of another source out of order", func(s []Source) {
		deep(s[0], 3)
		*s[1].tables(0) = []version.Table{table(23, 0, "c", "d", 1, 8), table(22, 0, "c", "d", 3, 5)}
	}, 1, Order, false},
	{"a level out of order", func(s []Source) {
		*s[0].tables(0) = []version.Table{table(10, 6, "a", "b"), table(12, 6, "a1", "b1")}
	}, 0, Order, false},
	{"FIFO compaction", func(s []Source) { replaceOption(&s[1], "kCompactionStyleLevel", "kCompactionStyleFIFO") }, 1, FIFO, false},
	{"universal compaction on two levels", func(s []Source) {
		replaceOption(&s[0], "kCompactionStyleLevel", "kCompactionStyleUniversal")
		*s[1].tables(0) = append(*s[1].tables(0), table(22, 5, "c", "d"))
	}, 1, Universal, true},
	{"universal compaction on level 0", func(s []Source) {
		replaceOption(&s[1], "kCompactionStyleLevel", "kCompactionStyleUniversal")
		(*s[0].tables(1))[0].Level = 0
	}, 0, Universal, true},
	{"universal compaction on too deep a level", func(s []Source) {
		for i := range s {
			replaceOption(&s[i], "kCompactionStyleLevel", "kCompactionStyleUniversal")
		}
		replaceOption(&s[0], "num_levels=7", "num_levels=6")
	}, 0, Level0, true},
	{"another merge operator", func(s []Source) {
		replaceOption(&s[0], "merge_operator=nullptr", "merge_operator={id=StringAppendOperator;delimiter=,;}")
		replaceOption(&s[1], "merge_operator=nullptr", "merge_operator={id=StringAppendOperator;delimiter=:;}")
	}, 1, MergeOperator, false},
	{"no merge operator in one of them", func(s []Source) {
		replaceOption(&s[0], "merge_operator=nullptr", "merge_operator={id=UInt64AddOperator;}")
	}, 1, MergeOperator, false},
	{"tables of another format", func(s []Source) { replaceOption(&s[1], "table_factory=BlockBasedTable", "table_factory=PlainTable") }, 1, TableFormat, false},
	{"no numbers left", func(s []Source) { s[0].Set.NextFile = 1<<62 - 4 }, 0, Numbers, false},
	{"no ids left", func(s []Source) {
		s[1] = source(withTables("default"), withTables("b"))
		s[1].Set.MaxFamily = 1<<32 - 1
	}, 1, FamilyID, false},
}

// refer gives a column family a blob file, and its tables references to it.
func refer(s Source, family int, number uint64) {
	f := &s.Set.Families[family]
	f.Blobs = append(f.Blobs, version.Blob{Number: number})
	for i := range f.Tables {
		f.Tables[i].OldestBlob = number
	}
}

// deep puts n more tables, one over the other, on level 0.
func deep(s Source, n int) {
	tables := s.tables(0)
	lowest := (*tables)[0]
	for i := range uint64(n) {
		*tables = append(*tables, table(lowest.Number+40+i, 0, string(lowest.Smallest.User), string(lowest.Largest.User), 10+i, 10+i))
	}
}

// levelsOf makes a table on each level.
func levelsOf(from, below int) (tables []version.Table) {
	for level := from; level < below; level++ {
		tables = append(tables, table(uint64(90+level), level, "c", "d"))
	}
	return tables
}

func TestMergeRefuses(t *testing.T) {
	_, err := Merge(two())
	require.NoError(t, err)
	for _, c := range refusals {
		t.Run(c.name, func(t *testing.T) {
			sources := two()
			c.spoil(sources)
			_, err := Merge(sources)
			var r *Refusal
			require.ErrorAs(t, err, &r)
			assert.Equal(t, c.reason, r.Reason, err)
			assert.Equal(t, c.source, r.Source, err)
			assert.Equal(t, c.curable, r.Curable, err)
			assert.NotContains(t, r.Text, "\n")
		})
	}
	_, err = Merge(nil)
	assert.Error(t, err)
}

// A blob file that no table can refer to any more is in nobody's way.
func TestMergeLeavesOutDeadBlobFiles(t *testing.T) {
	sources := two()
	sources[0].Set.Families[1].Blobs = []version.Blob{{Number: 30}}
	refer(sources[1], 1, 30)
	sources[1].Set.Families[1].Blobs = append([]version.Blob{{Number: 29}}, version.Blob{Number: 30}, version.Blob{Number: 31})
	sources[1].Set.Families[1].ID = 5
	m, err := Merge(sources)
	require.NoError(t, err)
	assert.Equal(t, []version.Blob{{Number: 30}, {Number: 31}}, m.Set.Families[1].Blobs)
	assert.EqualValues(t, 5, m.Set.Families[1].ID)
	assert.Len(t, m.Files, 6)
}

// The end of a range deletion is exclusive.
func TestMergeOfTablesThatTouch(t *testing.T) {
	sources := two()
	(*sources[0].tables(0))[0] = endsDeletion(table(10, 6, "a", "c"))
	_, err := Merge(sources)
	assert.NoError(t, err)
}

// places describes where a merge puts the tables of a column family.
func places(t *testing.T, m *Merged, family string) (lines []string) {
	t.Helper()
	names := make(map[string]string)
	for _, f := range m.Files {
		names[f.To] = fmt.Sprintf("%d/%s", f.Source, f.From)
	}
	for _, f := range m.Set.Families {
		for _, table := range f.Tables {
			if f.Name == family {
				lines = append(lines, fmt.Sprintf("%d: %s", table.Level, names[table.Name()]))
			}
		}
	}
	return lines
}

func TestLayers(t *testing.T) {
	for name, c := range map[string]struct {
		tables [2][]version.Table
		want   []string
	}{
		"one level 0": {
			[2][]version.Table{{table(10, 6, "a", "b")}, {table(20, 0, "c", "d", 1, 1), table(21, 0, "c", "d", 2, 2), table(22, 6, "c", "d")}},
			[]string{"0: 1/000020.sst", "0: 1/000021.sst", "6: 0/000010.sst", "6: 1/000022.sst"},
		},
		"the newest lies highest": {
			[2][]version.Table{
				{table(10, 0, "a", "b", 1, 1), table(11, 0, "a", "b", 2, 2), table(12, 0, "a", "b", 3, 3)},
				{table(20, 0, "c", "d", 5, 6), table(21, 0, "c", "d", 1, 2)},
			},
			[]string{"0: 0/000010.sst", "0: 0/000011.sst", "0: 0/000012.sst", "5: 1/000020.sst", "6: 1/000021.sst"},
		},
		"those that do not overlap share a level": {
			[2][]version.Table{
				{table(10, 0, "a", "b", 1, 1), table(11, 0, "a", "b", 2, 2), table(12, 0, "a", "b", 3, 3)},
				{table(20, 0, "c", "d", 1, 1), table(21, 0, "e", "f", 2, 2), table(22, 0, "f", "g", 3, 3), table(23, 4, "c", "g")},
			},
			[]string{"0: 0/000010.sst", "0: 0/000011.sst", "0: 0/000012.sst", "2: 1/000020.sst", "2: 1/000022.sst", "3: 1/000021.sst", "4: 1/000023.sst"},
		},
		"levels make room": {
			[2][]version.Table{
				{table(10, 0, "a", "b", 1, 1), table(11, 0, "a", "b", 2, 2), table(12, 0, "a", "b", 3, 3), table(13, 1, "a", "b"), table(14, 2, "a", "b")},
				{table(20, 0, "c", "d", 1, 1), table(21, 0, "c", "d", 2, 2), table(22, 1, "c", "d"), table(23, 6, "c", "d")},
			},
			[]string{
				"0: 0/000010.sst", "0: 0/000011.sst", "0: 0/000012.sst", "1: 0/000013.sst", "1: 1/000021.sst",
				"2: 0/000014.sst", "2: 1/000020.sst", "3: 1/000022.sst", "6: 1/000023.sst",
			},
		},
		"every level is taken": {
			[2][]version.Table{
				{table(10, 0, "a", "b", 1, 1), table(11, 0, "a", "b", 2, 2), table(12, 0, "a", "b", 3, 3), table(13, 1, "a", "b"), table(14, 2, "a", "b"), table(15, 3, "a", "b"), table(16, 4, "a", "b")},
				{table(20, 0, "c", "d", 1, 1), table(21, 1, "c", "d"), table(22, 2, "c", "d"), table(23, 3, "c", "d"), table(24, 4, "c", "d"), table(25, 5, "c", "d")},
			},
			[]string{
				"0: 0/000010.sst", "0: 0/000011.sst", "0: 0/000012.sst", "1: 0/000013.sst", "1: 1/000020.sst", "2: 0/000014.sst", "2: 1/000021.sst",
				"3: 0/000015.sst", "3: 1/000022.sst", "4: 0/000016.sst", "4: 1/000023.sst", "5: 1/000024.sst", "6: 1/000025.sst",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Merge([]Source{source(withTables("default", c.tables[0]...)), source(withTables("default", c.tables[1]...))})
			require.NoError(t, err)
			assert.Equal(t, c.want, places(t, m, "default"))
		})
	}
}

func TestUniversalGoesToOneLevel(t *testing.T) {
	sources := two()
	(*sources[0].tables(0))[0].Level = 4
	for i := range sources {
		replaceOption(&sources[i], "kCompactionStyleLevel", "kCompactionStyleUniversal")
	}
	m, err := Merge(sources)
	require.NoError(t, err)
	assert.Equal(t, []string{"6: 0/000010.sst", "6: 1/000020.sst"}, places(t, m, "default"))
	alone := source(withTables("default", table(10, 0, "a", "b"), table(11, 6, "a", "b")))
	replaceOption(&alone, "kCompactionStyleLevel", "kCompactionStyleUniversal")
	m, err = Merge([]Source{alone, source(withTables("default"))})
	require.NoError(t, err)
	assert.Equal(t, []string{"0: 0/000010.sst", "6: 0/000011.sst"}, places(t, m, "default"), "one source alone stays as it is")
}

// Column families go by name, and get ids that differ from those that blob files
// of others name.
func TestMergeOfDifferentFamilies(t *testing.T) {
	first := source(withTables("default"), withTables("a", table(11, 6, "a", "b")), withTables("x\n:", table(12, 6, "a", "b")))
	replaceOption(&first, `"x\n:"`, `"x\n\:"`)
	second := source(withTables("default"), withTables("b", table(21, 6, "a", "b")), withTables("a", table(22, 6, "c", "d")))
	refer(second, 1, 120)
	second.Set.NextFile, second.Set.LastSequence, second.Set.MaxFamily = 121, 500, 9
	replaceOption(&second, "max_open_files=-1", "max_open_files=5")
	m, err := Merge([]Source{first, second})
	require.NoError(t, err)

	ids := make(map[string]uint32)
	numbers := make(map[uint64]bool)
	for _, f := range m.Set.Families {
		ids[f.Name] = f.ID
		for _, table := range f.Tables {
			assert.True(t, table.Number >= 121 && table.Number < m.Set.NextFile && !numbers[table.Number], table.Number)
			numbers[table.Number] = true
		}
	}
	assert.Equal(t, map[string]uint32{"default": 0, "b": 1, "a": 10, "x\n:": 2}, ids)
	assert.Equal(t, []uint64{500, 10}, []uint64{m.Set.LastSequence, uint64(m.Set.MaxFamily)})
	assert.True(t, slices.IsSortedFunc(m.Set.Families, func(a, b version.Family) int { return int(a.ID) - int(b.ID) }))
	assert.Contains(t, m.Options, first.Options)
	assert.Equal(t, 1, strings.Count(m.Options, `[CFOptions "b"]`))
	assert.Equal(t, 1, strings.Count(m.Options, `[TableOptions/BlockBasedTable "b"]`))
	assert.Equal(t, 1, strings.Count(m.Options, `[CFOptions "a"]`))
	assert.NotContains(t, m.Options, "max_open_files=5")
	assert.Len(t, m.Files, 5)
}

// Whatever a table's record says beside its place stays; what belongs to the
// former database goes.
func TestMergeKeepsWhatTablesSay(t *testing.T) {
	sources := two()
	sources[0].Set.PrevLog, sources[0].Set.MinLogToKeep, sources[0].Set.Families[0].LogNumber = 50, 60, 70
	rich := &(*sources[0].tables(0))[0]
	rich.Checksum, rich.ChecksumFunc, rich.CreatedUnix = []byte("sum"), "FileChecksumCrc32c", 5
	rich.Fields = []version.Field{{Tag: 2, Value: []byte{1}}, {Tag: 5, Value: []byte{4}}, {Tag: 9, Value: []byte{8}}}
	m, err := Merge(sources)
	require.NoError(t, err)
	assert.Zero(t, []uint64{m.Set.PrevLog, m.Set.MinLogToKeep, m.Set.Families[0].LogNumber}[0])
	assert.Zero(t, m.Set.MinLogToKeep)
	assert.Zero(t, m.Set.Families[0].LogNumber)
	want := *rich
	want.Number = m.Set.Families[0].Tables[0].Number
	assert.Equal(t, want, m.Set.Families[0].Tables[0])
	assert.EqualValues(t, 10, rich.Number, "the sources stay as they are")
}
