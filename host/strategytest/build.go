package strategytest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// built remembers modules for the life of the test process.
var built struct {
	sync.Mutex
	paths map[string]string
}

// Build builds a Go package as a module, once per test process, and returns the
// module's path.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	folder, err := os.Getwd() // a relative package is another one elsewhere
	must(t, err, "find the package")
	built.Lock()
	defer built.Unlock()
	key := pkg + " in " + folder
	if path, ok := built.paths[key]; ok {
		return path
	}
	path, err := build(pkg)
	must(t, err, "build "+pkg)
	if built.paths == nil {
		built.paths = make(map[string]string)
	}
	built.paths[key] = path
	return path
}

func build(pkg string) (string, error) {
	dir, err := os.MkdirTemp("", "rocksnap-modules-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "strategy.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-trimpath", "-buildvcs=false", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
}

// cache is a folder for compiled modules that all test processes of a user share:
// under the race detector the first compilation of a module takes many seconds.
var cache = sync.OnceValues(func() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return os.MkdirTemp("", "rocksnap-cache-")
	}
	dir = filepath.Join(dir, "rocksnap", "test-modules")
	return dir, os.MkdirAll(dir, 0o700)
})
