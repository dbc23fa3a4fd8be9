package strategy

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/cpu"

	"github.com/rocksnap/rocksnap/host/internal/wasm"
)

const (
	sumsName      = "sha256sums"
	codeName      = "module.wasm" // what the machine code was made of: rewritten
	freshPattern  = ".fresh-*"    // folders that are being filled
	freshFor      = time.Hour     // no compiler takes as long
	cacheCapacity = 512 << 20     // bytes, beyond which the least recently used entries go
	sumsTitle     = "rocksnap machine code "
)

// cache keeps machine code on disk: a folder for each module, named by what it was
// made of, with the SHA-256 of every file beside it. The host runs what lies there.
// So it must belong to the host's user alone, and is looked through before each
// use. The cache only saves time: nothing that is wrong with it fails a load.
type cache struct {
	dir      string
	capacity int64 // bytes
}

// openCache makes the folder where it is missing.
func openCache(dir string) (*cache, error) {
	if dir == "" {
		return nil, errors.New("no cache is wanted")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := checkAbove(dir); err != nil {
		return nil, err
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return nil, cmp.Or(err, fs.ErrInvalid)
	} else if err := checkOwner(dir, info); err != nil {
		return nil, err
	}
	return &cache{dir: dir, capacity: cacheCapacity}, nil
}

// checkAbove refuses a folder that anybody may put another one in the place of.
func checkAbove(dir string) error {
	for dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
			return fmt.Errorf("%s is writable by everybody: %w", dir, fs.ErrPermission)
		}
	}
	return nil
}

// checkOwner refuses what others can change.
func checkOwner(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%s belongs to somebody else: %w", path, fs.ErrPermission)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("%s is writable by others: %w", path, fs.ErrPermission)
	}
	return nil
}

// keyOf names the machine code of a module, as this program on this processor
// makes it of the file.
func keyOf(file []byte) string {
	h := sha256.New()
	fmt.Fprintln(h, "wazero", wazeroVersion(), runtime.GOOS, runtime.GOARCH, cpu.X86, cpu.ARM64)
	fmt.Fprintln(h, "rewritten by", wasm.Revision())
	h.Write(file)
	return hex.EncodeToString(h.Sum(nil))
}

// wazeroVersion is "" where the program does not know what it was built from.
func wazeroVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == "github.com/tetratelabs/wazero" {
			return m.Version + m.Sum
		}
	}
	return ""
}

// find returns the folder of a key. It fails with [fs.ErrNotExist] where there is
// none. A folder in which a single bit is not as it was written is removed.
func (c *cache) find(key string) (folder string, err error) {
	folder = filepath.Join(c.dir, key)
	if _, err := os.Lstat(folder); err != nil {
		return "", err
	}
	if err := verify(folder, key); err != nil {
		c.discard(folder)
		return "", err
	}
	now := time.Now()
	os.Chtimes(filepath.Join(folder, sumsName), now, now) // only tells when it was used
	return folder, nil
}

func (c *cache) discard(folder string) { os.RemoveAll(folder) } // what is left is found damaged again

// fresh makes a folder to fill, and removes those that a crash left behind.
func (c *cache) fresh() (folder string, err error) {
	left, _ := filepath.Glob(filepath.Join(c.dir, freshPattern))
	for _, path := range left {
		if info, err := os.Lstat(path); err == nil && time.Since(info.ModTime()) > freshFor {
			os.RemoveAll(path)
		}
	}
	return os.MkdirTemp(c.dir, freshPattern)
}

// keep seals a filled folder and gives it its place. Where another process was
// first, its folder stays.
func (c *cache) keep(folder, key string) (kept string, err error) {
	if err := seal(folder, key); err != nil {
		return "", err
	}
	kept = filepath.Join(c.dir, key)
	if err := os.Rename(folder, kept); err != nil {
		os.RemoveAll(folder)
		return c.find(key)
	}
	c.evict(kept)
	return kept, nil
}

// evict removes the least recently used folders beyond the capacity, except for
// one.
func (c *cache) evict(except string) {
	type entry struct {
		path string
		used time.Time
	}
	var entries []entry
	var total int64
	names, _ := os.ReadDir(c.dir)
	for _, n := range names {
		path := filepath.Join(c.dir, n.Name())
		if len(n.Name()) != 2*sha256.Size || !n.IsDir() {
			continue
		}
		total += sizeOf(path)
		if path == except {
			continue
		}
		e := entry{path: path} // without sums it is of no use, and goes first
		if info, err := os.Lstat(filepath.Join(path, sumsName)); err == nil {
			e.used = info.ModTime()
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.used.Compare(b.used) })
	for _, e := range entries {
		if total <= c.capacity {
			return
		}
		total -= sizeOf(e.path)
		c.discard(e.path)
	}
}

func sizeOf(folder string) (total int64) {
	filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // somebody else is removing it
		}
		if info, err := d.Info(); err == nil && d.Type().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}

// seal writes down what is in a folder.
func seal(folder, key string) error {
	text, err := sums(folder, key)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, sumsName), text, 0o600)
}

// verify fails when a folder is not, to the byte, what seal has seen.
func verify(folder, key string) error {
	got, err := sums(folder, key)
	if err != nil {
		return fmt.Errorf("machine code is not sound: %w", err)
	}
	want, err := os.ReadFile(filepath.Join(folder, sumsName))
	if err != nil || !bytes.Equal(want, got) {
		return fmt.Errorf("machine code %s is damaged", folder)
	}
	return nil
}

// sums lists every file of a folder with its digest, under a title with the key.
func sums(folder, key string) ([]byte, error) {
	var out bytes.Buffer
	fmt.Fprintln(&out, sumsTitle+key)
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if err := checkOwner(path, info); err != nil {
			return err
		}
		name := strings.TrimPrefix(strings.TrimPrefix(path, folder), "/")
		switch {
		case d.IsDir():
			return nil
		case !d.Type().IsRegular():
			return fmt.Errorf("%s is no file: %w", path, fs.ErrInvalid)
		case name == sumsName:
			return nil
		}
		sum, err := fileDigest(path)
		fmt.Fprintf(&out, "%s  %s\n", sum, name)
		return err
	})
	return out.Bytes(), err
}

func fileDigest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, bufio.NewReader(f)); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
