package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/canonical"
	"github.com/rocksnap/rocksnap/host/internal/rocks"
)

// FileChange is a file that two snapshots do not have in common.
type FileChange struct {
	Change string // "added" or "removed"
	File   File
}

// DiffFiles compares the files of two snapshots by their content.
func (r *Repository) DiffFiles(ctx context.Context, from, to string) ([]FileChange, error) {
	a, err := r.Find(ctx, from)
	if err != nil {
		return nil, err
	}
	b, err := r.Find(ctx, to)
	if err != nil {
		return nil, err
	}
	changes := append(missing(a, b, "removed"), missing(b, a, "added")...)
	slices.SortStableFunc(changes, func(x, y FileChange) int { return bytes.Compare([]byte(x.File.Name), []byte(y.File.Name)) })
	return changes, nil
}

// missing lists the files of a whose content b does not hold under the same name.
func missing(a, b *Manifest, change string) []FileChange {
	have := make(map[string]string, len(b.Contents))
	for _, f := range b.Contents {
		have[f.Name] = f.Digest
	}
	var list []FileChange
	for _, f := range a.Contents {
		if have[f.Name] != f.Digest {
			list = append(list, FileChange{change, f})
		}
	}
	return list
}

// RecordChange is a record that two snapshots do not have in common.
type RecordChange struct {
	Change string // "added", "removed" or "changed"
	Family string
	Key    []byte
}

// DiffRecords restores two snapshots into temporary folders and yields the
// records that differ, in the order of column family and key. One that has expired
// by now is not there.
func (r *Repository) DiffRecords(ctx context.Context, from, to string) iter.Seq2[RecordChange, error] {
	return func(yield func(RecordChange, error) bool) {
		folder, err := newScratch(diffPrefix)
		if err != nil {
			yield(RecordChange{}, fmt.Errorf("diff: %w", err))
			return
		}
		defer folder.remove()
		err = r.diffRecords(ctx, folder, from, to, func(c RecordChange) bool { return yield(c, nil) })
		if err != nil && !errors.Is(err, errStop) {
			yield(RecordChange{}, err)
		}
	}
}

// errStop ends a comparison that nobody wants to see the rest of.
var errStop = errors.New("stop")

func (r *Repository) diffRecords(ctx context.Context, folder *scratch, from, to string, yield func(RecordChange) bool) error {
	var views [2]*rocks.View
	now := r.clock()
	for i, ref := range []string{from, to} {
		target := folder.target(fmt.Sprint(i))
		m, err := r.restoreAside(ctx, ref, target)
		if err != nil {
			return err
		}
		db, err := rocks.OpenOffline(target)
		if err != nil {
			return fmt.Errorf("diff: %w", err)
		}
		defer db.Close()
		if views[i], err = db.View(); err != nil {
			return fmt.Errorf("diff: %w", err)
		}
		defer views[i].Close()
		views[i].Hide(ttlsOf(m.Families).rules(), now)
	}
	for _, name := range familyNames(views[:]) {
		if err := diffFamily(ctx, name, views, yield); err != nil {
			return err
		}
	}
	return nil
}

// restoreAside restores a snapshot that is compared.
func (r *Repository) restoreAside(ctx context.Context, ref, target string) (*Manifest, error) {
	m, err := r.Find(ctx, ref)
	if err != nil {
		return nil, err
	}
	release, err := r.hold(ctx, m, "compared")
	if err != nil {
		return nil, err
	}
	defer release()
	_, err = r.restoreWhole(ctx, m, target)
	return m, err
}

func familyNames(views []*rocks.View) []string {
	var names []string
	for _, v := range views {
		for _, f := range v.Families() {
			names = append(names, f.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// diffFamily merges the records of one column family of both sides.
func diffFamily(ctx context.Context, name string, views [2]*rocks.View, yield func(RecordChange) bool) error {
	var next [2]func() (record, bool)
	for i, v := range views {
		pull, stop := iter.Pull(familyRecords(ctx, v, name))
		defer stop()
		next[i] = pull
	}
	a, okA := next[0]()
	b, okB := next[1]()
	for okA || okB {
		if err := errors.Join(a.err, b.err); err != nil {
			return fmt.Errorf("diff: %w", err)
		}
		order := compareRecords(a, okA, b, okB)
		change := RecordChange{Family: name}
		switch {
		case order < 0:
			change.Change, change.Key = "removed", a.key
		case order > 0:
			change.Change, change.Key = "added", b.key
		case !bytes.Equal(a.value, b.value):
			change.Change, change.Key = "changed", a.key
		}
		if change.Change != "" && !yield(change) {
			return errStop
		}
		if order <= 0 {
			a, okA = next[0]()
		}
		if order >= 0 {
			b, okB = next[1]()
		}
	}
	return nil
}

func compareRecords(a record, okA bool, b record, okB bool) int {
	switch {
	case !okA:
		return 1
	case !okB:
		return -1
	}
	return bytes.Compare(a.key, b.key)
}

type record struct {
	key, value []byte
	err        error
}

// familyRecords yields copies of a column family's records; none when the view
// has no such family.
func familyRecords(ctx context.Context, v *rocks.View, name string) iter.Seq[record] {
	return func(yield func(record) bool) {
		i := slices.IndexFunc(v.Families(), func(f rocks.Family) bool { return f.Name == name })
		if i < 0 {
			return
		}
		scan, err := v.Scan(v.Families()[i].ID, nil, nil)
		if err != nil {
			yield(record{err: err})
			return
		}
		defer scan.Close()
		for block, err := range blocks(ctx, scan) {
			if err != nil {
				yield(record{err: err})
				return
			}
			for key, value := range canonical.Records(block) {
				if !yield(record{key: bytes.Clone(key), value: bytes.Clone(value)}) {
					return
				}
			}
		}
	}
}

// blocks yields the blocks of a scan, each valid until the next. Only what does not
// fit into one makes it longer, and only as long as more of that kind comes.
func blocks(ctx context.Context, scan *rocks.Scan) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		usual := make([]byte, blockSize)
		var long []byte
		block := usual
		for {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			n, _, err := scan.Next(block)
			switch {
			case errors.Is(err, abi.EBUF):
				if cap(long) < scan.Need() {
					long = make([]byte, scan.Need())
				}
				block = long[:scan.Need()]
				continue
			case err != nil:
				yield(nil, err)
				return
			case n == 0 || !yield(block[:n], nil):
				return
			}
			if n <= len(usual) {
				long = nil
			}
			block = usual
		}
	}
}
