package host

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// seal proves from the ledger that the snapshot is complete and writes its
// manifest. What the strategy says of itself does not enter into it.
func (s *session) seal() (*catalog.Manifest, error) {
	m := s.provenance()
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	if s.ledger.open > 0 {
		return nil, fmt.Errorf("%d streams were not closed: %w", s.ledger.open, abi.EINCOMPLETE)
	}
	var err error
	switch {
	case s.capture != nil:
		err = s.sealNative(m)
	case s.view != nil:
		err = s.sealRecords(m)
	default:
		err = fmt.Errorf("neither a checkpoint nor a view was taken: %w", abi.EINCOMPLETE)
	}
	if err != nil {
		return nil, err
	}
	s.host.declareTTL(m.Families)
	m.Contents = append(m.Contents, s.ledger.streams...)
	m.SumUp()
	return m, nil
}

// provenance fills in everything that does not depend on the strategy's work.
func (s *session) provenance() *catalog.Manifest {
	m := &catalog.Manifest{
		Summary: catalog.Summary{
			ID:       s.id,
			Database: s.host.name,
			Lineage:  s.lineage.id,
			Created:  s.started,
			Strategy: s.origin(),
		},
		Detail: catalog.Detail{
			RocksDB:          rocks.Version(),
			DatabaseIdentity: s.lineage.origin.database,
			State:            s.committed,
			Known:            s.news.known,
			Deaf:             s.news.deaf,
			Meta:             s.meta,
		},
	}
	if s.state != nil {
		m.State = s.state
	}
	if s.base != nil {
		m.Base = s.base.ID
	}
	if g := s.host.groups; g != nil {
		m.KeyGroups = &catalog.KeyGroups{Count: g.Count, First: g.First, Last: g.Last}
	}
	return m
}

// sealNative demands that every file of the checkpoint is stored.
func (s *session) sealNative(m *catalog.Manifest) error {
	var missing []string
	for id, f := range s.ledger.files {
		if f.phase != fileStored {
			missing = append(missing, s.capture.files[id].entry.Name)
			continue
		}
		m.Contents = append(m.Contents, f.entry)
	}
	if len(missing) > 0 {
		return fmt.Errorf("%d of %d files were neither uploaded nor reused: %s: %w",
			len(missing), len(s.ledger.files), abbreviate(missing), abi.EINCOMPLETE)
	}
	m.Kind, m.Families, m.Options = catalog.KindNative, s.capture.families, s.capture.options
	return nil
}

// sealRecords demands that the stored ranges hold every record exactly once,
// unless the strategy declared that its output is meant to differ.
func (s *session) sealRecords(m *catalog.Manifest) error {
	m.Kind = catalog.KindCanonical
	if s.empty {
		m.Kind = catalog.KindEmpty
	}
	for _, c := range s.ledger.records {
		if c.transformed {
			m.Kind = catalog.KindCustom
		}
		m.Contents = append(m.Contents, c.entries...)
	}
	if len(s.ledger.streams) > 0 {
		m.Kind = catalog.KindCustom
	}
	for _, f := range s.view.Families() {
		m.Families = append(m.Families, catalog.Family{ID: f.ID, Name: f.Name, Comparator: f.Comparator})
	}
	if m.Kind == catalog.KindCanonical {
		sums, err := s.proveRecords()
		if err != nil {
			return err
		}
		m.ContentDigest = canonical.Database(sums)
	}
	m.Options = s.options
	for i := range m.Families {
		m.Families[i].MergeOperator = mergeOperator(m.Options, m.Families[i].Name)
	}
	return nil
}

func (s *session) proveRecords() (map[string]canonical.Sum, error) {
	sums := make(map[string]canonical.Sum)
	for _, f := range s.view.Families() {
		var ranges []coverage
		for _, c := range s.ledger.records {
			if c.family == f.ID {
				ranges = append(ranges, c)
			}
		}
		if err := s.proveFamily(f.Name, ranges); err != nil {
			return nil, fmt.Errorf("column family %q: %w", f.Name, err)
		}
		var sum canonical.Sum
		for _, c := range ranges {
			sum = sum.Merge(c.sum)
		}
		sums[f.Name] = sum
	}
	return sums, nil
}

// proveFamily demands that ranges partition the database's key groups, and that
// what a guest wrote is what it read.
func (s *session) proveFamily(name string, ranges []coverage) error {
	slices.SortFunc(ranges, func(a, b coverage) int { return cmp.Compare(a.first, b.first) })
	info, err := s.Info()
	if err != nil {
		return err
	}
	next := info.GroupFirst
	for _, c := range ranges {
		if c.first != next {
			return fmt.Errorf("key groups %d to %d are exported, expected to go on at %d: %w", c.first, c.last, next, abi.EINCOMPLETE)
		}
		if err := s.proveStream(c); err != nil {
			return err
		}
		next = c.last + 1
	}
	if next != info.GroupLast+1 {
		return fmt.Errorf("key groups %d to %d were not exported: %w", next, info.GroupLast, abi.EINCOMPLETE)
	}
	return nil
}

// proveStream compares a range that the guest wrote itself with what it scanned.
// Ranges that the host exported have no stream and need no comparison.
func (s *session) proveStream(c coverage) error {
	if !c.streamed {
		return nil
	}
	for _, scan := range s.ledger.scans {
		if !scan.sameRange(c) {
			continue
		}
		if scan.sum != c.sum {
			return fmt.Errorf("key groups %d to %d: %d records written, %d scanned, or their content differs: %w",
				c.first, c.last, c.sum.Records, scan.sum.Records, abi.ECONFLICT)
		}
		return nil
	}
	return fmt.Errorf("key groups %d to %d were written but not scanned to their end: %w", c.first, c.last, abi.EINCOMPLETE)
}

// abbreviate joins names and says how many more there are.
func abbreviate(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
