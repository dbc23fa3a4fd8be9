// Command short-lived-last is an incremental strategy that uploads files in the
// reverse of the order in which compaction would remove them: what will live long
// comes first. When a snapshot is broken off, what it has stored by then is what
// the next one is most likely to need.
package main

import (
	"cmp"
	"context"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/abi/guest"
)

func init() { guest.Register(shortLivedLast{}) }

func main() {}

type shortLivedLast struct{}

// Init has nothing to read, and refuses what it would not obey.
func (shortLivedLast) Init(_ context.Context, s abi.Session) error {
	return guest.Config(s, &struct{}{})
}

// Prepare chooses the latest snapshot as the base, and then takes the checkpoint.
func (shortLivedLast) Prepare(_ context.Context, s abi.Session) error {
	base := make([]abi.Base, 1)
	n, err := s.BasesRead(0, base)
	if err != nil {
		return err
	}
	if n > 0 {
		if err := s.BaseUse(base[0].Slot); err != nil {
			return err
		}
	}
	_, err = s.Checkpoint()
	return err
}

// Snapshot transfers the files in their new order.
func (shortLivedLast) Snapshot(ctx context.Context, s abi.Session) error {
	files, err := all(s)
	if err != nil {
		return err
	}
	slices.SortStableFunc(files, byExpectedLife)
	return abi.Transfer(ctx, ordered{s, files}, func(f abi.File) abi.Choice {
		const recognisable = abi.FileImmutable | abi.FileIdentified
		switch {
		case f.Flags&abi.FileInBase != 0:
			return abi.Choice{Reuse: true, Scope: abi.ScopeShared}
		case f.Flags&recognisable == recognisable:
			return abi.Choice{Scope: abi.ScopeShared}
		}
		return abi.Choice{Scope: abi.ScopePrivate}
	})
}

// byExpectedLife puts first what compaction removes last: blob files, then tables
// from the lowest level up. Within a level the older go first: of two tables at
// the top it is the newer that the next flushes push down, and lower levels are
// compacted in turn. What is written anew for each checkpoint comes last.
func byExpectedLife(a, b abi.File) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(b.Level, a.Level), cmp.Compare(a.LargestSeq, b.LargestSeq))
}

func rank(f abi.File) int {
	switch f.Kind {
	case abi.KindBlob:
		return 0
	case abi.KindTable:
		return 1
	}
	return 2
}

func all(s abi.Session) (files []abi.File, err error) {
	page := make([]abi.File, 1024)
	for {
		n, err := s.FilesRead(len(files), page)
		if err != nil || n == 0 {
			return files, err
		}
		files = append(files, page[:n]...)
	}
}

// ordered is a session that lists its files in another order.
type ordered struct {
	abi.Session
	files []abi.File
}

// FilesRead reads from the sorted list.
func (o ordered) FilesRead(start int, dst []abi.File) (int, error) {
	return copy(dst, o.files[min(start, len(o.files)):]), nil
}
