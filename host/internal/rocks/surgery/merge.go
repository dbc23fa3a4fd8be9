package surgery

import (
	"cmp"
	"errors"
	"math"
	"slices"

	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// Source is a closed database that is to become a part of another one.
type Source struct {
	Dir     string       // directory of its files
	Set     *version.Set // which of them it consists of
	Options string       // text of its OPTIONS file
	WAL     bool         // a WAL holds what is in no table
}

// Merged is a database made of others, as it is going to be.
type Merged struct {
	Set     *version.Set
	Files   []File // all tables and blob files
	Options string // text of the OPTIONS file

	sources []Source
}

// File is a file of a merged database.
type File struct {
	Source   int    // index of the source
	From, To string // names there and in the merged database
	Family   string // name of the column family
	Size     int64  // bytes; 0 for a blob file, of which a MANIFEST does not tell it
}

// Merge plans the database that consists of all files of the sources, whose keys
// must be disjoint in each column family. Column families go by name. Tables get
// new numbers, above those of all sources, and may get other levels; blob files
// keep their numbers, and so must be of different ones, as [Shard] provides.
//
// It fails with a [*Refusal] whenever it cannot prove that RocksDB opens the
// result and reads from it what the sources hold. What a database of path ids or
// of unknown edits says is refused by version.Read already.
func Merge(sources []Source) (*Merged, error) {
	if len(sources) == 0 {
		return nil, errors.New("merge: no databases")
	}
	m := &merge{sources: sources}
	return m.run(
		m.checkSources, m.gather, m.checkFamilies, m.checkIdentities, m.checkBlobs, m.checkParts, m.checkOverlaps,
		m.assignIDs, m.placeAll, m.checkWhole, m.assignNumbers,
	)
}

// merge is a plan that is being made.
type merge struct {
	sources  []Source
	families []*family
	files    []File
	next     uint64 // file number
}

func (m *merge) run(steps ...func() *Refusal) (*Merged, error) {
	for _, step := range steps {
		if r := step(); r != nil {
			return nil, r
		}
	}
	return m.merged(), nil
}

// family is a column family of the merged database.
type family struct {
	name     string
	id       uint32
	settings *settings // of the first source that has it
	parts    []*part
}

// part is what one source brings to a column family.
type part struct {
	version.Family
	source   int
	settings *settings
}

// inhabited returns the parts that bring tables.
func (f *family) inhabited() (list []*part) {
	for _, p := range f.parts {
		if len(p.Tables) > 0 {
			list = append(list, p)
		}
	}
	return list
}

// gather finds the column families of all sources, and their settings.
func (m *merge) gather() *Refusal {
	byName := make(map[string]*family)
	for i, s := range m.sources {
		options := parseOptions(s.Options)
		for _, f := range s.Set.Families {
			p := &part{Family: f, source: i, settings: options[f.Name]}
			if p.settings == nil {
				return refuse(i, Options, "column family %q has no options", f.Name)
			}
			p.Tables = slices.Clone(f.Tables)
			p.Blobs = referred(f.Blobs, f.Tables) // RocksDB keeps more, until a table refers to a newer one
			if byName[f.Name] == nil {
				byName[f.Name] = &family{name: f.Name, settings: p.settings}
				m.families = append(m.families, byName[f.Name])
			}
			byName[f.Name].parts = append(byName[f.Name].parts, p)
		}
	}
	return nil
}

// assignIDs gives column families the ids that they have, where that is possible.
// One with blob files needs its id: it stands in their headers.
func (m *merge) assignIDs() *Refusal {
	taken := map[uint32]string{0: "default"}
	for _, f := range m.families {
		if r := f.claimID(taken); r != nil {
			return r
		}
	}
	next := m.maxFamily()
	for _, f := range m.families {
		if taken[f.id] == f.name {
			continue
		}
		if _, ok := taken[f.id]; ok {
			if next == math.MaxUint32 {
				return refuse(f.parts[0].source, FamilyID, "column family %q finds no free id", f.name)
			}
			next++
			f.id = next
		}
		taken[f.id] = f.name
	}
	return nil
}

// claimID takes the id that the blob files of a column family name.
func (f *family) claimID(taken map[uint32]string) *Refusal {
	f.id = f.parts[0].ID
	var claimant *part
	for _, p := range f.parts {
		if len(p.Blobs) == 0 {
			continue
		}
		if claimant != nil && claimant.ID != p.ID {
			return refuse(p.source, FamilyID, "blob files of column family %q name id %d, and those of another source id %d", f.name, p.ID, claimant.ID)
		}
		claimant = p
	}
	if claimant == nil {
		return nil
	}
	if name, ok := taken[claimant.ID]; ok && name != f.name {
		return refuse(claimant.source, FamilyID, "blob files of column families %q and %q name the same id %d", f.name, name, claimant.ID)
	}
	f.id = claimant.ID
	taken[f.id] = f.name
	return nil
}

func (m *merge) maxFamily() (highest uint32) {
	for _, s := range m.sources {
		highest = max(highest, s.Set.MaxFamily)
		for _, f := range s.Set.Families {
			highest = max(highest, f.ID)
		}
	}
	for _, f := range m.families {
		highest = max(highest, f.id)
	}
	return highest
}

const (
	maxNumber  = 1<<numberBits - 1 // the highest file number
	ownNumbers = 2                 // the last ones: of OPTIONS, and of MANIFEST, of a merged database
)

// assignNumbers gives all tables new numbers, in the order of the old ones of
// each source. Being above the numbers of all sources, none is that of a blob
// file, for the two would share a place in RocksDB's cache.
func (m *merge) assignNumbers() *Refusal {
	for _, s := range m.sources {
		m.next = max(m.next, s.Set.NextFile)
	}
	for i := range m.sources {
		files := m.filesOf(i)
		slices.SortFunc(files, func(a, b placed) int { return cmp.Compare(a.table.Number, b.table.Number) })
		if uint64(len(files))+ownNumbers > maxNumber-m.next {
			return refuse(i, Numbers, "no file numbers are left above %d", m.next)
		}
		for _, f := range files {
			from := f.table.Name()
			f.table.Number = m.next
			m.next++
			m.files = append(m.files, File{Source: i, From: from, To: f.table.Name(), Family: f.family.name, Size: f.table.Size})
		}
	}
	return nil
}

// placed is a table in its column family.
type placed struct {
	family *family
	table  *version.Table
}

// filesOf returns the tables of a source.
func (m *merge) filesOf(source int) (list []placed) {
	for _, f := range m.families {
		for _, p := range f.parts {
			for i := range p.Tables {
				if p.source == source {
					list = append(list, placed{f, &p.Tables[i]})
				}
			}
		}
	}
	return list
}

// merged makes the result of a plan that nothing speaks against.
func (m *merge) merged() *Merged {
	set := &version.Set{MaxFamily: m.maxFamily(), NextFile: m.next + ownNumbers}
	for _, s := range m.sources {
		set.LastSequence = max(set.LastSequence, s.Set.LastSequence)
	}
	for _, f := range m.families {
		set.Families = append(set.Families, f.merged())
		for _, p := range f.parts {
			for _, b := range p.Blobs {
				m.files = append(m.files, File{Source: p.source, From: b.Name(), To: b.Name(), Family: f.name})
			}
		}
	}
	slices.SortFunc(set.Families, func(a, b version.Family) int { return cmp.Compare(a.ID, b.ID) })
	return &Merged{Set: set, Files: m.files, Options: m.options(), sources: m.sources}
}

func (f *family) merged() version.Family {
	whole := version.Family{ID: f.id, Name: f.name, Comparator: bytewise}
	for _, p := range f.parts {
		whole.Tables = append(whole.Tables, p.Tables...)
		whole.Blobs = append(whole.Blobs, p.Blobs...)
	}
	slices.SortFunc(whole.Tables, func(a, b version.Table) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Number, b.Number))
	})
	slices.SortFunc(whole.Blobs, func(a, b version.Blob) int { return cmp.Compare(a.Number, b.Number) })
	return whole
}

// options returns the options of the first source, with those of the column
// families that it lacks.
func (m *merge) options() string {
	text := m.sources[0].Options
	known := parseOptions(text)
	for _, f := range m.families {
		if known[f.name] == nil {
			text += "\n" + f.settings.text
		}
	}
	return text
}
