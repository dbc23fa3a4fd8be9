package catalog

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/rocksnap/rocksnap/abi"
)

// Validate checks a manifest against itself: names are plain and unique,
// digests and object names are well-formed, counts and sums agree with the
// files. It does not look at what Commit sets. The error names what is wrong.
func (m *Manifest) Validate() error {
	if err := m.Summary.validate(); err != nil {
		return err
	}
	if (m.Keys == "") != (m.Sealed == nil) {
		return errors.New("it is half encrypted")
	}
	return m.validateDetail()
}

func (m *Manifest) validateDetail() error {
	if err := validateFamilies(m.Families); err != nil {
		return err
	}
	if err := m.validateKeys(); err != nil {
		return err
	}
	if g := m.KeyGroups; g != nil && (g.First > g.Last || g.Last >= g.Count) {
		return fmt.Errorf("key groups %d-%d are not a range of %d", g.First, g.Last, g.Count)
	}
	if m.ContentDigest != "" && !isDigest(m.ContentDigest) {
		return fmt.Errorf("content digest %q is malformed", m.ContentDigest)
	}
	return m.validateFiles()
}

func (s *Summary) validate() error {
	switch {
	case !isUUID(s.ID):
		return fmt.Errorf("id %q is no UUID", s.ID)
	case !isName(s.Database):
		return fmt.Errorf("database name %q is malformed", s.Database)
	case !isKind(s.Kind):
		return fmt.Errorf("kind %q is unknown", s.Kind)
	case s.Strategy.Name == "":
		return errors.New("strategy has no name")
	case s.Strategy.Module != "" && !isDigest(s.Strategy.Module):
		return fmt.Errorf("module digest %q is malformed", s.Strategy.Module)
	case !utf8.ValidString(s.Strategy.FallbackFor + s.Strategy.FallbackReason):
		return errors.New("reason of a fallback is not UTF-8")
	case s.Base != "" && !isUUID(s.Base):
		return fmt.Errorf("base %q is no UUID", s.Base)
	case s.Group != "" && CheckGroup(s.Group) != nil:
		return fmt.Errorf("group %q is malformed", s.Group)
	case s.Files < 0 || s.BytesFull < 0 || s.BytesNew < 0 || s.BytesReused < 0:
		return errors.New("a count is negative")
	}
	return nil
}

func isKind(kind string) bool {
	switch kind {
	case KindNative, KindCanonical, KindCustom, KindEmpty:
		return true
	}
	return false
}

// validateKeys refuses names that JSON cannot carry: it would replace their bytes
// without a word, and two of them might become one.
func (m *Manifest) validateKeys() error {
	names := slices.Concat(slices.Collect(maps.Keys(m.State)), slices.Collect(maps.Keys(m.Meta)),
		slices.Collect(maps.Keys(m.Labels)), slices.Collect(maps.Values(m.Labels)))
	for _, f := range m.Families {
		names = append(names, f.Name, f.Comparator, f.MergeOperator)
	}
	for _, name := range names {
		if !utf8.ValidString(name) {
			return fmt.Errorf("name %q is not UTF-8", name)
		}
	}
	return nil
}

func validateFamilies(families []Family) error {
	names := make(map[string]bool, len(families))
	for i, f := range families {
		if i > 0 && f.ID <= families[i-1].ID {
			return fmt.Errorf("column family %q is out of id order", f.Name)
		}
		if names[f.Name] {
			return fmt.Errorf("column family %q is there twice", f.Name)
		}
		names[f.Name] = true
	}
	return nil
}

// validateFiles checks each file, and the sums of the summary.
func (m *Manifest) validateFiles() error {
	names := make(map[string]bool, len(m.Contents))
	families := map[string]bool{"": true}
	for _, f := range m.Families {
		families[f.Name] = true
	}
	for i := range m.Contents {
		f := &m.Contents[i]
		if err := f.validate(); err != nil {
			return fmt.Errorf("file %q: %w", f.Name, err)
		}
		if names[f.Name] {
			return fmt.Errorf("file %q: is there twice", f.Name)
		}
		if !families[f.Family] { // a restore would pass over it
			return fmt.Errorf("file %q: column family %q is not in the list of them", f.Name, f.Family)
		}
		if f.Reused && m.Base == "" {
			return fmt.Errorf("file %q: is reused without a base", f.Name)
		}
		names[f.Name] = true
	}
	if err := m.validatePacks(); err != nil {
		return err
	}
	sum := *m
	sum.SumUp()
	return m.Summary.agree(&sum.Summary)
}

// validatePacks demands that files of one object agree on what it is.
func (m *Manifest) validatePacks() error {
	objects := make(map[string]*File)
	for i := range m.Contents {
		f := &m.Contents[i]
		g := objects[f.Object]
		if g != nil && (f.ObjectSize() != g.ObjectSize() || f.ObjectCRC32C() != g.ObjectCRC32C()) {
			return fmt.Errorf("file %q: object %s is another than that of %q", f.Name, f.Object, g.Name)
		}
		objects[f.Object] = f
	}
	return nil
}

// SumUp sets the counts of the Summary from the files.
func (m *Manifest) SumUp() {
	s := &m.Summary
	s.Files, s.Records = len(m.Contents), 0
	s.BytesFull, s.BytesNew, s.BytesReused, s.BytesShared = 0, 0, 0, 0
	for i := range m.Contents {
		f := &m.Contents[i]
		s.BytesFull += f.Size
		s.Records += f.Records
		if f.Reused {
			s.BytesReused += f.Size
		} else {
			s.BytesNew += f.Size
		}
		if f.Scope == abi.ScopeShared {
			s.BytesShared += f.Size
		}
	}
}

func (s *Summary) agree(sum *Summary) error {
	for _, c := range []struct {
		what      string
		says, sum int64
	}{
		{"files", int64(s.Files), int64(sum.Files)},
		{"bytes", s.BytesFull, sum.BytesFull},
		{"new bytes", s.BytesNew, sum.BytesNew},
		{"reused bytes", s.BytesReused, sum.BytesReused},
		{"shared bytes", s.BytesShared, sum.BytesShared},
		{"records", int64(s.Records), int64(sum.Records)},
	} {
		if c.says != c.sum {
			return fmt.Errorf("summary says %d %s, the files make %d", c.says, c.what, c.sum)
		}
	}
	return nil
}

// validate checks one file. A reused object must be shared: a private one is
// removed together with the only snapshot that names it.
func (f *File) validate() error {
	switch {
	case !isPlain(f.Name):
		return errors.New("name is not a plain file name")
	case f.Kind < abi.KindTable || f.Kind > abi.KindStream:
		return fmt.Errorf("kind %d is unknown", f.Kind)
	case f.Reused && f.Scope != abi.ScopeShared:
		return errors.New("a private object is reused")
	case f.Size < 0 || f.Stored < 0:
		return errors.New("size is negative")
	case f.Segment != nil && (f.Segment.Offset < 0 || f.Segment.Offset > f.Segment.Pack-f.StoredSize()):
		return errors.New("segment is outside of its pack")
	case f.Level < -1:
		return errors.New("level is malformed")
	case f.FirstGroup > f.LastGroup:
		return errors.New("key groups are out of order")
	case !isDigest(f.Digest):
		return fmt.Errorf("digest %q is malformed", f.Digest)
	case !wellFormed(f.Object):
		return fmt.Errorf("object name %q is malformed", f.Object)
	}
	return nil
}

// isPlain says whether a name stays within the directory that it is put in, on
// every operating system.
func isPlain(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 &&
		!strings.ContainsAny(name, "/\\\x00")
}
