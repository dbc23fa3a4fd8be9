package host

import (
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/host/internal/catalog"
)

// shelf keeps what this machine has read of a catalog in the state folder, if there is
// one: a list of ten thousand snapshots in an object store is as many requests.
func (r *Repository) shelf() catalog.Shelf {
	if r.state == "" {
		return catalog.Shelf{}
	}
	path := filepath.Join(r.state, "entries", r.catalog.Format().ID, r.name)
	return catalog.Shelf{
		Load: func() ([]byte, error) { return os.ReadFile(path) },
		Save: func(data []byte) error { return replaceFile(path, string(data)) },
	}
}
