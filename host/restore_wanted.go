package host

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks/surgery"
	"github.com/rocksnap/rocksnap/host/sink"
)

// wanted is what of its parts goes into the database that a restore makes.
type wanted struct {
	families []sink.Family
	count    uint32         // of key groups; 0 when the parts declare none
	groups   keygroup.Range // that are wanted, all of them in one of the parts
	keys     KeyRange
}

// choose finds out what is wanted, and refuses parts that do not go together. The
// parts must be revealed.
func (w *restoration) choose() (err error) {
	if w.wanted.families, err = uniteFamilies(w.parts); err == nil {
		err = w.wanted.chooseFamilies(w.options.Families)
	}
	if err == nil {
		err = w.agreeOnTTL()
	}
	if err == nil {
		w.wanted.keys = w.options.Keys
		err = w.chooseGroups()
	}
	if err != nil {
		return problem(CodeUsage, fmt.Errorf("restore: %w", err), HintOf(err))
	}
	return nil
}

// uniteFamilies lists the column families of all parts.
func uniteFamilies(parts []*part) (families []sink.Family, err error) {
	for _, p := range parts {
		for _, f := range p.Families {
			i := slices.IndexFunc(families, func(have sink.Family) bool { return have.Name == f.Name })
			if i < 0 {
				families = append(families, sink.Family{Name: f.Name, Comparator: f.Comparator})
			} else if families[i].Comparator != f.Comparator {
				return nil, fmt.Errorf("column family %q is in the order of %s in one snapshot and of %s in another", f.Name, families[i].Comparator, f.Comparator)
			}
		}
	}
	return families, nil
}

// families returns the wanted column families as the parts describe them.
func (w *restoration) families() (list []catalog.Family) {
	for _, p := range w.parts {
		for _, f := range p.Families {
			if w.wanted.family(f.Name) {
				list = append(list, f)
			}
		}
	}
	return list
}

// agreeOnTTL refuses parts whose records expire by different rules: in one column
// family there is one.
func (w *restoration) agreeOnTTL() error {
	known := make(ttls)
	for _, f := range w.families() {
		have, twice := known[f.Name]
		if twice && ((have == nil) != (f.TTL == nil) || have != nil && have.Format != f.TTL.Format) {
			return fmt.Errorf("records of column family %q expire in one of the snapshots by another rule than in the others", f.Name)
		}
		known[f.Name] = f.TTL
	}
	return nil
}

// chooseFamilies leaves those that are asked for; nil asks for all.
func (n *wanted) chooseFamilies(names []string) error {
	if names == nil {
		return nil
	}
	var chosen []sink.Family
	for _, name := range names {
		i := slices.IndexFunc(n.families, func(f sink.Family) bool { return f.Name == name })
		if i < 0 {
			return fmt.Errorf("column family %q is in no snapshot that is restored", name)
		}
		if f := n.families[i]; !slices.Contains(chosen, f) {
			chosen = append(chosen, f)
		}
	}
	if len(chosen) == 0 {
		return errors.New("no column family is asked for")
	}
	n.families = chosen
	return nil
}

// chooseGroups demands that each key group that is wanted is in exactly one part.
// A database that lacks some, or has some twice, would look like any other.
func (w *restoration) chooseGroups() error {
	if err := w.countGroups(); err != nil {
		return err
	}
	n := &w.wanted
	if n.count == 0 {
		return nil
	}
	sorted := slices.SortedFunc(slices.Values(w.parts), func(a, b *part) int { return cmp.Compare(a.KeyGroups.First, b.KeyGroups.First) })
	n.groups = keygroup.Range{First: sorted[0].KeyGroups.First, Last: sorted[0].KeyGroups.Last}
	for _, p := range sorted {
		n.groups.Last = max(n.groups.Last, p.KeyGroups.Last)
	}
	if asked := w.options.KeyGroups; asked != nil {
		if err := asked.Check(n.count); err != nil {
			return err
		}
		n.groups = *asked
	}
	return n.cover(sorted)
}

