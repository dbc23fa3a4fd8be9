package host

import "context"

// Plan is what a snapshot would do.
type Plan struct {
	Strategy    string
	Kind        string // as in [Manifest]
	FilesNew    int
	FilesReused int
	BytesNew    int64 // an estimate where records are exported
	BytesReused int64
	Causes      []Cause          // what made the new bytes, by column family; see [Explain]
	ByCause     map[string]int64 // the same by their names
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
		Causes: Explain(m), Contents: m.Contents,
	}
	p.ByCause = byCause(p.Causes)
	for i := range m.Contents {
		if m.Contents[i].Reused {
			p.FilesReused++
		} else {
			p.FilesNew++
		}
	}
	return p, nil
}
