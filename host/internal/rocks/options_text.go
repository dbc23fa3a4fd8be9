package rocks

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/abi"
	"github.com/rocksnap/rocksnap/host/internal/rocks/version"
)

// OptionsText returns the newest OPTIONS file of a database directory, or ""
// when it has none.
func OptionsText(dir string) (string, error) {
	name, err := newestOptions(dir)
	if err != nil || name == "" {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, fs.ErrNotExist) { // replaced meanwhile by a newer one
		return OptionsText(dir)
	}
	return string(text), err
}

// newestOptions names the newest OPTIONS file of a directory, or returns "".
func newestOptions(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var newest string
	var highest uint64
	for _, e := range entries {
		if kind, number, ok := version.FileKind(e.Name()); ok && kind == abi.KindOptions && number >= highest {
			newest, highest = e.Name(), number
		}
	}
	return newest, nil
}