// countGroups sets the number of key groups, which must be that of all parts. Where
// none declares any it stays 0.
func (w *restoration) countGroups() error {
	first := w.parts[0]
	for _, p := range w.parts {
		switch {
		case p.KeyGroups == nil && w.options.KeyGroups != nil:
			return &Problem{CodeUsage, fmt.Errorf("snapshot %s declares no key groups", p.ID), "name a range of keys instead"}
		case (p.KeyGroups == nil) != (first.KeyGroups == nil):
			return fmt.Errorf("one of snapshots %s and %s declares no key groups", first.ID, p.ID)
		case p.KeyGroups == nil:
			continue
		case p.KeyGroups.Count != first.KeyGroups.Count:
			return fmt.Errorf("snapshot %s has %d key groups and %s has %d", first.ID, first.KeyGroups.Count, p.ID, p.KeyGroups.Count)
		}
	}
	if first.KeyGroups != nil {
		w.wanted.count = first.KeyGroups.Count
	}
	return nil
}

// proveApart refuses to read the records of several parts of which nothing says
// that they hold different keys.
func (w *restoration) proveApart() error {
	if len(w.parts) < 2 || w.wanted.count > 0 {
		return nil
	}
	return problem(CodeFailed, fmt.Errorf("snapshot %s declares no key groups, so nothing shows that no key is in another one too", w.parts[0].ID), "restore each of them by itself")
}

// cover demands that parts, sorted by their first key group, make up the groups.
func (n *wanted) cover(sorted []*part) error {
	next, before := n.groups.First, (*part)(nil)
	for _, p := range sorted {
		held, some := n.groupsOf(p.KeyGroups)
		switch {
		case !some:
			continue
		case before != nil && held.First < next:
			both := keygroup.Range{First: held.First, Last: min(held.Last, next-1)}
			return fmt.Errorf("snapshots %s and %s both hold key groups %s", before.ID, p.ID, both)
		case held.First > next:
			return fmt.Errorf("no snapshot that is restored holds key groups %s", keygroup.Range{First: next, Last: held.First - 1})
		}
		next, before = held.Last+1, p
	}
	if next <= n.groups.Last {
		return fmt.Errorf("no snapshot that is restored holds key groups %s", keygroup.Range{First: next, Last: n.groups.Last})
	}
	return nil
}

// groupsOf returns which of some key groups are wanted, and false for none. All
// are, where the parts declare none.
func (n *wanted) groupsOf(held *catalog.KeyGroups) (keygroup.Range, bool) {
	if n.count == 0 || held == nil {
		return n.groups, true
	}
	both := keygroup.Range{First: max(held.First, n.groups.First), Last: min(held.Last, n.groups.Last)}
	return both, both.First <= both.Last
}

// family tells whether a column family is wanted.
func (n *wanted) family(name string) bool {
	return slices.ContainsFunc(n.families, func(f sink.Family) bool { return f.Name == name })
}

// extent is how much of a file or of a part is wanted.
type extent int

const (
	nothing extent = iota
	something
	everything
)

// ofFile tells how much of a canonical file is wanted.
func (n *wanted) ofFile(f *File) extent {
	if f.Kind != abi.KindCanonical || f.Records == 0 || !n.family(f.Family) {
		return nothing
	}
	return n.ofGroups(&catalog.KeyGroups{First: f.FirstGroup, Last: f.LastGroup})
}

// ofGroups tells how much of what some key groups hold is wanted.
func (n *wanted) ofGroups(held *catalog.KeyGroups) extent {
	both, some := n.groupsOf(held)
	switch {
	case !some:
		return nothing
	case n.keys.From != nil || n.keys.To != nil:
		return something
	case n.count > 0 && (both.First > held.First || both.Last < held.Last):
		return something
	}
	return everything
}

