// Demo takes, lists, verifies and restores snapshots of real data with each
// strategy that comes with rocksnap, and compares what it restores with what
// was there. It runs the very commands that it prints.
//
// 'make demo' builds what it needs and runs it from the top folder.
package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"
)

//go:embed rocksnap.toml
var configuration []byte

func main() {
	tool := flag.String("rocksnap", "bin/rocksnap", "the `program` to show")
	work := flag.String("work", "demo", "`folder` for everything that the demo makes; it is made anew")
	source := flag.String("source", "", "`folder` laid out as Go's own source tree, which is the default")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *tool, *work, *source, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, tool, work, source string, out io.Writer) error {
	start := time.Now()
	tool, err := filepath.Abs(tool)
	if err != nil {
		return err
	}
	if _, err := os.Stat(tool); err != nil {
		return fmt.Errorf("%w; 'make build' builds it", err)
	}
	if source, err = find(ctx, source); err != nil {
		return err
	}
	if err := remake(work); err != nil {
		return err
	}
	d := &demo{shell: shell{ctx, tool, work, out}, source: source}
	fmt.Fprintf(out, opening, source, work, filepath.Join(work, "rocksnap.toml"))
	if err := d.play(); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nDone in %.0f s. To go on:\n  $ cd %s && %s --help\n", time.Since(start).Seconds(), work, near(tool, work))
	return d.verdict()
}

const opening = `
Each strategy takes a snapshot of a RocksDB database with real content: the files
below %s, one record for each.

Everything is in the folder %s, which each run makes anew; its configuration is
%s. The commands run there, and under each stands what it did.

`

// near names the program as seen from the working folder.
func near(tool, work string) string {
	if absolute, err := filepath.Abs(work); err == nil {
		if relative, err := filepath.Rel(absolute, tool); err == nil {
			return relative
		}
	}
	return tool
}

// find returns the absolute path of the source: by default Go's own, the one
// large real data set that every machine with Go has.
func find(ctx context.Context, source string) (string, error) {
	if source != "" {
		return filepath.Abs(source)
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("find the Go source tree: %w", err)
	}
	return filepath.Join(string(bytes.TrimSpace(root)), "src"), nil
}

// remake makes the working folder anew, but only one that the demo has made.
func remake(work string) error {
	file := filepath.Join(work, "rocksnap.toml")
	found, err := os.ReadFile(file)
	mark, _, _ := bytes.Cut(configuration, []byte("\n")) // the rest may have been tried out
	switch _, missing := os.Stat(work); {
	case errors.Is(missing, fs.ErrNotExist):
	case err != nil || !bytes.HasPrefix(found, mark):
		return fmt.Errorf("folder %s was not made by this demo: remove it, or name another with -work", work)
	}
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, configuration, 0o644)
}
