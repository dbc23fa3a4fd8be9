package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/rocksnap/rocksnap/host"
)

func TestMain(m *testing.M) {
	host.RunChild() // under whatever name testscript runs it
	testscript.Main(installation{m}, map[string]func(){"rocksnap": main})
}

// installation runs the tests with the built-in modules where an installed
// rocksnap has them: in plugins/, beside the executable.
type installation struct{ tests *testing.M }

// Run implements [testscript.TestingM].
func (i installation) Run() int {
	if err := install("native-full", "incremental", "canonical"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return i.tests.Run()
}

func install(plugins ...string) error {
	executable, err := exec.LookPath("rocksnap") // testscript put it there
	if err != nil {
		return err
	}
	folder := filepath.Join(filepath.Dir(executable), "plugins")
	for _, name := range plugins {
		// As dbtest builds them, so that they are compiled once for all tests.
		build := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", filepath.Join(folder, name+".wasm"), "../../../plugins/"+name)
		build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w\n%s", build, err, out)
		}
	}
	return nil
}