// expected returns about how many bytes of a file are wanted.
func (w *restoration) expected(p *part, f *File) int64 {
	n := &w.wanted
	switch {
	case f.Kind == abi.KindStream, n.ofGroups(p.KeyGroups) == nothing, f.Family != "" && !n.family(f.Family):
		return 0
	case f.Kind == abi.KindTable && f.LargestKey != nil && !touches(f, w.borders(p)):
		return 0
	case f.Kind == abi.KindCanonical && n.ofFile(f) == something:
		held := &catalog.KeyGroups{First: f.FirstGroup, Last: f.LastGroup}
		both, _ := n.groupsOf(held)
		return f.Size * int64(both.Last-both.First+1) / int64(f.LastGroup-f.FirstGroup+1)
	}
	return f.Size
}

// rewritten returns about how many bytes are written beside those that are fetched:
// what is read of a native part record by record, and tables across a border.
func (w *restoration) rewritten() (total int64) {
	byRecords := w.refusesFiles() != "" || w.options.Method == ByRecords
	for _, p := range w.parts {
		for i := range p.Contents {
			f := &p.Contents[i]
			isNative := f.Kind == abi.KindTable || f.Kind == abi.KindBlob
			if isNative && (byRecords || len(w.parts) > 1 && f.Kind == abi.KindTable && !inside(f, w.borders(p))) {
				total += w.expected(p, f)
			}
		}
	}
	return total
}

// inside says whether a table holds only keys of a range.
func inside(f *File, r surgery.Range) bool {
	return bytes.Compare(f.SmallestKey, r.Lower) >= 0 && (r.Upper == nil || bytes.Compare(f.LargestKey, r.Upper) < 0)
}

// touches says whether a table may hold keys of a range.
func touches(f *File, r surgery.Range) bool {
	return bytes.Compare(f.LargestKey, r.Lower) >= 0 && (r.Upper == nil || bytes.Compare(f.SmallestKey, r.Upper) < 0)
}

// borders returns the keys that a part may give to a database that is made of
// files. One of several parts keeps to the key groups that it declares: a database
// that was cut may still hold traces of what was cut off.
func (w *restoration) borders(p *part) surgery.Range {
	lower, upper := w.wanted.bounds(p)
	if len(w.parts) > 1 && w.wanted.count > 0 {
		groups, _ := w.wanted.groupsOf(p.KeyGroups)
		from, to := groups.Bounds(w.wanted.count)
		if bytes.Compare(from, lower) > 0 {
			lower = from
		}
		if upper == nil || to != nil && bytes.Compare(to, upper) < 0 {
			upper = to
		}
	}
	return surgery.Range{Lower: lower, Upper: upper}
}

// bounds returns the keys that are wanted of a part: from lower up to, but
// without, upper, which is nil for an open end.
func (n *wanted) bounds(p *part) (lower, upper []byte) {
	if groups, _ := n.groupsOf(p.KeyGroups); n.count > 0 && n.ofGroups(p.KeyGroups) != everything {
		lower, upper = groups.Bounds(n.count)
	}
	if bytes.Compare(n.keys.From, lower) > 0 {
		lower = n.keys.From
	}
	if to := n.keys.To; to != nil && (upper == nil || bytes.Compare(to, upper) < 0) {
		upper = to
	}
	return lower, upper
}

// lengthsBytes is what the two lengths before a packed record take.
const lengthsBytes = 8

// cut yields what packed records hold from lower up to, but without, upper. In a
// foreign order of keys that need not be in one piece.
func cut(packed, lower, upper []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		start, at := 0, 0
		for key, value := range canonical.Records(packed) {
			end := at + lengthsBytes + len(key) + len(value)
			if inside := bytes.Compare(key, lower) >= 0 && (upper == nil || bytes.Compare(key, upper) < 0); !inside {
				if at > start && !yield(packed[start:at]) {
					return
				}
				start = end
			}
			at = end
		}
		if at > start {
			yield(packed[start:at])
		}
	}
}
