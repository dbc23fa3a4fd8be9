package host

import (
	"context"

	"github.com/rocksnap/rocksnap/abi"
)

// Plan is what a snapshot would do.
type Plan struct {
	Strategy    string
	Kind        string // as in [Manifest]
	FilesNew    int
	FilesReused int
	BytesNew    int64 // an estimate where records are exported
	BytesReused int64
	ByCause     map[string]int64 // new bytes by what made them: flush, compaction, blob, wal, metadata, records
	Contents    []File
}

// Plan runs a strategy without storing anything, and tells what a snapshot taken
// now would upload and reuse.
func (h *Host) Plan(ctx context.Context, o SnapshotOptions) (*Plan, error) {
	op, err := h.begin(ctx, o, true)
	if err != nil {
		return nil, err
	}
	go op.run(func(context.Context, *Manifest) error { return nil })
	m, err := op.Wait()
	if err != nil {
		return nil, err
	}
	p := &Plan{
		Strategy: m.Strategy.Name, Kind: m.Kind, BytesNew: m.BytesNew, BytesReused: m.BytesReused,
		ByCause: make(map[string]int64), Contents: m.Contents,
	}
	for i := range m.Contents {
		f := &m.Contents[i]
		if f.Reused {
			p.FilesReused++
			continue
		}
		p.FilesNew++
		p.ByCause[cause(f)] += f.Size
	}
	return p, nil
}

// cause says what made a file that is new. RocksDB writes to level 0 when it
// flushes and below it when it compacts.
func cause(f *File) string {
	switch {
	case f.Kind == abi.KindTable && f.Level == 0:
		return "flush"
	case f.Kind == abi.KindTable:
		return "compaction"
	case f.Kind == abi.KindBlob:
		return "blob"
	case f.Kind == abi.KindWAL:
		return "wal"
	case f.Kind == abi.KindCanonical:
		return "records"
	}
	return "metadata"
}
