package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"
)

func (c *cli) dbLoadVerb() *cobra.Command {
	var to destination
	cmd := verb("load PATH", "Write files or lines into a database", `Writes a record for each regular file below a directory (key: the path within
it, with slashes; value: the content), or for each line KEY<TAB>VALUE of a file.
The database is made when it is missing.

Exit status: 0 ok, 1 failed, 2 usage, 11 locked, 130 interrupted.`,
		`  rocksnap db load ./docs --db data/db --prefix v1/
  rocksnap db load pairs.tsv --db data/db --create-column-family users --column-family users`,
		cobra.ExactArgs(1),
		func(cmd *cobra.Command, args []string) error {
			info, err := os.Stat(args[0])
			if err != nil {
				return usage(cmd, "load: %w", err)
			}
			load := loadLines
			if info.IsDir() {
				load = loadTree
			}
			return c.write(cmd, &to, "rocksnap.db-load/1", func(w *writer) error { return load(w, args[0]) })
		})
	to.flags(cmd.Flags())
	return cmd
}

// loadTree writes the regular files below a directory.
func loadTree(w *writer, dir string) error {
	tree := os.DirFS(dir)
	return fs.WalkDir(tree, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := fs.ReadFile(tree, path)
		if err != nil {
			return err
		}
		return w.put(path, content)
	})
}

// loadLines writes the lines of a file.
func loadLines(w *writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewReader(f)
	for number := 1; ; number++ {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		key, value, ok := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte("\t"))
		if !ok {
			return fmt.Errorf("%s:%d: no tab between key and value", path, number)
		}
		if err := w.put(string(key), value); err != nil {
			return err
		}
	}
}
