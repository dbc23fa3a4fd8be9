package strategy

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/tetratelabs/wazero"
)

// compile compiles with the help of the cache, where there is one that works.
// The cache only saves time: nothing that is wrong with it fails a load.
//
// wazero guards its entries with a CRC, and refuses to compile a module whose
// entry is damaged. Each module therefore has a directory of its own, which can
// be thrown away without harm to the others.
func (m *Module) compile(ctx context.Context, code []byte, dir string) error {
	cache, err := openCache(dir, m.sha256)
	if err != nil || cache == nil {
		return m.buildOrClose(ctx, code, nil)
	}
	err = m.buildOrClose(ctx, code, cache)
	if err == nil || !strings.Contains(err.Error(), "compilationcache") {
		return err
	}
	if err := os.RemoveAll(filepath.Join(dir, m.sha256)); err != nil {
		return fmt.Errorf("remove damaged compiled code: %w", err)
	}
	return m.buildOrClose(ctx, code, nil)
}

func (m *Module) buildOrClose(ctx context.Context, code []byte, cache wazero.CompilationCache) error {
	err := m.build(ctx, code, cache)
	if err != nil {
		m.Close(context.WithoutCancel(ctx)) // the error that counts is err
		return fmt.Errorf("compile: %w", err)
	}
	return nil
}

// openCache opens the cache of one module; nil without a directory. What lies
// there is machine code that the host will run, so it must be the owner's alone.
func openCache(dir, sha256 string) (wazero.CompilationCache, error) {
	if dir == "" {
		return nil, nil
	}
	own := filepath.Join(dir, sha256)
	if err := os.MkdirAll(own, 0o700); err != nil {
		return nil, err
	}
	for _, d := range []string{dir, own} {
		info, err := os.Stat(d)
		if err != nil {
			return nil, err
		}
		if info.Mode().Perm()&0o022 != 0 {
			return nil, fmt.Errorf("%s is writable by others: %w", d, fs.ErrPermission)
		}
	}
	return wazero.NewCompilationCacheWithDir(own)
}
