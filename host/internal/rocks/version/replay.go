package version

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// Replay replays the bytes of one MANIFEST; name stands in errors and in the
// set. It fails with [ErrCorrupt], with [ErrUnsupported], or with an error of r.
//
// Every byte of a record is under a checksum, save those of lengths. Damage
// therefore ends in an error or in a [Set] whose Tail is not 0. Only in the
// padding between blocks is it not noticed, and there it changes nothing.
func Replay(r io.Reader, name string) (*Set, error) {
	log := &logReader{r: r}
	p := &replay{set: Set{Manifest: name}, families: map[uint32]*family{}}
	p.families[0] = newFamily(0, "default") // exists without being added
	for {
		record, err := log.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = p.record(record, log.offset)
		}
		if err != nil {
			return nil, fmt.Errorf("replay %s: record at byte %d: %w", name, log.start, err)
		}
	}
	if err := p.finish(); err != nil {
		return nil, fmt.Errorf("replay %s: end at byte %d: %w", name, log.offset, err)
	}
	p.set.Tail = log.offset + int64(len(log.block)) - p.set.ManifestBytes
	return &p.set, nil
}

// replay is the state between two edits.
type replay struct {
	set      Set
	families map[uint32]*family
	group    []*edit // atomic group that is not complete yet
	logged   bool    // some edit gave a log number
	sequence bool    // some edit gave a last sequence number
}

// family is a column family being replayed.
type family struct {
	Family
	tables map[uint64]*Table
	blobs  map[uint64]*blob
	linked int // tables that refer to a blob file
}

// blob is a blob file being replayed.
type blob struct {
	Blob
	links int // tables whose OldestBlob it is
}

func newFamily(id uint32, name string) *family {
	return &family{
		Family: Family{ID: id, Name: name},
		tables: map[uint64]*Table{},
		blobs:  map[uint64]*blob{},
	}
}

// record takes in the record that ends at the given offset. The edits of an
// atomic group come into force together, with the last of them.
func (p *replay) record(record []byte, end int64) error {
	e, err := decode(record)
	if err != nil {
		return err
	}
	if err := p.checkGroup(e); err != nil {
		return err
	}
	p.group = append(p.group, e)
	if e.remaining > 0 {
		return nil
	}
	for _, e := range p.group {
		if err := p.apply(e); err != nil {
			return err
		}
	}
	p.group = p.group[:0]
	p.set.ManifestBytes = end
	return nil
}

func (p *replay) checkGroup(e *edit) error {
	if len(p.group) == 0 {
		return nil
	}
	if due := p.group[len(p.group)-1].remaining - 1; !e.grouped || e.remaining != due {
		return fmt.Errorf("%w: atomic group lacks its next edit", ErrCorrupt)
	}
	return nil
}

func (p *replay) apply(e *edit) error {
	f, known := p.families[e.family]
	switch {
	case e.add && known:
		return fmt.Errorf("%w: column family %d added twice", ErrCorrupt, e.family)
	case e.add:
		f = newFamily(e.family, e.name)
		p.families[e.family] = f
	case !known:
		return fmt.Errorf("%w: unknown column family %d", ErrCorrupt, e.family)
	case e.drop && e.family == 0:
		return fmt.Errorf("%w: default column family dropped", ErrCorrupt)
	case e.drop:
		delete(p.families, e.family)
	}
	p.applyNumbers(e)
	return f.apply(e)
}

func (p *replay) applyNumbers(e *edit) {
	if e.prevLog != nil {
		p.set.PrevLog = *e.prevLog
	}
	if e.nextFile != nil {
		p.set.NextFile = *e.nextFile
	}
	if e.lastSequence != nil {
		p.set.LastSequence, p.sequence = *e.lastSequence, true
	}
	if e.minLog != nil {
		p.set.MinLogToKeep = max(p.set.MinLogToKeep, *e.minLog)
	}
	p.set.MaxFamily = max(p.set.MaxFamily, e.maxFamily)
	if e.add {
		p.set.MaxFamily = max(p.set.MaxFamily, e.family)
	}
	p.logged = p.logged || e.logNumber != nil
}

// apply changes the family. Blob files come first because tables refer to them.
func (f *family) apply(e *edit) error {
	if e.comparator != "" {
		f.Comparator = e.comparator
	}
	if e.logNumber != nil {
		f.LogNumber = max(f.LogNumber, *e.logNumber) // an older one is void
	}
	f.explain(e)
	for _, b := range e.blobs {
		if _, known := f.blobs[b.Number]; known {
			return fmt.Errorf("%w: %s added twice", ErrCorrupt, b.Name())
		}
		f.blobs[b.Number] = &blob{Blob: b}
	}
	for _, g := range e.garbage {
		if err := f.discard(g); err != nil {
			return err
		}
	}
	linked := f.linked
	oldest, err := f.remove(e.deleted)
	if err == nil {
		err = f.insert(e.tables)
	}
	if linked > 0 && f.linked == 0 {
		f.release(oldest)
	}
	return err
}

