package host

import "context"

// ReadKeys is readKeys, with key groups that the snapshot has not declared.
func (r *Repository) ReadKeys(ctx context.Context, m *Manifest, f *File) (string, error) {
	return r.readKeys(ctx, m, f, &tally{})
}
