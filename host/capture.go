package host

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zeebo/blake3"
	"golang.org/x/sync/errgroup"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// capture is the checkpoint of a session: RocksDB's files at one instant, as the
// directory holds them and as RocksDB's own MANIFEST describes them.
type capture struct {
	dir      string
	families []catalog.Family
	options  string
	files    []capturedFile // the index is the file id of the ABI
	bounds   []boundKey     // of the tables
	remove   func() error   // of the directory
	keep     func(name string, note []byte) error
}

// capturedFile is a file as the guest sees it and as the manifest will list it;
// the object is still missing.
type capturedFile struct {
	record abi.File
	entry  catalog.File
}

// readCapture lists the checkpoint in dir. It fails with [abi.EINCOMPLETE] when
// the directory does not hold exactly the files that the MANIFEST calls live:
// RocksDB linked the files by its own list, so the two readings check each other.
func readCapture(dir string, origin blobOrigin) (*capture, error) {
	set, found, err := readFiles(dir)
	if err != nil {
		return nil, fmt.Errorf("read checkpoint: %w", err)
	}
	if set.Tail > 0 { // a live MANIFEST may end so, one that was copied whole may not
		return nil, fmt.Errorf("read checkpoint: the last %d bytes of its MANIFEST are no whole edit: %w", set.Tail, abi.ECORRUPT)
	}
	return newCapture(dir, set, found, origin)
}

// readFiles reads what is in a directory, and what its MANIFEST says of it.
func readFiles(dir string) (set *version.Set, found []fs.FileInfo, err error) {
	var g errgroup.Group // an application may be waiting
	g.Go(func() (err error) { found, err = listFiles(dir); return err })
	g.Go(func() (err error) { set, err = version.Read(dir); return err })
	err = g.Wait()
	return set, found, err
}

// newCapture demands that the files found in dir are those of the live set.
func newCapture(dir string, set *version.Set, found []fs.FileInfo, origin blobOrigin) (*capture, error) {
	c := &capture{dir: dir, files: make([]capturedFile, 0, len(found))}
	for _, f := range set.Families {
		if err := checkFamilyName(f.Name); err != nil {
			return nil, err
		}
	}
	live := c.describe(set)
	for _, f := range found {
		if err := c.add(f, live, origin); err != nil {
			return nil, err
		}
	}
	if len(live) > 0 {
		return nil, fmt.Errorf("checkpoint lacks live files %s: %w", names(live), abi.EINCOMPLETE)
	}
	c.number()
	return c, nil
}

// listFiles describes what is in a directory, in no order.
func listFiles(dir string) ([]fs.FileInfo, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdir(-1)
}

// describe turns the live set into manifest entries by file name.
func (c *capture) describe(set *version.Set) map[string]*catalog.File {
	live := make(map[string]*catalog.File)
	for _, family := range set.Families {
		c.families = append(c.families, catalog.Family{ID: family.ID, Name: family.Name, Comparator: family.Comparator})
		for _, t := range family.Tables {
			live[t.Name()] = tableEntry(family.Name, t)
			c.bounds = append(c.bounds, boundKeys(family.Name, t)...)
		}
		for _, b := range family.Blobs {
			live[b.Name()] = &catalog.File{Family: family.Name, Number: b.Number, Level: -1, Cause: b.Cause.String()}
		}
	}
	return live
}

// crc32cChecksum is RocksDB's name for the file checksum that rocksnap computes
// as well, so that it notices a table that rotted on the database's own disk.
const crc32cChecksum = "FileChecksumCrc32c"

// tableEntry describes a table. Its unique id names its content wherever the
// file travels; a file number does not, since two forks of one database hand out
// the same numbers. An ingested table may be rewritten once, in place, when it
// is given a sequence number, hence that and the size beside the id.
func tableEntry(family string, t version.Table) *catalog.File {
	e := &catalog.File{
		Family: family, Number: t.Number, Level: t.Level, Size: t.Size,
		SmallestKey: t.Smallest.User, LargestKey: t.Largest.User,
		SmallestSeq: t.SmallestSeq, LargestSeq: t.LargestSeq, OldestBlob: t.OldestBlob, Cause: t.Cause.String(),
	}
	if t.UniqueID == [2]uint64{} {
		return e // written by a RocksDB before 7.3: never recognised, always uploaded
	}
	e.Identity = fmt.Sprintf("table:%016x%016x:%d:%d", t.UniqueID[1], t.UniqueID[0], t.Size, t.LargestSeq)
	if t.ChecksumFunc == crc32cChecksum {
		e.Identity += ":" + hex.EncodeToString(t.Checksum)
	}
	return e
}

func (c *capture) add(f fs.FileInfo, live map[string]*catalog.File, origin blobOrigin) error {
	kind, number, ok := version.FileKind(f.Name())
	if !ok || !f.Mode().IsRegular() {
		return fmt.Errorf("checkpoint holds %q, which is no file of RocksDB: %w", f.Name(), abi.EINCOMPLETE)
	}
	entry, isLive := live[f.Name()]
	delete(live, f.Name())
	immutable := kind == abi.KindTable || kind == abi.KindBlob
	switch {
	case immutable && !isLive:
		return fmt.Errorf("checkpoint holds %s, which its MANIFEST does not: %w", f.Name(), abi.EINCOMPLETE)
	case kind == abi.KindTable && entry.Size != f.Size():
		return fmt.Errorf("%s has %d bytes, its MANIFEST says %d: %w", f.Name(), f.Size(), entry.Size, abi.ECORRUPT)
	case !immutable:
		entry = &catalog.File{Level: -1}
	}
	entry.Name, entry.Kind, entry.Number, entry.Size = f.Name(), kind, number, f.Size()
	if err := c.look(entry, f, origin); err != nil {
		return err
	}
	c.files = append(c.files, capturedFile{entry: *entry})
	return nil
}