func (f *family) discard(g garbage) error {
	b, known := f.blobs[g.number]
	if !known {
		return fmt.Errorf("%w: garbage in unknown %s", ErrCorrupt, fileName(g.number, ".blob"))
	}
	if g.count > b.Count-b.GarbageCount || g.bytes > b.Bytes-b.GarbageBytes {
		return fmt.Errorf("%w: more garbage than content in %s", ErrCorrupt, b.Name())
	}
	b.GarbageCount += g.count
	b.GarbageBytes += g.bytes
	return nil
}

// remove takes tables away, and returns the oldest blob file that they refer to.
func (f *family) remove(places []place) (oldest uint64, err error) {
	oldest = math.MaxUint64
	for _, at := range places {
		t, known := f.tables[at.number]
		if !known || t.Level != at.level {
			return 0, fmt.Errorf("%w: %s deleted from level %d, where it is not", ErrCorrupt, fileName(at.number, ".sst"), at.level)
		}
		delete(f.tables, at.number)
		if b := f.blobs[t.OldestBlob]; b != nil {
			b.links--
			f.linked--
			oldest = min(oldest, b.Number)
		}
	}
	return oldest, nil
}

func (f *family) insert(tables []*Table) error {
	for _, t := range tables {
		if old, known := f.tables[t.Number]; known {
			return fmt.Errorf("%w: %s added to level %d while on level %d", ErrCorrupt, t.Name(), t.Level, old.Level)
		}
		f.tables[t.Number] = t
		if b := f.blobs[t.OldestBlob]; b != nil {
			b.links++
			f.linked++
		}
	}
	return nil
}

// release forgets the blob files that RocksDB has let go: those below the
// oldest one that a table refers to, and those of nothing but garbage. A table
// may refer to any blob file from its oldest one on.
//
// While no table refers to a blob file, RocksDB 7.8 keeps what it has; so when
// the last such table goes, the files below its oldest must be forgotten there
// and then, or they would come back to life.
func (f *family) release(oldest uint64) {
	maps.DeleteFunc(f.blobs, func(number uint64, b *blob) bool {
		return b.links == 0 && (number < oldest || b.GarbageCount >= b.Count)
	})
}

// finish checks what can only be known at the end, and fills the set.
func (p *replay) finish() error {
	if !p.logged || !p.sequence || p.set.NextFile == 0 {
		return fmt.Errorf("%w: no log number, next file number or last sequence number", ErrCorrupt)
	}
	for _, id := range slices.Sorted(maps.Keys(p.families)) {
		f := p.families[id]
		f.finish()
		p.set.Families = append(p.set.Families, f.Family)
	}
	return p.set.check()
}

func (f *family) finish() {
	oldest := uint64(math.MaxUint64)
	for _, b := range f.blobs {
		if b.links > 0 {
			oldest = min(oldest, b.Number)
		}
	}
	if f.linked == 0 {
		oldest = 0
	}
	f.release(oldest)
	for _, b := range f.blobs {
		f.Blobs = append(f.Blobs, b.Blob)
	}
	slices.SortFunc(f.Blobs, func(a, b Blob) int { return cmp.Compare(a.Number, b.Number) })
	tables := slices.SortedFunc(maps.Values(f.tables), func(a, b *Table) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Number, b.Number))
	})
	f.Tables = slices.Grow(f.Tables, len(tables))
	for _, t := range tables {
		f.Tables = append(f.Tables, *t)
	}
}

// check refuses what RocksDB would open all the same and then lose data over:
// it deletes files whose numbers it has not given out, and it does not miss a
// blob file before a value in it is read.
func (s *Set) check() error {
	for _, f := range s.Families {
		for _, t := range f.Tables {
			if t.Number >= s.NextFile {
				return s.notBelow(t.Name())
			}
			_, found := slices.BinarySearchFunc(f.Blobs, t.OldestBlob, func(b Blob, n uint64) int { return cmp.Compare(b.Number, n) })
			if t.OldestBlob != 0 && !found {
				return fmt.Errorf("%w: %s refers to missing %s", ErrCorrupt, t.Name(), fileName(t.OldestBlob, ".blob"))
			}
		}
		for _, b := range f.Blobs {
			if b.Number >= s.NextFile {
				return s.notBelow(b.Name())
			}
		}
	}
	return nil
}

func (s *Set) notBelow(name string) error {
	return fmt.Errorf("%w: %s is not below the next file number %d", ErrCorrupt, name, s.NextFile)
}
