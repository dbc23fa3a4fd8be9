package bench

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Ground is where the cases work: a folder, and what they find there.
type Ground struct {
	Dir     string // all that is made lies below it
	Size    int64  // of a database in bytes, where the case does not say another
	Tables  int    // of the database with many
	Most    int    // of the database with the most tables
	History int    // snapshots of the catalog with many
	Plugins string // folder of the modules of the built-in strategies
	Cache   string // folder of compiled modules; "" for one that is removed
	Tools   Tools  // folder of programs that "make bench-deps" installs
	Program string // rocksnap; "" when there is none that knows "bench-deed"

	busy bool              // others write to the file system: nobody waits for theirs
	made map[string]string // databases that cases share, by what they are
	end  []func() error    // of the case that is set up
}

// Full is the ground of 'make bench', and Small one for a look at every case in a
// minute; its figures say little.
func Full(dir string, size int64) *Ground {
	return &Ground{Dir: dir, Size: size, Tables: 10_000, Most: 100_000, History: 10_000}
}

// Small returns the ground for a look at every case.
func Small(dir string) *Ground {
	return &Ground{Dir: dir, Size: 16 << 20, Tables: 200, Most: 500, History: 100}
}

// shape is the database of most cases: that of the figures, with values of a
// kilobyte of which half compresses.
func (g *Ground) shape() Shape {
	return Shape{Bytes: g.Size, ValueBytes: 1000, Compressible: 0.5, Seed: 1}
}

// database returns a database of a shape, which is made once. Cases do not write to
// it: they take a [Ground.copy].
func (g *Ground) database(s Shape) (string, error) {
	return g.once(fmt.Sprintf("shape %+v", s), s.Make)
}

func (g *Ground) once(what string, make func(path string) error) (string, error) {
	if path, ok := g.made[what]; ok {
		return path, nil
	}
	path := filepath.Join(g.Dir, fmt.Sprintf("database-%d", len(g.made)+1))
	if err := make(path); err != nil {
		return "", err
	}
	if g.made == nil {
		g.made = map[string]string{}
	}
	g.made[what] = path
	return path, nil
}

// folder returns a folder of the case, which is removed when the case ends.
func (g *Ground) folder(name string) (string, error) {
	path, err := os.MkdirTemp(g.Dir, name+"-")
	if err == nil {
		g.atEnd(func() error { return os.RemoveAll(path) })
	}
	return path, err
}

// copy returns a database of the case's own, whose tables are the other's.
func (g *Ground) copy(db, name string) (string, error) {
	folder, err := g.folder(name)
	if err != nil {
		return "", err
	}
	path := filepath.Join(folder, "db")
	return path, linked(db, path, isTable)
}

// cache is the folder of compiled modules.
func (g *Ground) cache() string { return cmp.Or(g.Cache, filepath.Join(g.Dir, "modules")) }

// atEnd has something done when the case ends, the latest first.
func (g *Ground) atEnd(do func() error) { g.end = append(g.end, do) }

func (g *Ground) endCase() error {
	var err error
	for i := len(g.end) - 1; i >= 0; i-- {
		err = errors.Join(err, g.end[i]())
	}
	g.end = nil
	return err
}

// Close removes the databases that cases share.
func (g *Ground) Close() error {
	var err error
	for _, path := range g.made {
		err = errors.Join(err, os.RemoveAll(path))
	}
	g.made = nil
	return err
}

func isTable(entry fs.DirEntry) bool {
	return strings.HasSuffix(entry.Name(), ".sst") || strings.HasSuffix(entry.Name(), ".blob")
}

// linked makes a copy of a folder. The files that link tells are hard links.
func linked(from, to string, link func(fs.DirEntry) bool) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case link(entry):
			return os.Link(path, target)
		}
		return copied(path, target)
	})
}

func copied(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// settle has everything written that earlier runs have left to the kernel, and reads
// folders into the page cache: nobody pays for what another one did.
func (g *Ground) settle(warm ...string) error {
	if !g.busy {
		if err := g.sync(); err != nil {
			return err
		}
	}
	for _, folder := range warm {
		if err := read(folder); err != nil {
			return err
		}
	}
	return nil
}

func (g *Ground) sync() error {
	dir, err := os.Open(g.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("sync file system: %w", err)
	}
	return nil
}

// read reads every file of a folder.
func read(folder string) error {
	buffer := make([]byte, 1<<20)
	return filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{file}, buffer)
		return err
	})
}

// sizeOf adds up the files of a folder.
func sizeOf(folder string) (total int64, err error) {
	err = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