// look reads what has to be read of some files.
func (c *capture) look(entry *catalog.File, f fs.FileInfo, origin blobOrigin) (err error) {
	switch entry.Kind {
	case abi.KindBlob:
		entry.Identity, err = origin.identify(filepath.Join(c.dir, f.Name()), entry.Number, f)
	case abi.KindOptions:
		err = c.readOptions(f.Name())
	}
	return err
}

func (c *capture) readOptions(name string) error {
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	c.options = string(text)
	for i := range c.families {
		c.families[i].MergeOperator = mergeOperator(c.options, c.families[i].Name)
	}
	return nil
}

// number sorts the files and gives them their ids: kind by kind, oldest first.
func (c *capture) number() {
	slices.SortFunc(c.files, func(a, b capturedFile) int {
		return cmp.Or(cmp.Compare(a.entry.Kind, b.entry.Kind), cmp.Compare(a.entry.Number, b.entry.Number))
	})
	ids := make(map[string]uint32, len(c.families))
	for _, f := range c.families {
		ids[f.Name] = f.ID
	}
	for i := range c.files {
		c.files[i].record = fileRecord(uint32(i), &c.files[i].entry, ids)
	}
}

// fileRecord is a manifest entry as the guest sees it.
func fileRecord(id uint32, e *catalog.File, families map[string]uint32) abi.File {
	r := abi.File{
		ID: id, Kind: e.Kind, Size: uint64(e.Size), Number: e.Number, Family: abi.NoFamily, Level: int32(e.Level),
		SmallestSeq: e.SmallestSeq, LargestSeq: e.LargestSeq, OldestBlob: e.OldestBlob,
	}
	if family, ok := families[e.Family]; ok && e.Family != "" {
		r.Family = family
	}
	if e.Kind == abi.KindTable || e.Kind == abi.KindBlob {
		r.Flags |= abi.FileImmutable
	}
	if e.Identity != "" {
		r.Flags |= abi.FileIdentified
	}
	return r
}

// markBase flags the files that a base shares, except for what is to be stored anew.
func (s *session) markBase() {
	wasteful := s.wasteful()
	for i := range s.capture.files {
		f := &s.capture.files[i]
		if base := f.in(s.shared); base != nil && !wasteful[base.Object] && (s.link || !base.Linked) {
			f.record.Flags |= abi.FileInBase
		}
	}
}

// in returns the file of a base that holds the same, or nil.
func (f *capturedFile) in(shared map[string]*catalog.File) *catalog.File {
	base := shared[f.entry.Identity]
	if base == nil || base.Size != f.entry.Size {
		return nil
	}
	return base
}

// blobOrigin knows where blob files come from. RocksDB gives them no unique id,
// so their identity is the database that wrote them, the number it gave, the
// time it was done, and the end of the file. Within one database a number is
// never used twice; the time tells copies of a database apart, which go on with
// one IDENTITY and may well write files of one size with the same end.
type blobOrigin struct {
	database  string            // IDENTITY of the database at hand, "" when it has none yet
	inherited map[uint64]string // number -> writer, for files that came with a restore
}

// blobTail is how much of the end of a blob file enters its identity. The last
// record carries checksums over its key and value, so two files that were
// written apart differ here as a rule.
const blobTail = 64 << 10

// identify returns the identity of a blob file, or "" when nobody knows who wrote
// it: then it is never recognised, always uploaded.
func (o blobOrigin) identify(path string, number uint64, info fs.FileInfo) (string, error) {
	writer, ok := o.inherited[number]
	switch {
	case ok:
	case o.database == "":
		return "", nil
	default:
		writer = fmt.Sprintf("%s@%x", o.database, info.ModTime().UnixNano())
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("read checkpoint: %w", err)
	}
	defer f.Close()
	hash := blake3.New()
	tail := io.NewSectionReader(f, max(0, info.Size()-blobTail), blobTail)
	if _, err := io.Copy(hash, tail); err != nil {
		return "", fmt.Errorf("read checkpoint: %w", err)
	}
	return fmt.Sprintf("blob:%s:%d:%d:%x", writer, number, info.Size(), hash.Sum(nil)[:16]), nil
}

// blobWriter returns the writer named in a blob file's identity.
func blobWriter(identity string) string {
	parts := strings.Split(identity, ":")
	if len(parts) != 5 {
		return ""
	}
	return parts[1]
}

// mergeOperator finds the name of a column family's merge operator in the text
// of an OPTIONS file; "" when it has none.
func mergeOperator(options, family string) string {
	name := familyOption(options, family, "merge_operator")
	if name == "nullptr" {
		return ""
	}
	// Configurable operators are written as {id=Name;...}.
	name = strings.TrimPrefix(strings.Trim(name, "{}"), "id=")
	name, _, _ = strings.Cut(name, ";")
	return name
}

// familySection begins what the text of an OPTIONS file says of a column family.
func familySection(family string) string { return fmt.Sprintf("[CFOptions %q]", family) }

// familyOption finds an option of a column family in the text of an OPTIONS file;
// "" when it is not there.
func familyOption(options, family, name string) string {
	_, section, _ := strings.Cut(options, familySection(family))
	section, _, _ = strings.Cut(section, "\n[")
	for line := range strings.Lines(section) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			return value
		}
	}
	return ""
}

func names[V any](set map[string]V) string {
	list := make([]string, 0, len(set))
	for name := range set {
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
