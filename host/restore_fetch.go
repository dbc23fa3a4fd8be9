package host

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/rocksnap/rocksnap/abi"
)

// fetchNative fetches the files of a native part into its folder.
func (w *restoration) fetchNative(ctx context.Context, p *part) (dir string, err error) {
	i := slices.IndexFunc(p.Contents, func(f File) bool { return f.Kind == abi.KindCurrent })
	if i < 0 {
		return "", fmt.Errorf("the manifest lists no CURRENT: %w", abi.ECORRUPT)
	}
	current := &p.Contents[i]
	err = w.fetchAll(ctx, p.Manifest, func(ctx context.Context, f *File) error {
		if f == current || f.Kind == abi.KindStream {
			return nil
		}
		return w.fetch(ctx, p, f)
	})
	if err != nil {
		return "", err
	}
	return filepath.Join(w.staging.dir, p.folder), w.fetch(ctx, p, current)
}
