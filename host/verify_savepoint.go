package host

import (
	"context"
	"errors"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// readSavepoints looks whether each savepoint could be restored from its folder
// alone.
func (v *verification) readSavepoints(ctx context.Context, t *tally) error {
	for _, m := range v.manifests {
		if !m.Savepoint {
			continue
		}
		err := v.repository.catalog.CheckSavepoint(ctx, m)
		var d *catalog.DamageError
		switch {
		case errors.As(err, &d):
			v.find(Finding{Snapshot: m.ID, Object: d.Object, What: d.What})
		case err != nil:
			return err
		}
		t.file()
	}
	return nil
}
