// Command bindgen writes what follows from the tables and types of package abi:
// the bindings for other languages and the tables of ABI.md. It is run in the
// folder of package abi, by go generate; a test asserts that its output is up to
// date.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := write("."); err != nil {
		fmt.Fprintln(os.Stderr, "bindgen:", err)
		os.Exit(1)
	}
}

// write brings the generated files of a copy of package abi up to date.
func write(dir string) error {
	files, err := generate(dir)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the generated files by name. It reads the sources in dir for
// their comments and constants, and ABI.md for what stands between the tables.
func generate(dir string) (map[string][]byte, error) {
	m, err := newModel(dir)
	if err != nil {
		return nil, err
	}
	page, err := os.ReadFile(filepath.Join(dir, specification))
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, language := range []string{"wat", "h", "rs", "ts"} {
		if files[m.Module+"."+language], err = m.render(language); err != nil {
			return nil, err
		}
	}
	files[specification], err = m.fill(page)
	return files, err
}
