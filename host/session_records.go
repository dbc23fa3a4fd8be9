package host

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/abi/keygroup"
	"github.com/rocksnap/rocksnap/host/internal/catalog"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// blockSize is how much of a scan is in memory at once.
const blockSize = 256 << 10

// FamiliesRead lists the column families of the view.
func (s *session) FamiliesRead(start int, dst []abi.Family) (int, error) {
	if err := s.allow("families_read", abi.PhasePrepare|abi.PhaseSnapshot); err != nil {
		return 0, err
	}
	if s.view == nil {
		return 0, fmt.Errorf("families_read before view: %w", abi.EPHASE)
	}
	families := s.view.Families()
	n := 0
	for ; n < len(dst) && start >= 0 && start+n < len(families); n++ {
		f := families[start+n]
		dst[n] = abi.Family{ID: f.ID, Records: f.Records, Bytes: f.Bytes}
		if f.Bytewise {
			dst[n].Flags |= abi.FamilyBytewise
		}
	}
	return n, nil
}

// FamilyName returns the name of a column family.
func (s *session) FamilyName(id uint32) (string, error) {
	f, err := s.family(id)
	return f.Name, err
}

func (s *session) family(id uint32) (rocks.Family, error) {
	if s.view != nil {
		for _, f := range s.view.Families() {
			if f.ID == id {
				return f, nil
			}
		}
	}
	return rocks.Family{}, fmt.Errorf("column family %d: %w", id, abi.ENOENT)
}

// keyRange is a range of a column family's records, by key group and by key.
type keyRange struct {
	family       rocks.Family
	first, last  uint32 // key groups, inclusive
	lower, upper []byte // keys, upper exclusive; nil is open
}

// keyRange checks a range that a guest asks for. Where the application declares
// no key groups, the only range is 0 to 0, which is everything.
func (s *session) keyRange(family, first, last uint32) (keyRange, error) {
	f, err := s.family(family)
	if err != nil {
		return keyRange{}, err
	}
	info, err := s.Info()
	if err != nil {
		return keyRange{}, err
	}
	if first > last || first < info.GroupFirst || last > info.GroupLast {
		return keyRange{}, fmt.Errorf("key groups %d to %d: the database holds %d to %d: %w", first, last, info.GroupFirst, info.GroupLast, abi.EINVAL)
	}
	r := keyRange{family: f, first: first, last: last}
	if info.GroupCount > 0 {
		r.lower, r.upper = keygroup.Range{First: first, Last: last}.Bounds(info.GroupCount)
	}
	return r, nil
}

// longRecord is the size in bytes from which records are no longer read in several
// places at the same time: each place has a few of them in memory.
const longRecord = 4 << 20

// split cuts a range into parts of about equal size, at key-group borders where
// there are key groups, so that one group is always in one object.
func (s *session) split(r keyRange) []keyRange {
	count := uint32(0)
	if s.host.groups != nil {
		count = s.host.groups.Count
	}
	parts := []keyRange{r}
	if r.family.Bytes > r.family.Records*longRecord {
		return parts
	}
	for _, cut := range s.view.Split(r.family.ID, s.host.workers) {
		last := &parts[len(parts)-1]
		if count > 0 {
			group, ok := keygroup.Of(cut, count)
			if !ok || group <= last.first || group > last.last {
				continue
			}
			cut = keygroup.AppendPrefix(nil, group, count)
		}
		if slices.Compare(cut, last.lower) <= 0 || last.upper != nil && slices.Compare(cut, last.upper) >= 0 {
			continue
		}
		next := *last
		last.upper, next.lower = cut, cut
		if count > 0 {
			next.first, _ = keygroup.Of(cut, count)
			last.last = next.first - 1
		}
		parts = append(parts, next)
	}
	return parts
}

func (s *session) header(r keyRange) canonical.Header {
	h := canonical.Header{Family: r.family.Name, Comparator: r.family.Comparator, FirstGroup: r.first, LastGroup: r.last}
	if s.host.groups != nil {
		h.GroupCount = s.host.groups.Count
	}
	return h
}

// Export submits ranges that the host writes in the canonical format.
func (s *session) Export(reqs []abi.Export) (int, error) {
	if err := s.allow("export", abi.PhaseSnapshot); err != nil {
		return 0, err
	}
	for i, r := range reqs {
		keys, err := s.keyRange(r.Family, r.FirstGroup, r.LastGroup)
		if err != nil {
			return i, err
		}
		if r.Flags != 0 || r.Codec > abi.CodecZstd {
			return i, fmt.Errorf("export: codec %d, flags %#x: %w", r.Codec, r.Flags, abi.EINVAL)
		}
		if !s.transfers.submit(s.export(r, keys)) {
			return i, nil
		}
	}
	return len(reqs), nil
}

func (s *session) export(r abi.Export, keys keyRange) *request {
	req := &request{completion: abi.Completion{User: r.User, Op: abi.OpExport}, failed: s.ledger.fail}
	parts := s.split(keys)
	whole := &export{session: s, left: len(parts), covered: coverage{family: r.Family, first: r.FirstGroup, last: r.LastGroup}}
	options := canonical.Options{Codec: r.Codec, FrameBytes: int(r.FrameBytes)}
	s.ledger.expectBytes(int64(keys.family.Bytes))
	for _, part := range parts {
		req.tasks = append(req.tasks, func(ctx context.Context, c *abi.Completion) error {
			if s.dry {
				whole.add(catalog.File{Kind: abi.KindCanonical, Size: int64(keys.family.Bytes) / int64(len(parts))}, canonical.Sum{})
				return nil
			}
			entry, sum, err := s.exportPart(ctx, part, options)
			if err != nil {
				return fmt.Errorf("export %s: %w", part.family.Name, err)
			}
			c.Bytes, c.Records = uint64(entry.Size), sum.Records
			whole.add(entry, sum)
			return nil
		})
	}
	return req
}

// export is one exported range, whose parts are written in parallel. It enters
// the ledger when the last of them is stored.
type export struct {
	session *session
	mu      sync.Mutex
	left    int
	covered coverage
}

func (e *export) add(entry catalog.File, sum canonical.Sum) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.covered.entries = append(e.covered.entries, entry)
	e.covered.sum = e.covered.sum.Merge(sum)
	if e.left--; e.left == 0 {
		e.session.ledger.cover(e.covered)
	}
}

// exportPart streams one part: scan, frames, digest, store.
func (s *session) exportPart(ctx context.Context, part keyRange, o canonical.Options) (catalog.File, canonical.Sum, error) {
	scan, err := s.view.Scan(part.family.ID, part.lower, part.upper)
	if err != nil {
		return catalog.File{}, canonical.Sum{}, err
	}
	defer scan.Close()
	out, err := s.openRecords(ctx, part, o)
	if err != nil {
		return catalog.File{}, canonical.Sum{}, err
	}
	if err := copyRecords(ctx, out, scan); err != nil {
		return catalog.File{}, canonical.Sum{}, out.abandon(err)
	}
	return out.finish()
}

// copyRecords moves blocks from a scan to a writer until the scan ends.
func copyRecords(ctx context.Context, out *recordsWriter, scan *rocks.Scan) error {
	for block, err := range blocks(ctx, scan) {
		if err != nil {
			return err
		}
		if err := out.WriteBlock(block); err != nil {
			return err
		}
	}
	return nil
}
