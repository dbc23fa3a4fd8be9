package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/rocksnap/rocksnap/host/internal/durable"
)

// InstallModule copies the module in a file into a folder, which is made where it is
// missing, with the signature beside it if there is one, and returns the copy's
// path. A file that is searched for is found as [InspectModule] does. It fails with
// fs.ErrExist, as [CodeUsage], when the folder holds another module under that name:
// a pin somewhere may be on that one.
func InstallModule(from, folder string) (path string, err error) {
	from, wasm, err := findModule(from)
	if err != nil {
		return "", err
	}
	if err := durable.MkdirAll(folder, 0o755); err != nil {
		return "", fmt.Errorf("install module: %w", err)
	}
	path = filepath.Join(folder, filepath.Base(from))
	signature, err := os.ReadFile(from + signatureSuffix)
	if err == nil {
		err = installFile(path+signatureSuffix, signature)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	if err == nil {
		err = installFile(path, wasm)
	}
	if err != nil {
		return "", fmt.Errorf("install module: %w", err)
	}
	return path, nil
}

// installFile leaves alone what is there already.
func installFile(path string, content []byte) error {
	err := durable.WriteFile(path, 0o644, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if there, err := os.ReadFile(path); err != nil || bytes.Equal(there, content) {
		return err
	}
	return problem(CodeUsage, fmt.Errorf("%s is another one: %w", path, fs.ErrExist), "remove it, or give the new one another name")
}
